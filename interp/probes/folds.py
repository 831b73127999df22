"""Folds that never put one entity on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from interp.errors import InputError

Fold = tuple[np.ndarray, np.ndarray]
"""Row indices to fit on, and row indices held out."""


def grouped_folds(
    groups: Sequence[object] | np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    n_splits: int,
    seed: int,
) -> list[Fold]:
    """Folds of about equal class balance in which all rows of a group are held out together.

    scikit-learn's `StratifiedGroupKFold`, shuffled.

    Args:
        groups: entity (or minimal pair) of each row.
        labels: class of each row.
        n_splits: number of folds; every row is held out in exactly one.
        seed: of the shuffle.

    Raises:
        InputError: lengths that differ, fewer than 2 folds, or a class with too few groups to be
            on both sides of every fold.
    """
    label_N, group_N = np.asarray(labels, dtype=bool), np.asarray(groups)
    if len(label_N) != len(group_N):
        raise InputError(
            f"folds: {len(group_N)} groups for {len(label_N)} labels; expected one of each a row."
        )
    if n_splits < 2:
        raise InputError(f"folds: n_splits is {n_splits}; expected at least 2.")
    for label in (True, False):
        n_groups = len(np.unique(group_N[label_N == label]))
        if n_groups < n_splits:
            raise InputError(
                f"folds: {n_groups} groups have the label {label}; {n_splits} folds need at least "
                "as many of each label, so use fewer folds or more entities."
            )
    folds = _split(tuple(group_N.tolist()), label_N.tobytes(), n_splits, seed)
    check_folds(folds, label_N)
    return [(fitted.copy(), held_out.copy()) for fitted, held_out in folds]


@lru_cache(maxsize=64)
def _split(groups: tuple[object, ...], labels: bytes, n_splits: int, seed: int) -> tuple[Fold, ...]:
    """Kept, since a sweep asks for the same folds in every layer, and they are slow to deal."""
    label_N = np.frombuffer(labels, dtype=bool)
    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    return tuple(splitter.split(np.zeros(len(label_N)), label_N, np.array(groups)))


def leave_one_out_folds(
    units: Sequence[object] | np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
) -> list[Fold]:
    """One fold a unit (a scenario, a dataset), which is held out whole.

    Whether a probe reads what it was fitted for, or the topic of the data it was fitted on, shows
    only on data of another kind.

    Args:
        units: of each row; folds come in the order in which units first appear.
        labels: class of each row.
        groups: entity (or minimal pair) of each row, which must lie in one unit.

    Raises:
        InputError: lengths that differ, fewer than two units, a unit with rows of one class only
            (its AUROC has no value), or a group in two units, so that it would be fitted on and
            held out.
    """
    label_N = np.asarray(labels, dtype=bool)
    listed, together = np.asarray(units).tolist(), np.asarray(groups).tolist()
    if not len(listed) == len(together) == len(label_N):
        raise InputError(
            f"folds: {len(listed)} units and {len(together)} groups for {len(label_N)} labels; "
            "expected one of each a row."
        )
    names = list(dict.fromkeys(listed))
    if len(names) < 2:
        raise InputError(
            f"folds: all rows are of {names[0] if names else 'no unit'!r}; leaving one out needs "
            "two, so take folds of pairs."
        )
    first_of: dict[object, int] = {}
    for row, group in enumerate(together):
        first = first_of.setdefault(group, row)
        if listed[first] != listed[row]:
            raise InputError(
                f"folds: rows {first} and {row} are both of {group!r}, but one is of "
                f"{listed[first]!r} and the other of {listed[row]!r}; held out with one it would "
                "be fitted on with the other, so give each group one unit."
            )
    unit_N = np.array([names.index(unit) for unit in listed])
    for number, name in enumerate(names):
        inside = label_N[unit_N == number]
        if inside.all() or not inside.any():
            rows = np.flatnonzero(unit_N == number)
            raise InputError(
                f"folds: all {len(inside)} rows of {name!r} (row {rows[0]} is the first) have the "
                f"label {bool(inside[0])}; held out alone they have no AUROC, so leave them out "
                "or add rows of the other class."
            )
    folds = [
        (np.flatnonzero(unit_N != number), np.flatnonzero(unit_N == number))
        for number in range(len(names))
    ]
    check_folds(folds, label_N)
    return folds


def check_folds(folds: Sequence[Fold], label_N: np.ndarray) -> None:
    """Refuses folds that do not hold each row out once, or lack a class on the fitted side.

    Raises:
        InputError: names the fold.
    """
    held_out_N = np.sort(np.concatenate([held_out for _, held_out in folds]))
    if not np.array_equal(held_out_N, np.arange(len(label_N))):
        raise InputError(
            f"folds: they hold out {len(held_out_N)} rows of {len(label_N)}; every row must be "
            "held out exactly once, so make the folds from these very rows."
        )
    for number, (fitted, _) in enumerate(folds):
        if label_N[fitted].all() or not label_N[fitted].any():
            raise InputError(
                f"folds: fold {number} has one class only to fit on; use fewer folds or more "
                "entities of the rarer class."
            )


def check_apart(folds: Sequence[Fold], group_N: np.ndarray) -> None:
    """Refuses folds that fit on a part of a group whose other rows they hold out.

    Raises:
        InputError: names the fold, the group and two of its rows.
    """
    for number, (fitted, held_out) in enumerate(folds):
        first = {group_N[row]: row for row in reversed(fitted.tolist())}
        torn = next((row for row in held_out.tolist() if group_N[row] in first), None)
        if torn is not None:
            raise InputError(
                f"folds: fold {number} holds out row {torn} and fits on row "
                f"{first[group_N[torn]]}, which are both of '{group_N[torn]}'; make folds with "
                "`grouped_folds`, which keeps groups on one side."
            )
