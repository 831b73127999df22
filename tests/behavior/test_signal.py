"""Agents whose sensitivity and criterion are planted: what moved is what is said to have moved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from interp.behavior import signal_table
from interp.errors import InputError


def agent(dprime: float, criterion: float, *, n: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Answers of an equal-variance observer, whose evidence is also its score."""
    rng = np.random.default_rng(seed)
    unknown_N = np.repeat([False, True], n // 2)
    evidence_N = rng.normal(size=n) + dprime * (unknown_N - 0.5)
    return pd.DataFrame(
        {
            "prompt_id": [f"p{row}" for row in range(n)],
            "entity": [f"e{row}" for row in range(n)],
            "group": np.where(unknown_N, "unknown", "known"),
            "mode": "direct",
            "outcome": np.where(evidence_N > criterion, "abstain", "wrong"),
            "score": evidence_N,
        }
    )


def of(table: pd.DataFrame, measure: str) -> pd.Series:
    return table[table["measure"] == measure].iloc[0]


PARENT = agent(2.0, 0.0)


def test_planted_sensitivity_and_criterion_are_recovered() -> None:
    table = signal_table(agent(1.0, 0.5, n=20000, seed=1), agent(2.0, 0.0, n=20000), n_boot=100)
    assert of(table, "dprime")["child"] == pytest.approx(1.0, abs=0.05)
    assert of(table, "criterion")["child"] == pytest.approx(0.5, abs=0.05)
    assert of(table, "dprime")["parent"] == pytest.approx(2.0, abs=0.05)
    assert of(table, "criterion")["estimate"] == pytest.approx(0.5, abs=0.05)
    assert of(table, "auroc")["child"] == pytest.approx(norm.cdf(1 / 2**0.5), abs=0.01)


@pytest.mark.parametrize(
    ("child", "auroc", "criterion"),
    [
        (agent(2.0, 2.0, seed=2), "kept", "answers more"),
        (agent(2.0, -1.0, seed=3), "kept", "abstains more"),
        (agent(0.0, 0.0, seed=4), "gone", None),
        (agent(1.0, 1.0, seed=5), "reduced", "answers more"),
        (agent(3.0, 0.0, seed=6), "kept", None),
    ],
    ids=["suppressed", "overcautious", "erased", "half erased", "better"],
)
def test_readings(child: pd.DataFrame, auroc: str, criterion: str | None) -> None:
    table = signal_table(child, PARENT, n_boot=300)
    assert of(table, "auroc")["reading"] == auroc
    if criterion:
        assert of(table, "criterion")["reading"] == criterion
    assert of(table, "dprime")["reading"] == "not read"


def test_too_few_questions_leave_it_undecided() -> None:
    """One swap among six and six: many a resample does not hold it."""
    parent = agent(0.0, 0.0, n=12).assign(
        score=np.arange(12.0), outcome=["wrong"] * 6 + ["abstain"] * 6
    )
    child = parent.copy()
    child.loc[[5, 6], ["score", "outcome"]] = parent.loc[[6, 5], ["score", "outcome"]].to_numpy()
    table = signal_table(child, parent, n_boot=300)
    assert of(table, "auroc")["reading"] == "undecided"
    assert of(table, "criterion")["reading"] == "undecided"


def test_a_wide_interval_is_no_sign_of_erasure() -> None:
    """Of equal models with a weak score none is ever called gone, however few the questions."""
    for seed in range(20):
        parent = agent(0.7, 0.0, n=40, seed=seed)
        child = parent.assign(score=parent["score"] + 0.3)
        assert of(signal_table(child, parent, n_boot=100), "auroc")["reading"] == "kept"
    inverted = PARENT.assign(score=-PARENT["score"])
    assert of(signal_table(inverted, PARENT, n_boot=100), "auroc")["reading"] == "reduced"


def test_rows_are_paired_by_place() -> None:
    shuffled = PARENT.set_axis(np.random.default_rng(0).permutation(len(PARENT)))
    table = signal_table(PARENT, shuffled, n_boot=20)
    assert (table[["estimate", "lo", "hi"]] == 0).all(axis=None)


def test_the_same_model_differs_in_nothing() -> None:
    table = signal_table(PARENT, PARENT, n_boot=50)
    assert (table[["estimate", "lo", "hi", "lo90", "hi90"]] == 0).all(axis=None)


@pytest.mark.parametrize(
    ("child", "said"),
    [
        (PARENT.drop(columns="score"), "the child's items lack the column score"),
        (PARENT.iloc[::-1], "different questions, or in another order"),
        (PARENT.assign(group="known"), "both known and unknown"),
    ],
)
def test_bad_items_are_refused(child: pd.DataFrame, said: str) -> None:
    with pytest.raises(InputError, match=said):
        signal_table(child, PARENT, n_boot=10)
