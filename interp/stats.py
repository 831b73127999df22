"""Ground floor: intervals by resampled groups, permutation tests, AUROC, d'; numpy and scipy only.

Rows that share a group (an entity, a minimal pair) are never independent, so everything that
resamples or permutes takes whole groups. Resampling is seeded: equal inputs give equal numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from interp._clusters import Clusters
from interp.errors import InputError

Count = int | np.integer


@dataclass(frozen=True)
class Interval:
    """An estimate between its lower and upper confidence limits, all in the estimate's unit."""

    estimate: float
    lo: float
    hi: float


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


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    groups_N: np.ndarray,
    *,
    n_boot: int = 1000,
    seed: int,
    level: float = 0.95,
    strata: np.ndarray | None = None,
) -> Interval:
    """Percentile interval of a statistic under resampling of whole groups.

    Source: the cluster bootstrap (Davison & Hinkley 1997, section 3.8).

    Args:
        statistic: row indices [M] -> number; called once with all rows, then on each resample.
            M varies when groups differ in size. A NaN on any resample makes both limits NaN: an
            interval that is undefined somewhere is undefined.
        groups_N: group of each row.
        n_boot: number of resamples.
        seed: of the resampling.
        level: coverage, e.g. 0.95.
        strata: [N], the same within a group; every resample holds as many groups of each stratum
            as there are.

    Raises:
        InputError: no rows, shapes differ, a group spans two strata, or `n_boot` or `level` is out
            of range.
    """
    groups_N = np.asarray(groups_N)
    if groups_N.ndim != 1 or not len(groups_N):
        raise InputError(f"bootstrap: groups have shape {groups_N.shape}; expected [N], N > 0")
    if n_boot < 1 or not 0 < level < 1:
        raise InputError(f"bootstrap: n_boot={n_boot}, level={level}; expected >= 1 and in (0, 1)")
    clusters = Clusters.of(groups_N)
    strata_G = clusters.shared(np.zeros(len(groups_N)) if strata is None else np.asarray(strata))
    pools = [np.flatnonzero(strata_G == value) for value in np.unique(strata_G)]
    rng = np.random.default_rng(seed)
    draws_B = np.empty(n_boot)
    for b in range(n_boot):
        drawn_G = np.concatenate([pool[rng.integers(0, len(pool), len(pool))] for pool in pools])
        draws_B[b] = statistic(clusters.rows(drawn_G))
    lo, hi = np.quantile(draws_B, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(np.arange(len(groups_N)))), float(lo), float(hi))


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


def dprime(
    hits: Count, n_signal: Count, false_alarms: Count, n_noise: Count
) -> tuple[float, float]:
    """Sensitivity and criterion of a yes/no decision, in z units.

    Source: Green & Swets 1966, with the log-linear correction of Hautus 1995: half a count is
    added to each cell, so that rates of 0 and 1 stay finite.

    Args:
        hits: yes on signal (abstained when it should).
        n_signal: signal trials.
        false_alarms: yes on noise (abstained when it should not).
        n_noise: noise trials.

    Returns:
        d' = z(H) - z(F), and c = -(z(H) + z(F)) / 2; a positive c leans to "no" (answers).

    Raises:
        InputError: a count below 0 or above its number of trials, or no trials.
    """
    if not (0 <= hits <= n_signal and 0 <= false_alarms <= n_noise and n_signal and n_noise):
        raise InputError(
            f"d': {hits} of {n_signal} hits, {false_alarms} of {n_noise} false alarms; "
            "expected counts within their numbers of trials, and trials of both kinds"
        )
    z_hit = float(ndtri((hits + 0.5) / (n_signal + 1)))
    z_false = float(ndtri((false_alarms + 0.5) / (n_noise + 1)))
    return z_hit - z_false, -(z_hit + z_false) / 2
