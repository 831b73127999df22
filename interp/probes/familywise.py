"""Is anything linearly readable anywhere? One test over all layers, positions and penalties."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from scipy import linalg
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
        z_ND, held_out_ND = scaler.transform(acts[fitted]), scaler.transform(acts[held_out])
        score_CNP[:, held_out] = _ridge_scores(z_ND, target_NP[fitted], held_out_ND)
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


def _ridge_scores(z_ND: np.ndarray, target_NP: np.ndarray, held_out_MD: np.ndarray) -> np.ndarray:
    """Predictions of held-out rows for every penalty, [c, m, p]; one Gram matrix serves all.

    Args:
        z_ND: fitted rows, standardised, so that the bias is the targets' mean.
        target_NP: of the fitted rows, one problem a column.
        held_out_MD: rows to predict.
    """
    mean_P = target_NP.mean(0)
    tall = z_ND.shape[0] > z_ND.shape[1]
    gram_RR = z_ND.T @ z_ND if tall else z_ND @ z_ND.T
    right_RP = z_ND.T @ (target_NP - mean_P) if tall else target_NP - mean_P
    onto_MR = held_out_MD if tall else held_out_MD @ z_ND.T
    diagonal_R = gram_RR.diagonal().copy()
    scores = []
    for penalty in PENALTIES:
        np.fill_diagonal(gram_RR, diagonal_R + penalty)
        scores.append(onto_MR @ linalg.solve(gram_RR, right_RP, assume_a="pos") + mean_P)
    return np.stack(scores)
