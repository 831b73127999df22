"""Folds that never put one entity on both sides."""

from __future__ import annotations

from collections.abc import Sequence

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
    splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    folds = list(splitter.split(np.zeros(len(label_N)), label_N, group_N))
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
