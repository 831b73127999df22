"""Recovered gaps and counted bits against numbers by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.errors import InputError
from interp.interventions.hybrid_gap import ITEM_COLUMNS, advice_bits, gap_table


def items_of(**correct: list[list[int]]) -> pd.DataFrame:
    """By arm, marks of each draw, an item a column."""
    rows = [
        (f"p{n}", f"e{n}", 0, arm, draw, bool(mark), 8, 2 * (arm == "full"), 3.0, 1.0)
        for arm, draws in correct.items()
        for draw, marks in enumerate(draws)
        for n, mark in enumerate(marks)
    ]
    return pd.DataFrame(rows, columns=list(ITEM_COLUMNS))


def table_of(**correct: list[list[int]]) -> pd.DataFrame:
    return gap_table(items_of(**correct), seed=0, n_boot=400).set_index("arm")


BASE = [1, 0, 0, 0, 0, 0, 0, 1, 0, 0] * 4
THINK = [1, 1, 1, 1, 1, 0, 1, 1, 0, 1] * 4
FULL = [1, 1, 0, 1, 0, 0, 1, 1, 0, 0] * 4


def test_the_gap_recovered_is_a_ratio_of_gains():
    table = table_of(base=[BASE], think=[THINK], full=[FULL])
    full = table.loc["full"]
    assert full["accuracy"] == pytest.approx(0.5)
    assert full["gap"] == pytest.approx(0.6)
    assert full["recovered"] == pytest.approx(0.5)
    assert 0 < full["recovered_lo"] < 0.5 < full["recovered_hi"] < 1
    assert full["share_steered"] == pytest.approx(0.25)
    assert (full["oracle_bits"], full["timing_bits"]) == (3, 1)
    assert table.loc["base", "recovered"] == 0
    assert table.loc["think", ["recovered", "recovered_lo", "recovered_hi"]].tolist() == [1, 1, 1]


def test_numerator_and_denominator_are_resampled_together():
    """Where an arm gains exactly half of what the thinker does on every item, all resamples do."""
    marks = [1, 0, 0, 0] * 10
    table = table_of(base=[[0] * 40], think=[marks], half=[marks, [0] * 40])
    half = table.loc["half", ["recovered", "recovered_lo", "recovered_hi"]].tolist()
    assert half == pytest.approx([0.5] * 3)
    assert table.loc["think", "gap_lo"] < 0.2 < table.loc["think", "gap_hi"]
    assert (table.loc["half", "n_prompts"], table.loc["half", "n_replies"]) == (40, 80)


def test_a_share_of_a_gap_that_may_be_nothing_has_no_limits():
    """All items differ, so no resample of an odd number has a gap of 0: the ratio is always 1."""
    think = [1] * 21 + [0] * 19
    base = [1 - mark for mark in think]
    table = table_of(base=[base], think=[think], full=[think])
    assert table.loc["full", "gap_lo"] < 0 < table.loc["full", "gap_hi"]
    assert table.loc["full", "recovered"] == pytest.approx(1)
    assert np.isnan(table.loc["full", ["recovered_lo", "recovered_hi"]].astype(float)).all()
    nothing = table_of(base=[BASE], think=[BASE], full=[FULL]).loc["full"]
    assert np.isnan(nothing[["recovered", "recovered_lo", "recovered_hi"]].astype(float)).all()


def test_items_and_not_prompts_are_resampled():
    """Copies of every item under one name make nothing surer."""
    once = items_of(base=[BASE], think=[THINK], full=[FULL])
    copies = [once.assign(prompt_id=once["prompt_id"] + f"_{n}") for n in range(5)]
    wide, again, sure = (
        gap_table(frame, seed=0, n_boot=400).set_index("arm").loc["full"]
        for frame in (
            once,
            pd.concat(copies),
            pd.concat([copy.assign(item=copy["prompt_id"]) for copy in copies]),
        )
    )
    width = wide["recovered_hi"] - wide["recovered_lo"]
    assert again["recovered_hi"] - again["recovered_lo"] == pytest.approx(width, rel=0.2)
    assert sure["recovered_hi"] - sure["recovered_lo"] < 0.6 * width


def steps_of(*replies: list[tuple[int, float]]) -> pd.DataFrame:
    """Steps (category, coefficient) of each reply; -1 is not steered."""
    return pd.DataFrame(
        [
            {
                "prompt_id": f"p{n}",
                "sample": 0,
                "step": step,
                "steered": category >= 0,
                "category": category,
                "coefficient": coefficient,
            }
            for n, steps in enumerate(replies)
            for step, (category, coefficient) in enumerate(steps)
        ]
    )


NOT = (-1, 0.0)


def test_bits_are_counted_step_by_step():
    steps = steps_of([NOT, (0, 1.0), (2, 0.5), NOT], [NOT, NOT], [(0, 1.0)] * 3)
    bits = advice_bits(steps, 8)
    assert bits["prompt_id"].tolist() == ["p0", "p1", "p2"]
    assert bits["n_steps"].tolist() == [4, 2, 3]
    assert bits["n_steered"].tolist() == [2, 0, 3]
    assert bits["oracle_bits"].tolist() == [6, 0, 9]
    assert bits["timing_bits"].tolist() == pytest.approx([np.log2(6), 0, 0], abs=1e-9)
    assert advice_bits(steps, 8, timed=False)["timing_bits"].eq(0).all()
    assert advice_bits(steps, 1)["oracle_bits"].eq(0).all()


def test_coefficients_that_vary_within_a_category_are_advice_too():
    """Category 0 has two, as often: a bit each; category 1 always has the same: none."""
    steps = steps_of([(0, 1.0), (0, 0.5), (1, 0.5)], [(0, 0.5), (0, 1.0), NOT, (1, 0.5)])
    bits = advice_bits(steps, 4)
    assert bits["oracle_bits"].tolist() == pytest.approx([3 * 2 + 2, 3 * 2 + 2])
    three_to_one = steps_of([(0, 1.0)] * 3 + [(0, 0.5)])
    entropy = 2 - 0.75 * np.log2(3)
    assert advice_bits(three_to_one, 1)["oracle_bits"].item() == pytest.approx(4 * entropy)


def test_what_does_not_fit_is_refused():
    items = items_of(base=[BASE], think=[THINK])
    with pytest.raises(InputError, match="columns missing: correct; arms: none"):
        gap_table(items.drop(columns="correct"), seed=0)
    with pytest.raises(InputError, match="columns missing: none; arms: base; expected 'base' and"):
        gap_table(items[items["arm"] == "base"], seed=0)
    with pytest.raises(InputError, match="the arm 'think' lacks prompts that others have"):
        gap_table(items.iloc[:-1], seed=0)
    with pytest.raises(InputError, match="advice bits: 2 categories; expected 3"):
        advice_bits(steps_of([(2, 1.0)]), 2)
    with pytest.raises(InputError, match="advice bits: 0 categories; expected 1"):
        advice_bits(steps_of([NOT]), 0)
