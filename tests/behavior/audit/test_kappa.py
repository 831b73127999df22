from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix, precision_score, recall_score

from interp.behavior.audit.kappa import (
    agreement_table,
    boundary_note,
    confusion_table,
    weighted_kappa,
)
from interp.errors import InputError

CLASSES = st.sampled_from(["abstain", "answer", "clarify"])
GRADES = st.lists(st.tuples(CLASSES, CLASSES, st.integers(0, 4)), min_size=1, max_size=25)
TRUTHS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=25)


def items_of(label, graded, source="rules", pair=None) -> pd.DataFrame:
    names = [f"p{row}" for row in range(len(label))]
    frame = pd.DataFrame({"prompt_id": names, "source": source})
    frame["pair_id"] = names if pair is None else pair
    return frame.assign(label=list(label), graded=list(graded))


def values(table: pd.DataFrame, column: str = "estimate") -> dict[str, Any]:
    return dict(zip(table["measure"], table[column], strict=True))


def test_kappa_of_a_table_worked_by_hand() -> None:
    """20 and 15 of 50 agreed, at rates .5 and .6: (.7 - .5) / (1 - .5)."""
    label = [True] * 25 + [False] * 25
    graded = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    ours = values(agreement_table(items_of(label, graded), units=["pair_id"], n_boot=10))
    assert ours == pytest.approx(
        {"agreement": 0.7, "kappa": 0.4, "sensitivity": 0.8, "specificity": 0.6}
        | {"precision": 20 / 30}
    )


@given(GRADES)
def test_weighted_kappa_is_sklearns(rows) -> None:
    label, graded, weight = map(np.array, zip(*rows, strict=True))
    kept = weight > 0
    if len({*label[kept], *graded[kept]}) < 2:
        expected = np.nan
    else:
        expected = cohen_kappa_score(label, graded, sample_weight=weight)
    # A third of the weight is the same statistic, with rounding.
    for scale in (1.0, 1 / 3):
        ours = weighted_kappa(label, graded)(scale * weight[None])
        assert ours == pytest.approx([expected], nan_ok=True, abs=1e-12)


@given(GRADES)
def test_a_rows_weight_is_its_number_of_copies_and_blocks_change_nothing(rows) -> None:
    label, graded, weight = map(np.array, zip(*rows, strict=True))
    statistic = weighted_kappa(label, graded)
    block = statistic(np.stack([weight, np.ones_like(weight)]))
    assert block[1] == pytest.approx(statistic(np.ones((1, len(rows))))[0], nan_ok=True)
    if weight.any():
        copied = np.repeat(np.arange(len(rows)), weight)
        copies = weighted_kappa(label[copied], graded[copied])(np.ones((1, len(copied))))
        assert block[0] == pytest.approx(copies[0], nan_ok=True, abs=1e-12)


@given(GRADES)
def test_kappa_is_symmetric_and_does_not_know_the_names(rows) -> None:
    label, graded, weight = map(np.array, zip(*rows, strict=True))
    here = weighted_kappa(label, graded)(weight[None])
    assert weighted_kappa(graded, label)(weight[None]) == pytest.approx(here, nan_ok=True)
    renamed = {"abstain": "z", "answer": "y", "clarify": "x"}
    other = weighted_kappa(*(np.array([renamed[x] for x in xs]) for xs in (label, graded)))
    assert other(weight[None]) == pytest.approx(here, nan_ok=True)


@given(TRUTHS)
def test_shares_are_sklearns_and_a_missing_one_says_why(rows) -> None:
    label, graded = zip(*rows, strict=True)
    table = agreement_table(items_of(label, graded), units=["pair_id"], n_boot=2)
    expected = {
        "agreement": np.mean(np.equal(label, graded)),
        "sensitivity": recall_score(label, graded, zero_division=np.nan),
        "specificity": recall_score(label, graded, pos_label=False, zero_division=np.nan),
        "precision": precision_score(label, graded, zero_division=np.nan),
    }
    ours = values(table)
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, nan_ok=True), name
    label_N = np.array(label)
    assert values(table, "n") == {
        "agreement": len(rows),
        "kappa": len(rows),
        "sensitivity": label_N.sum(),
        "specificity": (~label_N).sum(),
        "precision": sum(graded),
    }
    assert not ((table["estimate"].isna() | table["lo"].isna()) & (table["note"] == "")).any()


def test_one_class_only_has_no_kappa_and_says_so() -> None:
    table = agreement_table(items_of([False] * 9, [False] * 9), units=["pair_id"], n_boot=10)
    notes = values(table, "note")
    assert np.isnan(values(table)["kappa"])
    assert notes["kappa"] == "one class only (False): kappa is 0/0"
    assert notes["sensitivity"] == "no reply labelled True"
    assert notes["precision"] == "no reply graded True"
    # 9 of 9: the two-sided exact limit of Clopper and Pearson is .025^(1/9).
    assert "1 in all 9 units" in notes["agreement"]
    assert "0.664" in notes["agreement"]


