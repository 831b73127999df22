"""Intervals by resampling whole groups of rows, one level of them or several nested ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from scipy.special import stdtrit

from interp.errors import InputError
from interp.stats._clusters import Clusters
from interp.stats._hierarchy import Design, Jackknife, Labels, bca_limits
from interp.stats.ranks import Weighted


@dataclass(frozen=True)
class Interval:
    """An estimate between its lower and upper confidence limits, all in the estimate's unit."""

    estimate: float
    lo: float
    hi: float

    def columns(self, name: str | None = None) -> dict[str, float]:
        """As a table has it: estimate, lo, hi; NAME, NAME_lo, NAME_hi beside others of a row."""
        if name is None:
            return {"estimate": self.estimate, "lo": self.lo, "hi": self.hi}
        return {name: self.estimate, f"{name}_lo": self.lo, f"{name}_hi": self.hi}


@dataclass(frozen=True)
class HierarchicalInterval(Interval):
    """An interval over nested units.

    Attributes:
        resampled: the level whose units were resampled, e.g. "pair"; "dataset+pair" where
            branches differ. The interval speaks about new units of this level, with those above
            it as they are.
        df: degrees of freedom of its width: a large number, or about the number of units.
    """

    resampled: str
    df: float


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


def hierarchical_bootstrap(
    statistic: Weighted,
    levels: Mapping[str, Labels],
    *,
    n_boot: int = 5000,
    seed: int,
    level: float = 0.95,
    strata: Labels | None = None,
) -> HierarchicalInterval:
    """Interval of a statistic whose rows lie in nested units (scenario > dataset > pair).

    From the top down, the first level with enough units is resampled: its units are drawn with
    replacement, each with all that is in it. Resampling the levels below as well would count their
    spread twice (Davison & Hinkley 1997, section 3.8; Ren et al. 2010): on exchangeable pairs such
    an interval covers more than 99% for its 95%. Enough is 6 units for 95% and 5 for 90%: no
    resample of G units reaches beyond the most extreme of them, so limits taken from resamples
    miss with a chance of at least 2^(1-G). Fewer (one scenario, three datasets) are kept, as they
    are, as strata, and the level below is resampled within each. Branches are treated one by one.

    G - 1 of G units are drawn and weighted G/(G - 1), so that variances are unbiased (Rao & Wu
    1988); limits are bias-corrected and accelerated (BCa, DiCiccio & Efron 1996), with Student's t
    for the normal, its degrees of freedom from a jackknife over the units (Satterthwaite 1946).
    Simulated (`tests/test_stats_known_truth.py` and larger runs), 95% intervals cover 93-97% of
    normal means over 6 or more units, over scenarios that differ or not, and of AUROCs up to .8
    over 6, up to .95 over 30. They cover less for an AUROC of .95 over 20 entities (92%) or 10
    pairs (82%), and for exponential means over 6-20 units (92-93%). Plain percentiles stay below
    by 2-9 points.

    Args:
        statistic: weights [B, N] -> values [B], for instance `weighted_auroc(...)`, or a difference
            of two such functions for a paired comparison.
        levels: unit of each row, by the name of the level, from the top.
        n_boot: number of resamples.
        seed: of the resampling.
        level: coverage, e.g. 0.95.
        strata: class of each row. Where every unit lies in one class, as entities do, resamples
            hold as many units of each class as there are; otherwise it changes nothing.

    Returns:
        The estimate on all rows and its limits. Both limits are NaN if a resample has no value (no
        row of a class), a class has one unit, or degrees of freedom are fewer than the units asked
        for above less one: too little to say anything. If all resamples give one number (an AUROC
        of exactly 1), both limits are that number.

    Raises:
        InputError: no levels or rows, lengths differ, a unit lies in two units of the level above,
            `n_boot` or `level` is out of range, or the statistic gives no number a resample.
    """
    if n_boot < 1 or not 0 < level < 1:
        raise InputError(
            f"hierarchical bootstrap: n_boot={n_boot}, level={level}; expected >= 1 and in (0, 1)"
        )
    fewest = 1 + ceil(log2(1 / (1 - level)) - 1e-9)
    design = Design.of(levels, strata, fewest)
    estimate = float(_values(statistic, np.ones((1, len(design.unit_N))))[0])
    undefined = HierarchicalInterval(estimate, np.nan, np.nan, design.resampled, 0.0)
    if not design.supported:
        return undefined
    left_out_U = np.concatenate([_values(statistic, weights) for weights in design.left_out()])
    rng = np.random.default_rng(seed)
    draws_B = np.concatenate([_values(statistic, w) for w in design.draws(n_boot, rng)])
    if np.isnan(left_out_U).any() or np.isnan(draws_B).any():
        return undefined
    known = Jackknife.of(left_out_U, design.strata())
    if known.df < fewest - 1 - 1e-9:
        return undefined
    quantile = float(stdtrit(known.df, (1 + level) / 2))
    lo, hi = bca_limits(estimate, draws_B, known.acceleration, quantile)
    return HierarchicalInterval(estimate, lo, hi, design.resampled, known.df)


def _values(statistic: Weighted, weights_BN: np.ndarray) -> np.ndarray:
    values_B = np.asarray(statistic(weights_BN), dtype=float)
    if values_B.shape != weights_BN.shape[:1]:
        raise InputError(
            f"hierarchical bootstrap: the statistic gives shape {values_B.shape} for weights "
            f"{weights_BN.shape}; expected one value a resample"
        )
    return values_B
