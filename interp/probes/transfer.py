"""Does the parent's probe still read the child? Zero-shot transfer and what is retained of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from interp.errors import InputError
from interp.probes.folds import Fold, check_folds
from interp.probes.linear import DEFAULT_C, as_matrix, fit_linear
from interp.stats import Interval, auroc, bootstrap


def transfer_scores(
    parent_acts_ND: Float[Tensor, "n d"],
    child_acts_ND: Float[Tensor, "child_n child_d"],
    labels: Sequence[bool] | np.ndarray,
    folds: Sequence[Fold],
    *,
    c: float = DEFAULT_C,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the parent's probe on held-out rows, in the parent and unchanged in the child.

    Each fold's probe, and its standardisation, come from the parent's activations of the fitted
    rows; the child's activations are only read.

    Args:
        parent_acts_ND: the parent's activations.
        child_acts_ND: the child's, of the same rows at the same site and position.
        labels: class of each row.
        folds: from `grouped_folds`.
        c: inverse strength of the probe's penalty.

    Returns:
        The parent's and the child's log odds, shape (n,) each.

    Raises:
        InputError: the two do not have one shape, or as `out_of_fold_scores`.
    """
    if parent_acts_ND.shape != child_acts_ND.shape:
        raise InputError(
            f"transfer: activations of shape {tuple(parent_acts_ND.shape)} in the parent and "
            f"{tuple(child_acts_ND.shape)} in the child; expected the same rows and width."
        )
    label_N = np.asarray(labels, dtype=bool)
    parent, child = as_matrix(parent_acts_ND, label_N), as_matrix(child_acts_ND, label_N)
    check_folds(folds, label_N)
    parent_scores_N, child_scores_N = np.empty(len(label_N)), np.empty(len(label_N))
    for fitted, held_out in folds:
        scaler = StandardScaler().fit(parent[fitted])
        read = fit_linear(scaler.transform(parent[fitted]), label_N[fitted], c)
        parent_scores_N[held_out] = read(scaler.transform(parent[held_out]))
        child_scores_N[held_out] = read(scaler.transform(child[held_out]))
    return parent_scores_N, child_scores_N


def rho(
    parent_scores_N: np.ndarray,
    child_scores_N: np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    *,
    floor: float = 0.5,
    seed: int,
    n_boot: int = 1000,
) -> Interval:
    """Retention: (AUROC in the child - floor) / (AUROC in the parent - floor).

    1 if the parent's probe reads the child as well as the parent, 0 if it reads nothing. Entities
    are resampled jointly for both models, within classes.

    Args:
        parent_scores_N: the parent's scores, from `transfer_scores`.
        child_scores_N: the child's.
        labels: class of each row.
        groups: entity of each row.
        floor: AUROC of a probe that reads nothing.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Estimate and 95% interval; all three NaN if the parent's own AUROC is not above the floor
        by its interval, so that there is nothing to retain.

    Raises:
        InputError: scores, labels and groups not of one length.
    """
    label_N, group_N = np.asarray(labels, dtype=bool), np.asarray(groups)
    sizes = [len(parent_scores_N), len(child_scores_N), len(label_N), len(group_N)]
    if len(set(sizes)) != 1:
        raise InputError(
            f"rho: parent scores, child scores, labels and groups have {sizes} rows; expected the "
            "same rows in all four."
        )

    def above_floor(scores_N: np.ndarray, index_M: np.ndarray) -> float:
        return auroc(scores_N[index_M], label_N[index_M]) - floor

    def ratio(index_M: np.ndarray) -> float:
        return above_floor(child_scores_N, index_M) / above_floor(parent_scores_N, index_M)

    resample = partial(bootstrap, n_boot=n_boot, seed=seed, strata=label_N)
    if resample(partial(above_floor, parent_scores_N), group_N).lo <= 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    return resample(ratio, group_N)
