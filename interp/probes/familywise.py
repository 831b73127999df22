"""Is anything linearly readable anywhere? One test over all layers, positions and penalties."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from interp.probes.controls import shuffled_labels
from interp.probes.folds import Fold, check_folds
from interp.probes.linear import as_matrix
from interp.stats import Interval, auroc_columns, max_t

Cell = TypeVar("Cell", bound=Hashable)

PENALTIES = (1.0, 100.0, 10_000.0)
"""Ridge penalties on standardised activations, from nearly none to nearly the mean difference."""


def strongest_reader(
    acts_by_cell: Mapping[Cell, Float[Tensor, "n d"]],
    labels: Sequence[bool] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    folds: Sequence[Fold],
    *,
    n_shuffles: int,
    seed: int,
) -> dict[Cell, tuple[Interval, float]]:
    """The best ridge probe of each cell, and its chance among shuffled labels over all cells.

    In every cell the penalty with the highest held-out AUROC is taken, for the true labels and for
    each shuffle alike, so the choice costs nothing. Shuffles move whole groups and are the same in
    all cells; p-values are adjusted by the maximum over cells (Westfall and Young, single step),
    so one p below .05 anywhere means that something, somewhere, is readable at the 5% level.
    Ridge, because one factorisation serves all shuffles.

    Args:
        acts_by_cell: cell (for example layer and position) -> activations, same rows in all.
        labels: class of each row.
        groups: entity or minimal pair of each row.
        folds: from `grouped_folds`.
        n_shuffles: draws of the null; the smallest possible p is 1 / (n_shuffles + 1).
        seed: of the draws.

    Returns:
        Cell -> (AUROC with the 2.5% and 97.5% quantiles of that cell's own null, adjusted p).

    Raises:
        InputError: as `grouped_folds` and `shuffled_null`.
    """
    label_N, group_N = np.asarray(labels, dtype=bool), np.asarray(groups)
    check_folds(folds, label_N)
    shuffled_NP = shuffled_labels(label_N, group_N, folds, n_shuffles, seed)
    label_NP = np.column_stack([label_N, shuffled_NP])
    best_KP = np.array(
        [_best_auroc(as_matrix(acts, label_N), label_NP, folds) for acts in acts_by_cell.values()]
    )
    adjusted_K = max_t(best_KP[:, 0], best_KP[:, 1:].T)
    return {
        cell: (Interval(float(best_P[0]), *np.quantile(best_P[1:], [0.025, 0.975])), float(p))
        for cell, best_P, p in zip(acts_by_cell, best_KP, adjusted_K, strict=True)
    }


def _best_auroc(acts: np.ndarray, label_NP: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """For every column of labels the highest held-out AUROC over the penalties, shape (p,)."""
    target_NP = label_NP.astype(float)
    score_CNP = np.empty((len(PENALTIES), *target_NP.shape))
    for fitted, held_out in folds:
        scaler = StandardScaler().fit(acts[fitted])
        fit_acts, held_out_acts = scaler.transform(acts[fitted]), scaler.transform(acts[held_out])
        for number, penalty in enumerate(PENALTIES):
            model = Ridge(penalty).fit(fit_acts, target_NP[fitted])
            score_CNP[number, held_out] = model.predict(held_out_acts)
    auroc_CP = np.array(
        [
            [
                auroc_columns(score_NP[:, [column]], label_NP[:, column])[0]
                for column in range(score_NP.shape[1])
            ]
            for score_NP in score_CNP
        ]
    )
    return auroc_CP.max(0)
