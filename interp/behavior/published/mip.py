"""MiP-Overthinking's own replies read again: who notices a missing premise, and who says so.

Fan et al. (2025, arXiv 2504.06514) give models problems that lack a premise and let GPT-4o judge
the last two paragraphs. Their label is kept; whether a reply notices on its way is a rule of words
(`interp.behavior.published.noticing`). Its false alarms are known here of one model alone, which
replies shortly (Gemma-2-27B-it, on the problems left whole), and they grow with length: that a
chain of the 32B models notices more often than a short reply may be its length, and none of them
was published on whole problems. What is noticed "early" holds all replies to their first words.

The label is lenient to models that reason: it says "insufficient" of replies that end in a boxed
number (50 of the 265 of R1-Distill-Qwen-32B on SVAMP). `abstain_rates` therefore has both, the
share that is judged to abstain and the share of these that box no number; the latter is stricter
to models that box. What holds of all models alike is the cell `unnoticed_abstains`: judged to
abstain where nothing in the reply says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.labelled import labelled_replies
from interp.behavior.grading.boxed import boxed_answers, plain
from interp.behavior.published.noticing import (
    notice,
    notice_early,
    noticed_by_length,
    noticed_table,
)
from interp.behavior.published.shares import conditional_change, paired_change, share
from interp.behavior.tables import check_columns
from interp.stats import hierarchical_bootstrap, weighted_mean

MODELS = {
    "Qwen32": "Qwen2.5-32B-Instruct",
    "DSQ": "R1-Distill-Qwen-32B",
    "s1.1": "s1.1-32B",
    "QwQ": "QwQ-32B",
    "gpt4o": "GPT-4o",
    "o1": "o1 (chain not shown)",
    "Gemma227": "Gemma-2-27B-it",
}
"""What the folders are called here, in the order of figures; that of Qwen32 is inferred. Of o1 the
final reply alone is published."""
PAIRS = (("Qwen32", "DSQ"), ("Qwen32", "s1.1"), ("Qwen32", "QwQ"), ("gpt4o", "o1"))
"""An instruct and a reasoning model of one family, not always parent and child: R1-Distill-Qwen and
QwQ come from the base model, as Qwen2.5-32B-Instruct does; s1.1 comes from the latter."""
KEYS = ("dataset", "arm", "model")

_CONCLUDED = {"abstain": "abstain", "answer": "answer", "other": "answer"}
_POWER = r"(?: ?\^ ?(?:[-+]?\d|\{[-+]?\d+\}))"
_UNIT = rf"[a-z]+(?:\.[a-z]+)*\.?{_POWER}?"
_BOXED_NUMBER = re.compile(
    r"(?:[a-z]\w* ?(?:=|\\approx|\\sim)|\\approx|\\sim)? ?"  # x = 5
    r"[-+]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)(?:/\d+|:\d\d)?"
    rf"(?: ?(?:\\times|\\cdot) ?10{_POWER})?"  # 1.5 \times 10^3
    r"(?: ?\^ ?\{?\\circ\}?)?(?: ?%)?"
    # Units of any number of words. A single letter right behind the number is an unknown (0.5x).
    rf"(?:(?: |(?=[a-z]{{2}})){_UNIT}(?:(?: ?/ ?| ){_UNIT})*)?",
    re.IGNORECASE,
)
"""One number, with what it is of."""


def mip_replies(folder: Path) -> pd.DataFrame:
    """The replies, with what the tables of this module read.

    Args:
        folder: holds a folder a dataset, as published.

    Returns:
        The columns of `labelled_replies`; concluded ("abstain", or "answer", right or not; missing
        where the judge's verdict had no form); boxes_number (the last box is a number); words.

    Raises:
        InputError: as `labelled_replies`.
    """
    replies = labelled_replies("mip", folder)
    return replies.assign(
        concluded=replies["label"].map(_CONCLUDED),
        boxes_number=replies["reply"].map(_boxes_number),
        words=replies["reply"].str.split().str.len(),
    )


def abstain_rates(replies: pd.DataFrame) -> pd.DataFrame:
    """How often each model abstains, as the paper counts it and without boxed numbers.

    Args:
        replies: as from `mip_replies`.

    Returns:
        dataset, arm ("missing" or "whole" premise), model, measure, estimate, lo, hi (Wilson's 95%
        over questions), n. Measures: abstains, of all replies with a verdict, as published;
        abstains_unboxed, those of them that do not box a number; boxed_given_abstains, the share of
        what is judged to abstain that boxes one.
    """
    rows = []
    for key, group in _valid(replies).groupby(list(KEYS), sort=False):
        question_N = group["question_id"].to_numpy()
        judged_N = (group["concluded"] == "abstain").to_numpy()
        boxed_N = group["boxes_number"].to_numpy(bool)
        for measure, value, n in (
            ("abstains", share(judged_N, question_N), len(group)),
            ("abstains_unboxed", share(judged_N & ~boxed_N, question_N), len(group)),
            (
                "boxed_given_abstains",
                share(boxed_N[judged_N], question_N[judged_N]),
                judged_N.sum(),
            ),
        ):
            where = dict(zip(KEYS, key, strict=True)) | {"measure": measure}
            rows.append(where | value.columns() | {"n": int(n)})
    return pd.DataFrame(rows)


def reply_lengths(replies: pd.DataFrame, *, seed: int = 0, n_boot: int = 2000) -> pd.DataFrame:
    """How long replies are, by what they conclude.

    Args:
        replies: as from `mip_replies`.
        seed: of the resampling.
        n_boot: resamples of questions.

    Returns:
        dataset, arm, model, concluded ("abstain", "answer", "all"), estimate (mean words), lo, hi
        (95% over questions; missing for fewer than six), median, n.
    """
    rows = []
    for key, group in _valid(replies).groupby(list(KEYS), sort=False):
        for concluded in ("all", "abstain", "answer"):
            kept = group[group["concluded"].eq(concluded) | (concluded == "all")]
            if kept.empty:
                continue
            words_N = kept["words"].to_numpy(float)
            levels = {"question": kept["question_id"].to_numpy()}
            mean = hierarchical_bootstrap(weighted_mean(words_N), levels, n_boot=n_boot, seed=seed)
            where = dict(zip(KEYS, key, strict=True)) | {"concluded": concluded}
            rows.append(
                where | mean.columns() | {"median": float(np.median(words_N)), "n": len(kept)}
            )
    return pd.DataFrame(rows)


def noticed_and_concluded(replies: pd.DataFrame) -> pd.DataFrame:
    """What replies notice against what they conclude, as `noticed_table`: P(answers | noticed).

    Args:
        replies: as from `mip_replies`.

    Returns:
        dataset, arm, model and the columns of `noticed_table`. On whole problems "noticed" is the
        rule's false alarms; "noticed_given_abstains" on the others is its hits. Models are compared
        on "early", as replies differ in length.
    """
    return noticed_table(replies, KEYS)


def mip_noticed_by_length(replies: pd.DataFrame) -> pd.DataFrame:
    """How many replies of each length notice; on whole problems that is false alarms.

    Args:
        replies: as from `mip_replies`.

    Returns:
        dataset, arm, model and the columns of `noticed_by_length`.
    """
    return noticed_by_length(replies, KEYS)


def mip_changes(
    replies: pd.DataFrame,
    pairs: Sequence[tuple[str, str]] = PAIRS,
    *,
    seed: int = 0,
    n_boot: int = 2000,
) -> pd.DataFrame:
    """Reasoning model minus instruct model on the same problems with a missing premise.

    Args:
        replies: as from `mip_replies`.
        pairs: instruct and reasoning model; those of which a dataset lacks one are left out there.
        seed: of the resampling.
        n_boot: resamples of questions, which both models' replies move with.

    Returns:
        dataset, instruct, reasoning, measure, estimate, lo, hi, n (questions). Measures: abstains,
        abstains_unboxed, noticed, answers_given_noticed (of what each of them noticed itself), both
        of these also with _early (noticed within the first words, which length does not help), and
        log2_words (of the ratio of lengths: 1 is twice as long).
    """
    check_columns("replies", replies, ("question_id", "concluded", *KEYS), ["question_id"])
    missing = _valid(replies[replies["arm"] == "missing"])
    missing = missing.assign(
        noticed=missing["reply"].map(lambda reply: notice(reply).first is not None),
        noticed_early=missing["reply"].map(lambda reply: notice_early(reply).first is not None),
    )
    rows: list[dict[str, Any]] = []
    for dataset, group in missing.groupby("dataset", sort=False):
        of_model = {m: rows.set_index("question_id") for m, rows in group.groupby("model")}
        for instruct, reasoning in pairs:
            if instruct not in of_model or reasoning not in of_model:
                continue
            for measure, (change, hit) in _CHANGES.items():
                before, after = hit(of_model[instruct]), hit(of_model[reasoning])
                value, n = change(before, after, seed=seed, n_boot=n_boot)
                where = {"dataset": dataset, "instruct": instruct, "reasoning": reasoning}
                rows.append(where | {"measure": measure} | value.columns() | {"n": n})
    return pd.DataFrame(rows)


_CHANGES: dict[str, tuple[Callable[..., Any], Callable[[pd.DataFrame], pd.Series]]] = {
    "abstains": (paired_change, lambda rows: rows["concluded"] == "abstain"),
    "abstains_unboxed": (
        paired_change,
        lambda rows: (rows["concluded"] == "abstain") & ~rows["boxes_number"],
    ),
    "noticed": (paired_change, lambda rows: rows["noticed"]),
    "answers_given_noticed": (
        conditional_change,
        lambda rows: (rows["concluded"] == "answer").astype(float).where(rows["noticed"]),
    ),
    "noticed_early": (paired_change, lambda rows: rows["noticed_early"]),
    "answers_given_noticed_early": (
        conditional_change,
        lambda rows: (rows["concluded"] == "answer").astype(float).where(rows["noticed_early"]),
    ),
    "log2_words": (paired_change, lambda rows: np.log2(rows["words"])),
}


def _valid(replies: pd.DataFrame) -> pd.DataFrame:
    """Without the verdicts that had no form, as the paper counts."""
    return replies[replies["concluded"].notna()]


def _boxes_number(reply: str) -> bool:
    boxes = [shown for box in boxed_answers(reply) if (shown := plain(box))]
    return bool(boxes) and _BOXED_NUMBER.fullmatch(boxes[-1].rstrip(".")) is not None
