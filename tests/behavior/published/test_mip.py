"""MiP-Overthinking read again: known rates of the real replies, and planted ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.behavior.published.mip import (
    MODELS,
    PAIRS,
    abstain_rates,
    mip_changes,
    mip_replies,
    noticed_and_concluded,
    reply_lengths,
)
from tests.behavior import published_replies as made
from tests.behavior.published_replies import GAP, REAL

real = pytest.mark.skipif(
    not (REAL / "mip_overthinking").is_dir(), reason="the public files are not on this machine"
)
KNOWN = {
    ("svamp", "Qwen32"): 0.983,
    ("svamp", "DSQ"): 0.883,
    ("formula", "Qwen32"): 0.44,
    ("formula", "QwQ"): 0.0,
    ("formula", "s1.1"): 0.18,
}


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return mip_replies(REAL)


def picked(table: pd.DataFrame, measure: str) -> pd.Series:
    rows = table[(table["measure"] == measure) & (table["arm"] == "missing")]
    subset = rows["dataset"].str.rpartition("/")[2]
    return rows.set_index([subset, "model"])["estimate"]


@real
def test_the_published_rates_come_out(published):
    rates = picked(abstain_rates(published), "abstains")
    assert rates[list(KNOWN)].round(3).to_dict() == KNOWN
    assert set(published["model"]) == set(MODELS)


@real
def test_the_judge_takes_boxed_numbers_of_the_distilled_model_for_abstention(published):
    rates = abstain_rates(published)
    boxed = picked(rates, "boxed_given_abstains")
    assert boxed["svamp", "DSQ"] == pytest.approx(50 / 265)
    assert boxed["svamp", "Qwen32"] == 0
    assert picked(rates, "abstains_unboxed")["svamp", "DSQ"] == pytest.approx(215 / 300)


@real
def test_reasoning_models_notice_and_answer_all_the_same(published):
    table = noticed_and_concluded(published)
    table = table[table["notice"] == "any"]
    noticed = picked(table, "noticed")
    assert noticed["formula", "QwQ"] == noticed["formula", "s1.1"] == 1
    answers = picked(table, "answers_given_noticed")
    assert answers["formula", "QwQ"] == 1
    assert answers["formula", "s1.1"] == pytest.approx(0.82)
    whole = table[(table["arm"] == "whole") & (table["measure"] == "noticed")]
    assert whole["estimate"].item() < 0.02
    change = mip_changes(published, n_boot=500)
    change = change[change["measure"] == "answers_given_noticed"]
    change = change.set_index(["instruct", "reasoning"])
    assert (change.loc["Qwen32", "lo"] > 0).all()
    assert len(change) == len(PAIRS) + 1  # GPT-4o and o1 on two datasets


@real
def test_within_the_first_words_chains_notice_less_often_than_short_replies(published):
    table = noticed_and_concluded(published)
    early = table[table["notice"] == "early"]
    noticed, answers = picked(early, "noticed"), picked(early, "answers_given_noticed")
    names = ["QwQ", "s1.1", "Qwen32"]
    assert noticed["formula"][names].round(2).tolist() == [0.74, 0.66, 0.92]
    assert answers["formula"][names].round(3).tolist() == [1.0, 0.848, 0.522]


@real
def test_chains_are_many_times_as_long(published):
    lengths = reply_lengths(published, n_boot=200)
    lengths = lengths[lengths["dataset"].str.endswith("formula") & (lengths["concluded"] == "all")]
    median = lengths.set_index("model")["median"]
    assert median["QwQ"] == 4972.5
    assert median["Qwen32"] == 161.5


def test_the_judges_verdict_is_what_counts_and_no_verdict_is_left_out(tmp_path):
    replies = [("It is 4.", 1), (GAP, 0), ("It is 9.", 2), ("?", 3), (r"\boxed{12}", 0)]
    made.mip(tmp_path, {"m": replies})
    table = abstain_rates(mip_replies(tmp_path)).set_index("measure")
    assert table["estimate"].to_dict() == {
        "abstains": 0.5,
        "abstains_unboxed": 0.25,
        "boxed_given_abstains": 0.5,
    }
    assert table["n"].to_dict() == {"abstains": 4, "abstains_unboxed": 4, "boxed_given_abstains": 2}


@pytest.mark.parametrize(
    ("box", "number"),
    [
        ("50", True),
        ("1,234.5", True),
        (r"21 \text{ cups}", True),
        (r"\frac{1}{2}", True),
        (r"60\%", True),
        ("3 pages of reading homework", True),
        ("5km", True),
        (r"3 \text{ m/s}", True),
        (r"9.8 \text{ m/s}^2", True),
        (r"90^\circ", True),
        (r"20^{\circ} \text{C}", True),
        ("12 cm^2", True),
        ("x = 5", True),
        (r"x \approx -5.2", True),
        (r"1.5 \times 10^3", True),
        (r"2 \cdot 10^{-4} \text{ kg}", True),
        ("3:00", True),
        ("3:00 p.m.", True),
        (".5", True),
        ("0.5x", False),
        ("x", False),
        ("5 or 6", False),
        ("3 + 4", False),
        ("2^n", False),
        ("x = y", False),
        (r"\text{hours: } 5 \text{ or unknown}", False),
        (r"\text{Insufficient information}", False),
        (r"9^n - 17.61", False),
        (r"\gamma", False),
        ("", False),
    ],
)
def test_a_box_holds_a_number_or_not(box, number, tmp_path):
    made.mip(tmp_path, {"m": [(rf"So \boxed{{{box}}}.", 0)]})
    assert mip_replies(tmp_path)["boxes_number"].tolist() == [number]


def planted(tmp_path, n: int = 60) -> pd.DataFrame:
    """The instruct model abstains on all; the other notices all, and answers every third."""
    long = f"{GAP} Wait. " * 2
    instruct = [(GAP, 0)] * n
    reasoning = [(long + "So it is 4.", 1) if k % 3 == 0 else (long, 0) for k in range(n)]
    made.mip(tmp_path, {"a": instruct, "b": reasoning})
    return mip_replies(tmp_path)


def test_changes_are_those_that_were_planted(tmp_path):
    replies = planted(tmp_path)
    change = mip_changes(replies, [("a", "b"), ("a", "c")], n_boot=300).set_index("measure")
    assert set(change["reasoning"]) == {"b"}
    assert change["estimate"].round(6).to_dict() == {
        "abstains": round(-1 / 3, 6),
        "abstains_unboxed": round(-1 / 3, 6),
        "noticed": 0.0,
        "answers_given_noticed": round(1 / 3, 6),
        "noticed_early": 0.0,
        "answers_given_noticed_early": round(1 / 3, 6),
        "log2_words": change.loc["log2_words", "estimate"].round(6),
    }
    words = replies.pivot(index="question_id", columns="model", values="words")
    expected = np.log2(words["b"] / words["a"]).mean()
    assert change.loc["log2_words", "estimate"] == pytest.approx(expected)
    inner = change.loc[["abstains", "answers_given_noticed"]]
    assert (inner["lo"] < inner["estimate"]).all()
    assert (inner["hi"] > inner["estimate"]).all()
    assert (change["n"] == 60).all()


def test_lengths_are_means_by_what_is_concluded(tmp_path):
    replies = planted(tmp_path, 30)
    lengths = reply_lengths(replies, n_boot=100).set_index(["model", "concluded"])
    long = len((GAP + " Wait. ").split()) * 2
    assert ("a", "answer") not in lengths.index
    assert lengths.loc[("b", "abstain"), "estimate"] == long
    assert lengths.loc[("b", "answer"), ["estimate", "median", "n"]].tolist() == [
        long + 4,
        long + 4,
        10,
    ]
    assert lengths.loc[("b", "all"), "estimate"] == pytest.approx(long + 4 / 3)
