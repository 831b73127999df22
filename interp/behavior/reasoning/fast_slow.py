r"""Fast answers (no chain of thought) against slow ones: what a chain corrects and what it spoils.

Source: arXiv 2507.18178 (AAAI'26). Of the questions D, D_right are answered right fast and D_wrong
are not:

    C_KR  = A_fast, accuracy without a chain: what knowledge alone does
    delta = A_slow - A_fast = delta_c - delta_o
    r_c   = P(slow right | fast wrong), the chain corrects;   delta_c = r_c |D_wrong| / |D|
    r_o   = P(slow wrong | fast right), the chain spoils;     delta_o = r_o |D_right| / |D|

so delta = (r_c |D_wrong| - r_o |D_right|) / |D| exactly. In the paper a slow reply sees the fast
answer before its chain (`slow_prompts`); whoever asks without it measures two independent replies,
of which some change by chance at temperatures above 0.

Abstaining is not right here, so it is among the wrong of the 2x2, where giving up a wrong answer
and keeping it are the same. The 3x3 table beside it takes abstention as an outcome of its own:
`slow_abstains_given_fast_wrong` is what a chain gives up rightly,
`slow_wrong_given_fast_abstains` is a chain that talks itself into an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from interp.behavior.grading.outcomes import Outcome
from interp.behavior.reasoning.contrasts import Measures, contrast_table
from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.prompts import PromptSet

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TWO_BY_TWO: Measures = {
    "C_KR": "fast_right",
    "A_slow": "slow_right",
    "delta": "change",
    "r_c": ("slow_right", "fast_wrong"),
    "r_o": ("slow_wrong", "fast_right"),
    "delta_c": "corrected",
    "delta_o": "spoiled",
}
"""Each measure's column of `fast_slow_items`, and the column of the items that it is of."""

AGAIN = "Now think about it step by step, then answer the question again."


def slow_prompts(prompts: PromptSet, fast: pd.DataFrame, *, ask: str = AGAIN) -> PromptSet:
    """Each prompt with its fast answer behind it and the request to think, as the paper asks.

    Args:
        prompts: as they were asked fast.
        fast: one reply a prompt: prompt_id, answer; further columns and prompts do not matter.
        ask: what is said behind the fast answer: by the user, or in a line below a plain text.

    Returns:
        The same prompts in their order; their `meta["mode"]` is "cot", so that chat templates that
        know of thinking turn it on.

    Raises:
        InputError: nothing to ask by, a missing column, or not one reply a prompt.
    """
    if not ask.strip():
        raise InputError("slow prompts: ask is empty; say that the question is to be thought about")
    check_columns("fast replies", fast, ("prompt_id", "answer"), ("prompt_id",))
    counts, said = fast["prompt_id"].value_counts(), fast.set_index("prompt_id")["answer"]
    records = []
    for row in prompts.frame.to_dict("records"):
        if (n := int(counts.get(row["prompt_id"], 0))) != 1:
            raise InputError(f"slow prompts, prompt {row['prompt_id']}: {n} replies; expected one")
        answer = said[row["prompt_id"]].strip()
        if row["text"] is None:
            turns = [{"role": "assistant", "content": answer}, {"role": "user", "content": ask}]
            changed: dict[str, Any] = {"messages": [*row["messages"], *turns]}
        else:
            changed = {"text": f"{row['text'].rstrip()} {answer}\n{ask}"}
        records.append(row | changed | {"meta": row["meta"] | {"mode": "cot"}})
    return PromptSet.from_records(records)


