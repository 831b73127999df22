"""Shares and paired changes over units, with limits also where resampling shows no spread.

Where every unit is a hit, or none is, every resample is alike and its limits are the estimate
itself: a width of nothing that says the less, the fewer the units are. There the limits are score
limits, of as many independent units as there are of the lowest level. Kappas, which have none, keep
a note (`interp.behavior.audit.kappa.boundary_note`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from interp.errors import InputError
from interp.stats import Interval, hierarchical_bootstrap, weighted_mean, wilson


def unit_share(
    hit_N: np.ndarray, levels: Mapping[str, np.ndarray], *, seed: int, n_boot: int
) -> Interval:
    """Share of rows that are hits, with 95% limits over units.

    Args:
        hit_N: whether each row is one.
        levels: unit of each row by the name of the level, from the top.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Limits of `hierarchical_bootstrap`; of a share of exactly 0 or 1 Wilson's (1927), over the
        units of the lowest level.

    Raises:
        InputError: as `hierarchical_bootstrap`.
    """
    value = hierarchical_bootstrap(weighted_mean(hit_N), levels, n_boot=n_boot, seed=seed)
    if value.estimate not in (0, 1):
        return value
    return wilson(value.estimate, _n_units(levels))


def unit_change(
    before_N: np.ndarray,
    after_N: np.ndarray,
    levels: Mapping[str, np.ndarray],
    *,
    seed: int,
    n_boot: int,
) -> Interval:
    """Mean of after less before, paired by row, with 95% limits over units.

    Args:
        before_N: a number a row, such as a hit or a share of hits.
        after_N: the same.
        levels: as for `unit_share`.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Limits of `hierarchical_bootstrap`. Where all rows are shares and change by the same -1, 0
        or 1, the score limits for paired shares (Tango 1998): without a change, z^2 / (n + z^2) to
        either side, of the n units of the lowest level.

    Raises:
        InputError: shapes that differ, or as `hierarchical_bootstrap`.
    """
    before_N, after_N = np.asarray(before_N, dtype=float), np.asarray(after_N, dtype=float)
    if before_N.shape != after_N.shape:
        raise InputError(f"paired change: {before_N.shape} before, {after_N.shape} after")
    change_N = after_N - before_N
    value = hierarchical_bootstrap(weighted_mean(change_N), levels, n_boot=n_boot, seed=seed)
    both = np.concatenate([before_N, after_N])
    alike = (change_N == change_N[0]).all() and change_N[0] in (-1, 0, 1)
    if not alike or both.min() < 0 or both.max() > 1:
        return value
    n = _n_units(levels)
    reach = wilson(0.0, n).hi
    change = float(change_N[0])
    # 2 reach off the end is Wilson's limit of (1 + change) / 2, stretched back to [-1, 1].
    lo, hi = (-reach, reach) if change == 0 else (1 - 2 * reach, 1.0)
    return Interval(change, lo, hi) if change >= 0 else Interval(change, -hi, -lo)


def newcombe_limits(before: Interval, after: Interval) -> Interval:
    """Change of a share between different units, from both shares' own limits.

    The squares of the distances to them are added (Newcombe 1998, method 10).
    """
    change = after.estimate - before.estimate
    down = np.hypot(after.estimate - after.lo, before.hi - before.estimate)
    up = np.hypot(after.hi - after.estimate, before.estimate - before.lo)
    return Interval(change, change - float(down), change + float(up))


def _n_units(levels: Mapping[str, np.ndarray]) -> int:
    return len(set(list(levels.values())[-1].tolist()))
