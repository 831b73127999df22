"""Tests: paired permutation, the maximum over many cells, equivalence, false discoveries."""

from __future__ import annotations

import numpy as np

from interp.errors import InputError
from interp.stats._clusters import Clusters
from interp.stats.intervals import Interval


def paired_permutation(
    a_N: np.ndarray,
    b_N: np.ndarray,
    *,
    n_perm: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> float:
    """Two-sided p of the mean of a - b under sign flips of whole groups.

    All 2^G flips of G groups are enumerated when they are at most `n_perm`; the p is then exact.
    Otherwise it is (1 + exceedances) / (1 + n_perm) over random flips (Phipson & Smyth 2010).

    Args:
        a_N: one measure per row.
        b_N: the other measure of the same rows.
        n_perm: number of random flips.
        seed: of the flips.
        groups: group of each row; each row by itself when None.

    Raises:
        InputError: shapes differ, no rows, a NaN, or `n_perm` below 1.
    """
    a_N, b_N = np.asarray(a_N, dtype=float), np.asarray(b_N, dtype=float)
    groups_N = np.arange(len(a_N)) if groups is None else np.asarray(groups)
    if a_N.ndim != 1 or not len(a_N) or a_N.shape != b_N.shape or a_N.shape != groups_N.shape:
        raise InputError(
            f"paired permutation: a {a_N.shape}, b {b_N.shape} and groups {groups_N.shape}; "
            "expected three of the same shape [N], N > 0"
        )
    difference_N = a_N - b_N
    if np.isnan(difference_N).any():
        row = int(np.isnan(difference_N).argmax())
        raise InputError(f"paired permutation: row {row} has a NaN")
    if n_perm < 1:
        raise InputError(f"paired permutation: n_perm={n_perm}; expected at least 1")
    # The mean's sign flips depend on a group only through the sum of its differences.
    sum_G = np.bincount(Clusters.of(groups_N).group_N, weights=difference_N)
    n_groups = len(sum_G)
    # Flips that tie with the observed one up to rounding are ties.
    observed = abs(sum_G.sum()) - 1e-9 * np.abs(sum_G).sum()
    if n_groups < 63 and 2**n_groups <= n_perm:
        flip_PG = np.arange(2**n_groups)[:, None] >> np.arange(n_groups) & 1
        return float((np.abs((1 - 2 * flip_PG) @ sum_G) >= observed).mean())
    rng = np.random.default_rng(seed)
    exceed = 0
    for start in range(0, n_perm, 1024):  # in blocks, so that memory does not grow with n_perm
        sign_PG = 1 - 2 * rng.integers(0, 2, (min(1024, n_perm - start), n_groups))
        exceed += int((np.abs(sign_PG @ sum_G) >= observed).sum())
    return (1 + exceed) / (1 + n_perm)


def max_t(observed_K: np.ndarray, null_PK: np.ndarray) -> np.ndarray:
    """Single-step p values, adjusted for the best of K (layers, positions, latents).

    Source: Westfall & Young 1993. One-sided, large values being extreme: pass absolute values for
    a two-sided test. The statistics must be on one scale, as the largest sets the null for all.

    Args:
        observed_K: the statistics.
        null_PK: the same statistics on P permuted data sets, a row each.

    Returns:
        Float array [K]: (1 + permutations whose largest statistic reaches it) / (1 + P).

    Raises:
        InputError: shapes do not fit, or a NaN.
    """
    observed_K, null_PK = np.asarray(observed_K, dtype=float), np.asarray(null_PK, dtype=float)
    if observed_K.ndim != 1 or null_PK.ndim != 2 or null_PK.shape[1:] != observed_K.shape:
        raise InputError(
            f"max-T: observed {observed_K.shape} and null {null_PK.shape} do not fit; "
            "expected [K] and [P, K]"
        )
    if not observed_K.size or np.isnan(observed_K).any() or np.isnan(null_PK).any():
        raise InputError("max-T: a statistic is NaN, or there is none")
    largest_P = np.sort(null_PK.max(axis=1))
    reached_K = len(largest_P) - np.searchsorted(largest_P, observed_K, side="left")
    return (1 + reached_K) / (1 + len(largest_P))


def tost(interval90: Interval, margin: float, reference: float = 0.0) -> bool:
    """Whether two one-sided tests at 5% show equivalence: the 90% interval inside the margin.

    Source: Schuirmann 1987. An undefined (NaN) interval shows nothing.

    Args:
        interval90: a 90% interval.
        margin: the largest difference that does not matter, in the interval's unit.
        reference: what the estimate is compared with.

    Raises:
        InputError: the margin is not above zero.
    """
    if not margin > 0:
        raise InputError(f"tost: margin={margin}; expected above 0")
    return reference - margin < interval90.lo and interval90.hi < reference + margin


def benjamini_hochberg(p_K: np.ndarray) -> np.ndarray:
    """Adjusted p values that bound the false discovery rate.

    Source: Benjamini & Hochberg 1995; valid for independent or positively dependent tests.

    Args:
        p_K: p values.

    Returns:
        Float array [K] of q values, in the order given.

    Raises:
        InputError: a p value outside [0, 1] or NaN, or not one per row.
    """
    p_K = np.asarray(p_K, dtype=float)
    if p_K.ndim != 1 or not ((p_K >= 0) & (p_K <= 1)).all():
        raise InputError("benjamini-hochberg: expected p values [K], each in [0, 1]")
    order_K = np.argsort(p_K, kind="stable")
    scaled_K = p_K[order_K] * len(p_K) / np.arange(1, len(p_K) + 1)
    q_K = np.empty_like(p_K)
    q_K[order_K] = np.minimum(np.minimum.accumulate(scaled_K[::-1])[::-1], 1)
    return q_K
