"""Thoughts of a reply, and how much of a wrong one came after its first right thought.

Wang et al., "Thoughts Are All Over the Place: On the Underthinking of o1-Like LLMs", arXiv
2501.18585. They let a model cut replies into thoughts and judge each; here a thought ends where a
sentence begins with a switch word, and a thought is right by a rule or by a column of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.grading.outcomes import holds_answer
from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import Weighted, hierarchical_bootstrap, weighted_ratio

SWITCH_WORDS = ("alternatively", "alternately", "wait", "but wait", "hmm", "another approach",
                "another way", "let me try another", "let me try a different", "on the other hand",
                "hold on", "instead")  # fmt: skip
"""What begins another thought, at the beginning of a sentence, in any case."""
_SENTENCE = r"(?:\A|(?<=\n)|(?<=[.?!:;]\s)|(?<=>))[ \t]*"


def thought_spans(
    text: str, words: Sequence[str] = SWITCH_WORDS, *, anywhere: bool = False
) -> list[tuple[int, int]]:
    """The [start, stop) characters of each thought; together they are the whole text.

    Args:
        text: a reply or its chain.
        words: what begins another thought, as whole words in any case.
        anywhere: also within a sentence, for chains that are written without full stops. Otherwise
            "wait for the bus" within a sentence begins nothing.

    Raises:
        InputError: no words, or an empty one.
    """
    starts = [match.start() for match in _pattern(tuple(words), anywhere).finditer(text)]
    edges = [0, *(start for start in starts if text[:start].strip()), len(text)]
    return [(start, stop) for start, stop in pairwise(edges) if stop > start]


def thought_rows(
    replies: pd.DataFrame,
    answers: Mapping[str, Sequence[str]],
    tokenizer: Any,
    *,
    words: Sequence[str] = SWITCH_WORDS,
    anywhere: bool = False,
    is_right: Callable[[str, Sequence[str]], bool] = holds_answer,
) -> pd.DataFrame:
    """One row a thought of each reply.

    Args:
        replies: prompt_id, sample, text.
        answers: right answers by prompt; a prompt without one has no right thought.
        tokenizer: counts tokens, each in the thought that it ends in: a token may begin with the
            space before the thought.
        words: as for `thought_spans`.
        anywhere: as for `thought_spans`.
        is_right: whether a thought, with the answers, comes to one of them. The default asks only
            whether the answer stands in it, which a passing mention does too.

    Returns:
        prompt_id, sample, thought (from 0), tokens, right. A reply without text has no rows.

    Raises:
        InputError: a missing column, no replies, one that is no text, or a reply to a prompt that
            has no entry.
    """
    check_columns("replies", replies, ("prompt_id", "sample", "text"), ("prompt_id",))
    rows: list[dict[str, Any]] = []
    for reply in replies.to_dict("records"):
        prompt_id, text = reply["prompt_id"], reply["text"]
        if prompt_id not in answers:
            raise InputError(f"thoughts: no entry for prompt {prompt_id} among the answers")
        if not isinstance(text, str):
            raise InputError(f"thoughts, prompt {prompt_id}: the text is {text!r}, expected a text")
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        last_T = np.array([max(a, b - 1) for a, b in offsets["offset_mapping"]])
        known = answers[prompt_id]
        for number, (start, stop) in enumerate(thought_spans(text, words, anywhere=anywhere)):
            rows.append(
                {"prompt_id": prompt_id, "sample": reply["sample"], "thought": number}
                | {"tokens": int(((last_T >= start) & (last_T < stop)).sum())}
                | {"right": bool(known) and is_right(text[start:stop], known)}
            )
    kinds = {"thought": int, "tokens": int, "right": bool}  # of no rows too
    return pd.DataFrame(rows, columns=["prompt_id", "sample", *kinds]).astype(kinds)


def underthinking_table(
    items: pd.DataFrame,
    thoughts: pd.DataFrame,
    *,
    units: Sequence[str],
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """How much of wrong answers was said after a right thought, and how often thoughts change.

    xi = mean over wrong answers of 1 - T'/T: T' tokens up to and including the first right thought,
    T all of them. As in arXiv 2501.18585 a wrong answer without a right thought has T' = T and
    counts as 0: it was not inefficient, it never had it. `xi_with_right` leaves those out.

    Args:
        items: one row a reply: prompt_id, sample, outcome ("correct", "wrong" or another, which
            are left out), and the units. Replies without a thought are left out and counted.
        thoughts: as from `thought_rows`; `right` may be a judge's.
        units: columns of the units that intervals are over, from the top.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns measure, estimate, lo, hi (95%, `hierarchical_bootstrap`), n (replies behind the
        row). Measures: xi, xi_with_right, has_right (share of wrong answers with a right thought),
        thoughts_wrong, thoughts_correct and tokens_wrong, tokens_correct (means a reply),
        thoughts_ratio and tokens_ratio (wrong over correct), and empty (replies without a thought,
        a count). A measure of nothing is NaN.

    Raises:
        InputError: no rows, a missing column, a reply or a thought twice, thoughts of no reply in
            `items`, or one that is neither right nor not.
    """
    check_columns("underthinking", items, ("prompt_id", "sample", "outcome", *units), units)
    key = ["prompt_id", "sample"]
    if items.duplicated(key).any():
        twice = items[items.duplicated(key)].iloc[0]
        raise InputError(f"underthinking: sample {twice['sample']} of {twice['prompt_id']} twice")
    missing = [column for column in (*key, "thought", "tokens", "right") if column not in thoughts]
    if missing:
        raise InputError(f"underthinking: the thoughts lack the column {', '.join(missing)}")
    if thoughts.duplicated([*key, "thought"]).any() or not thoughts["right"].isin([0, 1]).all():
        raise InputError(
            "underthinking: a thought is there twice, or one is neither right nor not; call one "
            "that no judge has read false"
        )
    of_reply = _of_replies(thoughts, key)
    if len(of_reply[key].merge(items[key])) != len(of_reply):
        raise InputError("underthinking: there are thoughts of replies that are not in the items")
    merged = items.join(of_reply.set_index(key), on=key)
    told = merged[merged["outcome"].isin(["correct", "wrong"])]
    kept = told[told["T"].fillna(0) > 0]
    wrong_N = (kept["outcome"] == "wrong").to_numpy()
    right_N, T_N = kept["first"].notna().to_numpy(), kept["T"].to_numpy(float)
    lost_N = 1 - kept["first"].fillna(kept["T"]).to_numpy(float) / T_N
    count_N = kept["thoughts"].to_numpy(float)
    measures: dict[str, tuple[Weighted, np.ndarray]] = {
        "xi": (_mean_of(lost_N, wrong_N), wrong_N),
        "xi_with_right": (_mean_of(lost_N, wrong_N & right_N), wrong_N & right_N),
        "has_right": (_mean_of(right_N, wrong_N), wrong_N),
    }
    for name, value_N in (("thoughts", count_N), ("tokens", T_N)):
        wrong, correct = _mean_of(value_N, wrong_N), _mean_of(value_N, ~wrong_N)
        measures[f"{name}_wrong"] = wrong, wrong_N
        measures[f"{name}_correct"] = correct, ~wrong_N
        both_N = np.full(len(kept), bool(wrong_N.any() and (~wrong_N).any()))
        measures[f"{name}_ratio"] = (lambda w, a=wrong, b=correct: a(w) / b(w)), both_N
    levels = {unit: kept[unit].to_numpy() for unit in units}
    rows: list[dict[str, Any]] = []
    for name, (statistic, of_N) in measures.items():
        row: dict[str, Any] = {"measure": name, "estimate": np.nan, "lo": np.nan, "hi": np.nan}
        if of_N.any():
            row |= hierarchical_bootstrap(statistic, levels, n_boot=n_boot, seed=seed).columns()
        rows.append(row | {"n": int(of_N.sum())})
    empty = {"estimate": len(told) - len(kept), "lo": np.nan, "hi": np.nan, "n": len(told)}
    return pd.DataFrame([*rows, {"measure": "empty"} | empty])


def _of_replies(thoughts: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """T, tokens up to the end of the first right thought (missing without one), and thoughts."""
    ordered = thoughts.sort_values([*key, "thought"])
    upto = ordered.groupby(key)["tokens"].cumsum()
    first = upto.where(ordered["right"].astype(bool)).groupby([ordered[c] for c in key]).min()
    grouped = ordered.groupby(key)["tokens"]
    found = pd.DataFrame({"T": grouped.sum(), "first": first, "thoughts": grouped.size()})
    return found.reset_index()


def _mean_of(value_N: np.ndarray, of_N: np.ndarray) -> Weighted:
    """Weighted mean of the rows that it is of; NaN of none."""
    return weighted_ratio(value_N * of_N, of_N)


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...], anywhere: bool) -> re.Pattern[str]:
    if not words or not all(word.strip() for word in words):
        raise InputError(f"thoughts: the switch words are {words}; expected some, none empty")
    longest_first = sorted((re.escape(word.strip()) for word in words), key=len, reverse=True)
    before = "" if anywhere else _SENTENCE
    return re.compile(rf"{before}\b(?:{'|'.join(longest_first)})\b", re.IGNORECASE)
