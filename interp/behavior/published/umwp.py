"""Traces on UMWP read again: what a probe's intervention does to abstention, and to the rest.

Traces of R1-Distill-Qwen-7B on 300 unanswerable and 300 answerable problems (arXiv 2508.18760),
plain and with a probe that watches the chain and interrupts it. What is boxed decides, by rule. A
trace without a box is one of two things that must not be mixed: cut off (it never stops thinking)
or finished in words alone, and most of the latter abstain in words. The intervention stops nearly
all traces from being cut off; how much of its gain that is, `umwp_changes` shows beside the whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.labelled import labelled_replies
from interp.behavior.published.noticing import notice, noticed_by_length, noticed_table
from interp.behavior.published.shares import conditional_change, paired_change, share

OUTCOMES = ("abstain", "correct", "wrong", "unboxed", "cut_off")
"""What becomes of a trace: the first three as boxed."""
ARMS = ("plain", "intervention")
KEYS = ("arm", "should_abstain")


def umwp_replies(folder: Path) -> pd.DataFrame:
    """The traces, with what the tables of this module read.

    Args:
        folder: holds a folder a dataset, as published.

    Returns:
        The columns of `labelled_replies`; ended (one of `OUTCOMES`); in_words (unboxed, and what
        follows the chain says that something is missing); concluded ("abstain", boxed or in words;
        "answer", boxed; missing where a trace is cut off or ends in neither).

    Raises:
        InputError: as `labelled_replies`.
    """
    replies = labelled_replies("umwp_traces", folder)
    unboxed = replies["label"].eq("none")
    ended = (
        replies["label"].mask(unboxed, "unboxed").mask(unboxed & replies["truncated"], "cut_off")
    )
    final = replies["reply"].str.rpartition("</think>")[2]
    in_words = ended.eq("unboxed") & final.map(lambda text: notice(text).missing is not None)
    concluded = ended.map({"abstain": "abstain", "correct": "answer", "wrong": "answer"})
    return replies.assign(
        ended=ended, in_words=in_words, concluded=concluded.mask(in_words, "abstain")
    )


def umwp_outcomes(replies: pd.DataFrame) -> pd.DataFrame:
    """What becomes of traces, by arm and kind of problem, of all and of those not cut off.

    Args:
        replies: as from `umwp_replies`.

    Returns:
        arm, should_abstain, of ("all" traces or "completed" ones), outcome (`OUTCOMES`; and
        "abstain_any", boxed or in words; without what cannot be), estimate, lo, hi (Wilson's 95%),
        n.
    """
    rows: list[dict[str, Any]] = []
    for (arm, due), group in replies.groupby(list(KEYS), sort=False):
        completed = group[group["ended"] != "cut_off"]
        for of, kept in (("all", group), ("completed", completed)):
            for outcome in _measured(due, of):
                value = share(_hits(kept, outcome), kept["question_id"])
                where = {"arm": arm, "should_abstain": due, "of": of, "outcome": outcome}
                rows.append(where | value.columns() | {"n": len(kept)})
    return pd.DataFrame(rows)


def umwp_changes(replies: pd.DataFrame, *, seed: int = 0, n_boot: int = 2000) -> pd.DataFrame:
    """Intervention minus plain on the same problems.

    Args:
        replies: as from `umwp_replies`.
        seed: of the resampling.
        n_boot: resamples of problems, with both their traces.

    Returns:
        should_abstain, of ("all" problems, or "completed": those cut off in neither arm), outcome,
        estimate, lo, hi, n (problems). Outcomes as `umwp_outcomes`, and "answers_given_noticed":
        the share of answers among conclusions of traces that notice what is missing, each arm's
        own.
    """
    rows: list[dict[str, Any]] = []
    for due, group in replies.groupby("should_abstain", sort=False):
        plain, changed = (
            group[group["arm"] == arm].set_index("question_id").sort_index() for arm in ARMS
        )
        whole = plain.index[plain["ended"] != "cut_off"].intersection(
            changed.index[changed["ended"] != "cut_off"]
        )
        for of, problems in (("all", plain.index), ("completed", whole)):
            first, second = plain.loc[problems], changed.loc[problems]
            for outcome in _measured(due, of):
                before, after = _hits(first, outcome), _hits(second, outcome)
                value, n = paired_change(before, after, seed=seed, n_boot=n_boot)
                where = {"should_abstain": due, "of": of, "outcome": outcome}
                rows.append(where | value.columns() | {"n": n})
            before, after = _answers_if_noticed(first), _answers_if_noticed(second)
            value, n = conditional_change(before, after, seed=seed, n_boot=n_boot)
            where = {"should_abstain": due, "of": of, "outcome": "answers_given_noticed"}
            rows.append(where | value.columns() | {"n": n})
    return pd.DataFrame(rows)


def umwp_transitions(replies: pd.DataFrame) -> pd.DataFrame:
    """Where the intervention moves traces: how many problems go from one outcome to another.

    Args:
        replies: as from `umwp_replies`.

    Returns:
        should_abstain, before, after (`OUTCOMES`), n.
    """
    wide = replies.pivot(index=["should_abstain", "question_id"], columns="arm", values="ended")
    counts = wide.reset_index().groupby(["should_abstain", *ARMS]).size()
    table = counts.rename("n").reset_index().rename(columns={"plain": "before"})
    table = table.rename(columns={"intervention": "after"})
    order = {outcome: place for place, outcome in enumerate(OUTCOMES)}
    ranks = [table["should_abstain"], table["before"].map(order), table["after"].map(order)]
    return table.iloc[np.lexsort(ranks[::-1])].reset_index(drop=True)


def umwp_noticed(replies: pd.DataFrame) -> pd.DataFrame:
    """What traces notice against what they conclude, as `noticed_table`, by arm and problem.

    Args:
        replies: as from `umwp_replies`.

    Returns:
        arm, should_abstain and the columns of `noticed_table`; on answerable problems "noticed" is
        the rule's false alarms, which depend on length (`umwp_noticed_by_length`).
    """
    return noticed_table(replies, KEYS)


def umwp_noticed_by_length(replies: pd.DataFrame) -> pd.DataFrame:
    """How many traces of each length notice; on answerable problems that is false alarms.

    Args:
        replies: as from `umwp_replies`.

    Returns:
        arm, should_abstain and the columns of `noticed_by_length`; those cut off are among them.
    """
    return noticed_by_length(replies, KEYS)


def _measured(due: bool, of: str) -> list[str]:
    """Outcomes that can be: nothing is correct where none is due, nothing completed is cut off."""
    impossible = {"correct" if due else "", "cut_off" if of == "completed" else ""}
    return [outcome for outcome in (*OUTCOMES, "abstain_any") if outcome not in impossible]


def _hits(replies: pd.DataFrame, outcome: str) -> pd.Series:
    if outcome == "abstain_any":
        return replies["ended"].eq("abstain") | replies["in_words"]
    return replies["ended"].eq(outcome)


def _answers_if_noticed(replies: pd.DataFrame) -> pd.Series:
    counts = replies["reply"].map(lambda reply: notice(reply).first is not None)
    answers = replies["concluded"].eq("answer").astype(float)
    return answers.where(counts & replies["concluded"].notna())
