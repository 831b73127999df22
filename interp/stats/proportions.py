"""Limits of a share of independent units, which no share makes empty."""

from __future__ import annotations

from scipy.special import ndtri

from interp.errors import InputError
from interp.stats.intervals import Interval


def wilson(share: float, n: int, level: float = 0.95) -> Interval:
    """A share and its score limits: those p from which it stands z standard errors of p's own.

    Source: Wilson 1927.

    Args:
        share: of the units, in [0, 1]; of units with several rows it may be any share.
        n: independent units.
        level: coverage, e.g. 0.95.

    Raises:
        InputError: a share outside [0, 1], no units, or a level outside (0, 1).
    """
    if not 0 <= share <= 1 or n < 1 or not 0 < level < 1:
        raise InputError(
            f"wilson: share={share}, n={n}, level={level}; expected a share in [0, 1], at least "
            "one unit, and a level in (0, 1)"
        )
    z2 = float(ndtri((1 + level) / 2)) ** 2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * share * (1 - share) / n + (z2 / (2 * n)) ** 2) ** 0.5 / (1 + z2 / n)
    # Exactly at the ends, where rounding would leave 1e-17.
    lo = 0.0 if share == 0 else max(0.0, middle - half)
    hi = 1.0 if share == 1 else min(1.0, middle + half)
    return Interval(float(share), lo, hi)
