"""Platt's sigmoid: log odds made calibrated probabilities."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from interp.errors import InputError
from interp.probes.estimator import LogisticProbe

_UNPENALISED = 1e6


def platt(logit_N: np.ndarray, share_N: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the sigmoid that calibrates held-out log odds: sigmoid(slope x + offset).

    Source: Platt 1999, with his targets: drawn in from 0 and 1 as if one more row of each kind had
    been seen, so that the sigmoid is finite also where the log odds tell all rows apart.

    Unlike his, the slope is at least 0: calibration turns no order round. Held-out log odds that
    say nothing fall as often as they rise with the truth; where the best slope would be below 0 it
    is 0, and the sigmoid is the base rate (the mean target) of all rows.

    Args:
        logit_N: log odds of rows that had no part in the fit that gave them.
        share_N: 1 or True for a positive row, 0 or False for a negative one, or a share of both.

    Raises:
        InputError: not one share in [0, 1] a finite log odds.
    """
    logit_N, share_N = np.asarray(logit_N, dtype=float), np.asarray(share_N, dtype=float)
    if logit_N.ndim != 1 or logit_N.shape != share_N.shape or not len(logit_N):
        raise InputError(
            f"Platt: log odds of shape {logit_N.shape} and shares of {share_N.shape}; expected one "
            "of each a row."
        )
    if not (np.isfinite(logit_N) & (share_N >= 0) & (share_N <= 1)).all():
        raise InputError("Platt: log odds that are not finite, or a share outside [0, 1].")
    positive = share_N.sum()
    negative = len(share_N) - positive
    target_N = share_N * (positive + 1) / (positive + 2) + (1 - share_N) / (negative + 2)
    probe = LogisticProbe(C=_UNPENALISED).fit(
        np.tile(logit_N, 2)[:, None],
        np.repeat([True, False], len(logit_N)),
        np.concatenate([target_N, 1 - target_N]),
    )
    slope, offset = float(probe.coef_[0, 0]), float(probe.intercept_[0])
    # The loss is convex: where its least lies below a slope of 0, the least from there up is at 0.
    return (slope, offset) if slope > 0 else (0.0, float(logit(target_N.mean())))
