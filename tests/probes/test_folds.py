from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.errors import InputError
from interp.probes import grouped_folds, leave_one_out_folds, out_of_fold_scores
from interp.stats import auroc
from tests.probes.planted import tensor


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=20, max_size=40),
    n_splits=st.integers(2, 5),
    seed=st.integers(0, 10),
)
def test_each_row_is_held_out_once_and_no_entity_is_on_both_sides(
    sizes: list[int], n_splits: int, seed: int
) -> None:
    groups = np.repeat([f"entity {n}" for n in range(len(sizes))], sizes)
    labels = np.repeat(np.arange(len(sizes)) % 2 == 0, sizes)
    folds = grouped_folds(groups, labels, n_splits, seed)
    assert len(folds) == n_splits
    held_out = np.concatenate([held for _, held in folds])
    assert sorted(held_out) == list(range(len(labels)))
    for fitted, held in folds:
        assert not set(groups[fitted]) & set(groups[held])
        assert sorted([*fitted, *held]) == list(range(len(labels)))
        assert set(labels[fitted]) == {True, False}


def test_the_seed_decides() -> None:
    groups, labels = np.arange(60), np.arange(60) % 2 == 0
    first, again, other = (grouped_folds(groups, labels, 5, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_folds_are_the_caller_s_own() -> None:
    groups, labels = np.arange(40), np.arange(40) % 2 == 0
    first = grouped_folds(groups, labels, 4, 0)
    kept = [held_out.copy() for _, held_out in first]
    for fitted, held_out in first:
        fitted[:], held_out[:] = 0, 0
    again = grouped_folds(groups, labels, 4, 0)
    assert all(
        np.array_equal(held_out, was) for (_, held_out), was in zip(again, kept, strict=True)
    )


def test_knowing_the_entity_does_not_help_a_probe() -> None:
    """Activations that name the entity, and nothing else, read nothing of new entities."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(80), 8)
    labels = rng.permutation(np.arange(80) % 2 == 0)[groups]
    acts = rng.normal(size=(80, 40))[groups] + 0.01 * rng.normal(size=(640, 40))
    by_entity = grouped_folds(groups, labels, 5, 0)
    by_row = grouped_folds(np.arange(640), labels, 5, 0)
    assert auroc(out_of_fold_scores(tensor(acts), labels, by_row), labels) > 0.85
    assert abs(auroc(out_of_fold_scores(tensor(acts), labels, by_entity), labels) - 0.5) < 0.15


@pytest.mark.parametrize(
    ("groups", "labels", "n_splits", "message"),
    [
        ([1, 2], [True], 2, "2 groups for 1 labels"),
        ([1, 2], [True, False], 1, "n_splits is 1"),
        ([1, 1, 2, 3], [True, True, False, False], 2, "1 groups have the label True"),
        ([1, 2, 3, 4], [True] * 4, 2, "0 groups have the label False"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(
    groups: list[int], labels: list[bool], n_splits: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        grouped_folds(groups, labels, n_splits, 0)


def test_leaving_one_scenario_out_holds_each_out_whole() -> None:
    units = np.repeat(["stale", "subjective", "false premise"], [6, 4, 8])
    labels = np.arange(18) % 2 == 0
    folds = leave_one_out_folds(units, labels, np.arange(18) // 2)
    assert [set(units[held]) for _, held in folds] == [{"stale"}, {"subjective"}, {"false premise"}]
    for fitted, held in folds:
        assert not set(units[fitted]) & set(units[held])
        assert sorted([*fitted, *held]) == list(range(18))


@pytest.mark.parametrize(
    ("units", "labels", "groups", "message"),
    [
        ("aabb", [1, 0, 1, 0], [0, 1, 1, 2], "rows 1 and 2 are both of 1, but one is of 'a'"),
        ("aabb", [1, 0, 1, 1], [0, 1, 2, 3], r"all 2 rows of 'b' \(row 2 is the first\) have"),
        ("aaaa", [1, 0, 1, 0], [0, 1, 2, 3], "all rows are of 'a'"),
        ("aab", [1, 0, 1, 0], [0, 1, 2, 3], "3 units and 4 groups for 4 labels"),
    ],
)
def test_scenarios_that_cannot_be_left_out_are_refused(
    units: str, labels: list[int], groups: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        leave_one_out_folds(list(units), np.array(labels, dtype=bool), groups)
