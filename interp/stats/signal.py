"""Signal detection: how well two kinds of trials are told apart, and with what leaning."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from interp.errors import InputError

Count = int | np.integer


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
