"""Kinds against labels of real replies, on the questions that the phrases were not tuned on.

The thresholds stand a little below what was measured. Labels of the MiP source are a judge
model's and often plain wrong (boxed numbers that count as abstaining), which no grader can follow:
in a reading of all 156 disagreements on these questions, 96 were the label's.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from interp.behavior.audit.labelled import labelled_replies
from interp.behavior.grading.kinds import ABSTAINING_KINDS, ReplyKind, reply_kind
from interp.behavior.grading.lexicons import Lexicon

REAL = Path(__file__).parents[4] / "shared/data"
pytestmark = pytest.mark.skipif(
    not REAL.is_dir(), reason="the public labelled replies are not on this machine"
)
NOT_ANSWERING: tuple[ReplyKind, ...] = (*ABSTAINING_KINDS, "refuse")


def apart(source: str, step: int = 1) -> pd.DataFrame:
    """Replies to the questions kept apart, every so many of them, with their kinds."""
    rows = labelled_replies(source, REAL)
    rows = rows[rows["split_half"] == "apart"]
    rows = rows[~rows["label"].isin(["format_error", "none"])].iloc[::step]
    lexicon = Lexicon.load("en")
    kinds = [
        reply_kind(row.reply, lexicon, question=row.question, truncated=row.truncated)
        for row in rows.itertuples()
    ]
    return rows.assign(kind=kinds)


def kappa(rows: pd.DataFrame, kinds: tuple[ReplyKind, ...], *labels: str) -> float:
    return float(cohen_kappa_score(rows["kind"].isin(kinds), rows["label"].isin(labels)))


def test_mip_overthinking() -> None:
    rows = apart("mip")
    assert kappa(rows, ABSTAINING_KINDS, "abstain") > 0.75
    # Well-posed problems are answered.
    whole = rows[rows["arm"] == "whole"]
    assert len(whole) > 250
    assert whole["kind"].isin(ABSTAINING_KINDS).mean() < 0.01
    # What it calls abstaining is labelled so; what it misses is mostly the label's error.
    abstaining = rows["kind"].isin(ABSTAINING_KINDS)
    assert (rows[abstaining]["label"] == "abstain").mean() > 0.93


def test_boxed_umwp_traces() -> None:
    rows = apart("umwp_traces")
    assert len(rows) > 500
    assert kappa(rows, ABSTAINING_KINDS, "abstain") > 0.99


def test_triviaqa_replies() -> None:
    assert kappa(apart("triviaqa"), NOT_ANSWERING, "refusal") > 0.88


def test_xstest_refusals() -> None:
    rows = apart("xstest")
    assert kappa(rows, NOT_ANSWERING, "full_refusal", "partial_refusal") > 0.7
    # What refuses is told from what abstains.
    refused = rows[rows["label"] == "full_refusal"]["kind"]
    assert (refused == "refuse").mean() > 0.75


def test_truthfulqa_uninformative() -> None:
    """Uninformative is much wider than abstaining: it also covers answers that miss the point."""
    rows = apart("truthfulqa", step=4)
    assert kappa(rows, ("abstain", "clarify", "refuse", "none"), "uninformative") > 0.37
    informative = rows[rows["label"] == "informative"]["kind"]
    assert informative.isin(ABSTAINING_KINDS).mean() < 0.06
