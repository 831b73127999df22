"""How well scores tell two classes apart, of plain and of weighted rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from interp.errors import InputError

Weighted = Callable[[np.ndarray], np.ndarray]
"""A statistic of weighted rows: weights [B, N], one resample a row -> values [B]."""


def auroc(scores_N: np.ndarray, labels_N: np.ndarray) -> float:
    """Probability that a positive row scores above a negative one, ties counting one half.

    Source: the Mann-Whitney U statistic (Hanley & McNeil 1982).

    Args:
        scores_N: finite or infinite numbers, higher meaning positive.
        labels_N: bool, or 0 and 1.

    Returns:
        A share in [0, 1]; 0.5 is chance.

    Raises:
        InputError: shapes differ, a score is NaN, or only one class is there.
    """
    scores_N = np.asarray(scores_N, dtype=float)
    if scores_N.ndim != 1:
        raise InputError(f"auroc: scores have shape {scores_N.shape}; expected one per row, [N]")
    return float(auroc_columns(scores_N[:, None], labels_N)[0])


def auroc_columns(scores_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """`auroc` of every column against the same labels, in one pass.

    Args:
        scores_NK: one column per read-out.
        labels_N: bool, or 0 and 1.

    Returns:
        Float array [K].

    Raises:
        InputError: shapes differ, a score is NaN, or only one class is there.
    """
    scores_NK = np.asarray(scores_NK, dtype=float)
    labels_N = np.asarray(labels_N)
    if scores_NK.ndim != 2 or labels_N.shape != scores_NK.shape[:1]:
        raise InputError(
            f"auroc: scores {scores_NK.shape} and labels {labels_N.shape} do not fit; "
            "expected scores [N, K] (or [N]) and labels [N]"
        )
    if not np.isin(labels_N, (0, 1)).all():
        raise InputError("auroc: labels must be bool, or 0 and 1")
    bad_N = np.isnan(scores_NK).any(axis=1)
    if bad_N.any():
        raise InputError(f"auroc: the score of row {int(bad_N.argmax())} is NaN")
    positive_N = labels_N.astype(bool)
    n_positive = int(positive_N.sum())
    n_negative = len(positive_N) - n_positive
    if not n_positive or not n_negative:
        raise InputError(
            f"auroc: {n_positive} positive and {n_negative} negative rows; "
            "both classes are needed, so choose rows or folds that hold both"
        )
    rank_sum_K = rankdata(scores_NK, axis=0)[positive_N].sum(axis=0)
    return (rank_sum_K - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def weighted_auroc(scores_N: np.ndarray, labels_N: np.ndarray) -> Weighted:
    """`auroc` as a function of row weights, for `hierarchical_bootstrap`.

    Scores are sorted once; each resample then costs a few passes over its weights.

    Args:
        scores_N: finite or infinite numbers, higher meaning positive.
        labels_N: bool, or 0 and 1.

    Returns:
        Weights [B, N] -> AUROC [B]; NaN where a class has no weight.

    Raises:
        InputError: as `auroc`.
    """
    auroc(scores_N, labels_N)
    scores_N, positive_N = np.asarray(scores_N, dtype=float), np.asarray(labels_N).astype(bool)
    positive, negative = np.flatnonzero(positive_N), np.flatnonzero(~positive_N)
    positive = positive[np.argsort(scores_N[positive], kind="stable")]
    negative = negative[np.argsort(scores_N[negative], kind="stable")]
    below_P, up_to_P = (
        np.searchsorted(scores_N[negative], scores_N[positive], side=side)
        for side in ("left", "right")
    )
    ties = bool((below_P != up_to_P).any())

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        positive_PB = weights_BN.T[positive]
        beaten_QB = np.zeros((len(negative) + 1, len(weights_BN)))
        np.cumsum(weights_BN.T[negative], axis=0, out=beaten_QB[1:])
        beaten_PB = beaten_QB[below_P]
        if ties:
            beaten_PB = (beaten_PB + beaten_QB[up_to_P]) / 2
        with np.errstate(invalid="ignore"):
            return np.einsum("pb,pb->b", positive_PB, beaten_PB) / (
                positive_PB.sum(0) * beaten_QB[-1]
            )

    return statistic


def weighted_mean(values_N: np.ndarray) -> Weighted:
    """The mean of a number per row (correct or not, won or not) as a function of row weights.

    Raises:
        InputError: not one number a row, or a NaN.
    """
    values_N = np.asarray(values_N, dtype=float)
    if values_N.ndim != 1 or not len(values_N) or np.isnan(values_N).any():
        raise InputError(
            f"weighted mean: values of shape {values_N.shape}; expected a number for each row, "
            "none of them NaN"
        )
    return lambda weights_BN: weights_BN @ values_N / weights_BN.sum(1)


def weighted_ratio(part_N: np.ndarray, whole_N: np.ndarray) -> Weighted:
    """Weighted sum of the part over that of the whole; NaN where there is no whole.

    With a whole of 0 and 1 and a part of values there, the mean of some rows only.

    Args:
        part_N: of each row.
        whole_N: of the same rows.
    """
    part_N, whole_N = part_N.astype(float), whole_N.astype(float)

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        whole_B = weights_BN @ whole_N
        nothing_B = np.full(len(whole_B), np.nan)
        return np.divide(weights_BN @ part_N, whole_B, out=nothing_B, where=np.abs(whole_B) > 1e-12)

    return statistic
