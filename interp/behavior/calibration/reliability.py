"""Whether a confidence of 80% is right 80% of the time: ECE, the Brier score's parts, in bins.

Every measure here is the mean, over answers, of what each contributes, so that an interval can
resample these contributions by whole units: it is first-order (the linearisation of the
infinitesimal jackknife; Efron 1982). Resampling the answers and averaging bins anew would not do:
absolute and squared gaps only grow with noise, and such intervals never held the 0 of simulated
calibrated models, nor always their own estimate. First-order ones of 1000 answers in 10 bins cover
an ECE of .05 or more 94-95% of the time, and one of 0 only 25%, because the estimate itself lies
above it: so what a calibrated model would show (`calibrated_ece`) stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp.behavior.calibration.answers import by_source
from interp.behavior.calibration.selective import check_answers
from interp.errors import InputError
from interp.stats import Interval, wilson

Binning = Literal["width", "mass"]


def bin_edges(confidence_N: np.ndarray, n_bins: int = 10, binning: Binning = "width") -> np.ndarray:
    """Edges of bins (edge, next edge], the first one closed on both sides, [K + 1].

    Args:
        confidence_N: in [0, 1].
        n_bins: bins asked for; equal mass gives fewer where many answers are equally confident.
        binning: "width", bins of equal width (Guo et al. 2017), or "mass", of equally many answers
            (Nguyen & O'Connor 2015), equal confidences never apart.

    Raises:
        InputError: fewer than one bin, no confidence, or one outside [0, 1].
    """
    if n_bins < 1:
        raise InputError(f"bins: {n_bins} of them; expected at least 1")
    confidence_N = np.asarray(confidence_N, dtype=float)
    if not ((confidence_N >= 0) & (confidence_N <= 1)).all() or not confidence_N.size:
        raise InputError("bins: a confidence lies outside [0, 1], or there is none")
    if binning == "width":
        return np.linspace(0, 1, n_bins + 1)
    inner = np.percentile(confidence_N, np.linspace(0, 1, n_bins + 1)[1:-1] * 100)
    # A first edge of 0 is kept twice: the bin of the answers that have no confidence at all.
    return np.array([0.0, *np.unique(inner), 1.0])


def calibration_parts(
    confidence_N: np.ndarray, correct_N: np.ndarray, edges: np.ndarray
) -> dict[str, np.ndarray]:
    """What each answer contributes to ECE and to the parts of its Brier score; means are the parts.

    With f the confidence and y whether right, in bins k of mean confidence f_k and accuracy y_k,
    brier = reliability - resolution + uncertainty + within_variance - within_covariance, of the
    means and of each answer's contributions alike. Source: Murphy 1973; the two parts within bins,
    without which the sum is off wherever confidences differ in a bin, from Stephenson, Coelho &
    Jolliffe 2008.

    Args:
        confidence_N: in [0, 1].
        correct_N: bool, or 0 and 1.
        edges: as from `bin_edges`.

    Returns:
        [N] each: ece, the mean |f_k - y_k|; brier, the mean (f - y)^2; reliability, the mean
        (f_k - y_k)^2; resolution, the mean (y_k - accuracy)^2; uncertainty, accuracy times
        1 - accuracy; within_variance, the mean (f - f_k)^2; and within_covariance, twice the mean
        (f - f_k)(y - y_k).

    Raises:
        InputError: as `interp.behavior.calibration.selective.check_answers`.
    """
    f_N, y_N = check_answers(confidence_N, correct_N)
    bin_N = _bins(f_N, edges)
    size_K = np.bincount(bin_N)
    mean_f_N = (np.bincount(bin_N, f_N) / np.maximum(size_K, 1))[bin_N]
    mean_y_N = (np.bincount(bin_N, y_N) / np.maximum(size_K, 1))[bin_N]
    gap_N, accuracy = mean_f_N - mean_y_N, y_N.mean()
    return {
        "ece": np.sign(gap_N) * (f_N - y_N),
        "brier": (f_N - y_N) ** 2,
        "reliability": 2 * gap_N * (f_N - y_N) - gap_N**2,
        "resolution": 2 * (mean_y_N - accuracy) * y_N - mean_y_N**2 + accuracy**2,
        "uncertainty": (1 - 2 * accuracy) * y_N + accuracy**2,
        "within_variance": (f_N - mean_f_N) ** 2,
        "within_covariance": 2 * (f_N - mean_f_N) * (y_N - mean_y_N),
    }


def expected_calibration_error(
    confidence_N: np.ndarray,
    correct_N: np.ndarray,
    n_bins: int = 10,
    binning: Binning = "width",
) -> float:
    """Mean gap between confidence and accuracy over bins, weighted by their answers (ECE).

    Source: Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017. In [0, 1]; RLSF prints 100 times it.

    Raises:
        InputError: as `bin_edges` and `calibration_parts`.
    """
    edges = bin_edges(confidence_N, n_bins, binning)
    return float(calibration_parts(confidence_N, correct_N, edges)["ece"].mean())


def calibrated_ece(
    confidence_N: np.ndarray, edges: np.ndarray, *, seed: int, n_draws: int = 1000
) -> Interval:
    """ECE of a perfectly calibrated model with these confidences, its mean and 95% of its draws.

    Each answer is drawn right with its confidence as probability, independently (consistency
    resampling, Bröcker & Smith 2007). An ECE inside the limits is no evidence of miscalibration.
    """
    confidence_N = np.asarray(confidence_N, dtype=float)
    bin_N = _bins(confidence_N, edges)
    order_N = np.argsort(bin_N, kind="stable")
    confidence_N = confidence_N[order_N]
    start_K = np.flatnonzero(np.diff(bin_N[order_N], prepend=-1))
    rng = np.random.default_rng(seed)
    draws = np.empty(n_draws)
    for draw in range(n_draws):
        gap_N = confidence_N - (rng.random(len(confidence_N)) < confidence_N)
        draws[draw] = np.abs(np.add.reduceat(gap_N, start_K)).sum() / len(confidence_N)
    lo, hi = np.quantile(draws, [0.025, 0.975])
    return Interval(float(draws.mean()), float(lo), float(hi))


def reliability_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    n_bins: int = 10,
    binning: Binning = "width",
) -> pd.DataFrame:
    """Accuracy by confidence, the reliability diagram of each source; empty bins are left out.

    Args:
        items: answers, as for `interp.behavior.calibration.answers.by_source`.
        units: columns of the units, from the top; the last one counts.
        n_bins: bins asked for.
        binning: of equal "width" or "mass".

    Returns:
        Columns source, bin, edge_lo, edge_hi, n, units (different ones in the bin), confidence (its
        mean), estimate (accuracy), lo, hi. The limits are Wilson's 95% (1927) with the units for
        trials: answers of one unit may all be right together, and are taken to be.

    Raises:
        InputError: as `interp.behavior.calibration.answers.by_source` and `bin_edges`.
    """
    rows: list[dict[str, Any]] = []
    for source, answers in by_source(items, units):
        if not len(answers.correct_N):
            continue
        edges = bin_edges(answers.confidence_N, n_bins, binning)
        bin_N = _bins(answers.confidence_N, edges)
        for k in np.unique(bin_N):
            here_N = bin_N == k
            accuracy = float(answers.correct_N[here_N].mean())
            n_units = len(set(answers.levels[units[-1]][here_N]))
            place = {"source": source, "bin": int(k), "edge_lo": edges[k], "edge_hi": edges[k + 1]}
            counts = {"n": int(here_N.sum()), "units": n_units}
            mean = {"confidence": float(answers.confidence_N[here_N].mean())}
            rows.append(place | counts | mean | wilson(accuracy, n_units).columns())
    columns = ["source", "bin", "edge_lo", "edge_hi", "n", "units", "confidence", "estimate"]
    return pd.DataFrame(rows, columns=[*columns, "lo", "hi"])


def _bins(confidence_N: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bin of each confidence; one on an edge belongs to the bin below it."""
    return np.searchsorted(edges[1:-1], confidence_N, side="left")