def fast_slow_items(fast: pd.DataFrame, slow: pd.DataFrame) -> pd.DataFrame:
    """Both outcomes of each question and model, side by side.

    Args:
        fast: one row a question and model, answered without a chain: prompt_id, model, outcome
            ("abstain", "correct", "wrong", or missing for a reply that has none), and sample if
            there are several, which are paired by number; further columns are kept.
        slow: the same questions, with a chain: prompt_id, model, outcome, and sample as in fast.

    Returns:
        The rows of fast with fast and slow (outcomes); fast_right, fast_wrong, slow_right,
        slow_wrong (of the 2x2, so wrong is all that is not right), corrected, spoiled and change,
        as numbers, NaN where either outcome is missing.

    Raises:
        InputError: no rows, a missing column, an outcome of another name, a question twice, or one
            that was asked in one way only.
    """
    key = ["model", "prompt_id", *(["sample"] if "sample" in fast and "sample" in slow else [])]
    for what, table in (("fast replies", fast), ("slow replies", slow)):
        check_columns(what, table, (*key, "outcome"), ("prompt_id",))
        strange = table[~table["outcome"].isin(OUTCOMES) & table["outcome"].notna()]
        if len(strange):
            raise InputError(
                f"{what}, prompt {strange['prompt_id'].iloc[0]}: outcome "
                f"{strange['outcome'].iloc[0]!r}; expected one of {', '.join(OUTCOMES)}"
            )
        twice = table.duplicated(key)
        if twice.any():
            raise InputError(
                f"{what}, prompt {table[twice]['prompt_id'].iloc[0]}: twice of one model; number "
                "several replies in a column sample"
            )
    named = slow[[*key, "outcome"]].rename(columns={"outcome": "slow"})
    both = fast.rename(columns={"outcome": "fast"}).merge(named, "outer", on=key, indicator=True)
    alone = both[both["_merge"] != "both"]
    if len(alone):
        row = alone.iloc[0]
        way = "fast" if row["_merge"] == "left_only" else "slow"
        raise InputError(
            f"fast and slow replies, prompt {row['prompt_id']}, model {row['model']}: only {way}; "
            "ask every question in both ways, and leave a missing outcome empty"
        )
    there = both["fast"].notna() & both["slow"].notna()
    right = {way: both[way] == "correct" for way in ("fast", "slow")}
    columns = {
        "fast_right": right["fast"],
        "fast_wrong": ~right["fast"],
        "slow_right": right["slow"],
        "slow_wrong": ~right["slow"],
        "corrected": ~right["fast"] & right["slow"],
        "spoiled": right["fast"] & ~right["slow"],
        "change": right["slow"].astype(float) - right["fast"].astype(float),
    }
    measured = {name: values.astype(float).where(there) for name, values in columns.items()}
    return both.drop(columns="_merge").assign(**measured)


def fast_slow_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    by: Sequence[str] = (),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """The 2x2 by model: C_KR, A_slow, delta, r_c, r_o, delta_c, delta_o.

    Args:
        items: as from `fast_slow_items`, with the units. Questions without a right answer have no
            place here.
        units: as for `contrast_table`.
        against: the model that others are compared with, on the questions that both were asked.
            The r_c of two models are still of different questions, those that each is wrong on.
        by: columns whose groups stand apart, such as the domain.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`. r_c is NaN for a model that is never wrong fast, r_o for one that is
        never right.

    Raises:
        InputError: a question that should be abstained on, or as `contrast_table`.
    """
    if "should_abstain" in items and (items["should_abstain"] == 1).any():
        row = items[items["should_abstain"] == 1].iloc[0]
        raise InputError(
            f"fast and slow, prompt {row['prompt_id']}: it calls for abstention and has no right "
            "answer; leave such questions to `outcome_table`"
        )
    fixed: dict[str, Any] = {"against": against, "by": by, "seed": seed, "n_boot": n_boot}
    return contrast_table(items, TWO_BY_TWO, units=units, **fixed)


def outcome_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    by: Sequence[str] = (),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """The 3x3 by model, abstention an outcome of its own.

    Args:
        items: as for `fast_slow_table`; questions that call for abstention too, apart by `by`.
        units: as for `contrast_table`.
        against: as for `fast_slow_table`.
        by: columns whose groups stand apart, such as should_abstain.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`, with the columns fast and slow: measure "share" of the nine cells, of
        all questions, and "given_fast", of those with that fast outcome: P(slow | fast).

    Raises:
        InputError: as `contrast_table`.
    """
    check_columns("fast and slow", items, ("prompt_id", "model", "fast", "slow"), units)
    there = items["fast"].notna() & items["slow"].notna()
    cells = items.assign(
        **{
            f"{way}_{outcome}": (items[way] == outcome).astype(float).where(there)
            for way in ("fast", "slow")
            for outcome in OUTCOMES
        }
    )
    of: dict[str, str | tuple[str, str]] = {}
    place: dict[str, tuple[str, str, str]] = {}
    for fast in OUTCOMES:
        for slow in OUTCOMES:
            cell = f"{fast} then {slow}"
            cells[cell] = cells[f"fast_{fast}"] * cells[f"slow_{slow}"]
            of |= {cell: cell, f"{cell}, given": (f"slow_{slow}", f"fast_{fast}")}
            place |= {cell: (fast, slow, "share"), f"{cell}, given": (fast, slow, "given_fast")}
    fixed: dict[str, Any] = {"against": against, "by": by, "seed": seed, "n_boot": n_boot}
    table = contrast_table(cells, of, units=units, **fixed)
    where = np.array([place[name] for name in table["measure"]], dtype=object)
    front = list(table.columns[: table.columns.get_loc("measure")])
    table = table.assign(fast=where[:, 0], slow=where[:, 1], measure=where[:, 2])
    return table[[*front, "fast", "slow", *table.columns.drop([*front, "fast", "slow"])]]