def test_the_exact_limit_of_all_or_nothing_is_scipys() -> None:
    from scipy.stats import binomtest

    for n in (1, 9, 60):
        exact = binomtest(n, n).proportion_ci(0.95, "exact").low
        assert f"{exact:.3f}" in boundary_note(1.0, n)
        assert f"{1 - exact:.3f}" in boundary_note(0.0, n)
    assert boundary_note(0.5, 9) == ""


def test_perfect_agreement_says_that_its_limits_mean_little() -> None:
    table = agreement_table(items_of([True, False] * 8, [True, False] * 8), units=["pair_id"])
    for column in ("estimate", "lo", "hi"):
        assert table[column].tolist() == pytest.approx([1] * 5)
    assert values(table, "note")["kappa"] == "every resample is alike: no spread is shown"
    assert "1 in all 8 units" in values(table, "note")["specificity"]


def test_several_classes_at_once() -> None:
    rng = np.random.default_rng(0)
    kinds = np.array(["abstain", "answer", "clarify", "refuse"])
    label = rng.choice(kinds, 200)
    graded = np.where(rng.random(200) < 0.7, label, rng.choice(kinds, 200))
    positive = ("abstain", "clarify")
    items = items_of(label, graded)
    ours = values(agreement_table(items, units=["pair_id"], positive=positive, n_boot=20))
    assert ours["kappa"] == pytest.approx(cohen_kappa_score(label, graded))
    both = (np.isin(label, positive), np.isin(graded, positive))
    assert ours["sensitivity"] == pytest.approx(recall_score(*both))
    assert ours["specificity"] == pytest.approx(recall_score(~both[0], ~both[1]))
    assert ours["precision"] == pytest.approx(precision_score(*both))
    counted = confusion_table(items)["n"].to_numpy().reshape(4, 4)
    np.testing.assert_array_equal(counted, confusion_matrix(label, graded))


def test_confusion_has_every_pair_of_classes_for_every_source() -> None:
    items = items_of([True, True, False, True], [True, False, False, True], list("aaab"))
    table = confusion_table(items).set_index(["source", "label", "graded"])
    assert table["n"].to_dict() == {
        ("a", False, False): 1, ("a", False, True): 0, ("a", True, False): 1, ("a", True, True): 1,
        ("b", False, False): 0, ("b", False, True): 0, ("b", True, False): 0, ("b", True, True): 1,
    }  # fmt: skip
    assert table["share"]["a", True, False] == 0.5
    assert np.isnan(table["share"]["b", False, True])


def grader(n_pairs: int, seed: int) -> pd.DataFrame:
    """Pairs whose two replies share their fate: errors come in twos."""
    rng = np.random.default_rng(seed)
    pair = np.repeat(np.arange(n_pairs), 2)
    label = np.tile([True, False], n_pairs)
    fails = (rng.random(n_pairs) < 0.2)[pair]
    return items_of(label, label ^ fails, pair=pair)


def test_intervals_are_over_units_and_cover() -> None:
    """Two replies of one fate are one observation: row by row, coverage is lost."""
    hits = {"pair_id": 0, "prompt_id": 0}
    n_trials = 150
    for seed in range(n_trials):
        items = grader(60, seed)
        for unit in hits:
            table = agreement_table(items, units=[unit], seed=seed, n_boot=200)
            row = table.set_index("measure").loc["kappa"]
            # Both rates are one half, so kappa is 1 - 2 (error rate).
            hits[unit] += row["lo"] <= 0.6 <= row["hi"]
    assert 0.91 <= hits["pair_id"] / n_trials <= 0.99
    assert hits["prompt_id"] / n_trials < 0.90


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="graded"), "lack the column graded"),
        (lambda t: t.drop(columns="pair_id"), "lack the column pair_id"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(label=[True, None, True]), "prompt p1: label is None"),
        (lambda t: t.assign(graded=pd.array([True, False, None])), "prompt p2: graded is <NA>"),
        (lambda t: t.assign(graded=[True, 0.4, True]), "prompt p1: graded is 0.4"),
        (lambda t: t.assign(graded=["yes", "no", True]), "prompt p2: graded is True"),
        (lambda t: t.assign(graded=["yes", "no", "no"]), "labels such as True beside grades"),
    ],
)
def test_bad_items_are_refused(change, message) -> None:
    items = items_of([True, False, True], [True, True, False])
    with pytest.raises(InputError, match=message):
        agreement_table(change(items), units=["pair_id"], n_boot=10)


@pytest.mark.parametrize("positive", [(), "abstain", (True,), ("abstain", True)])
def test_positive_classes_of_another_kind_are_refused(positive) -> None:
    items = items_of(["abstain", "answer"], ["abstain", "abstain"])
    with pytest.raises(InputError, match="agreement: positive is"):
        agreement_table(items, units=["pair_id"], positive=positive, n_boot=10)


@pytest.mark.parametrize(("n_label", "n_graded"), [(0, 0), (2, 3)])
def test_kappa_of_rows_that_do_not_fit_is_refused(n_label, n_graded) -> None:
    with pytest.raises(InputError, match="do not fit"):
        weighted_kappa(np.ones(n_label, bool), np.ones(n_graded, bool))
