"""The headline numbers of calibration for each source of confidence, with intervals by unit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.calibration.answers import Answers, by_source
from interp.behavior.calibration.reliability import bin_edges, calibrated_ece, calibration_parts
from interp.behavior.calibration.selective import (
    weighted_aurc,
    weighted_excess_aurc,
    weighted_selective_accuracy,
)
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_auroc, weighted_mean

COVERAGES = (0.5, 0.8, 0.9)
# First-order limits of these may fall below the least value they can have.
_NOT_NEGATIVE = ("reliability", "resolution", "within_variance")


def calibration_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    n_bins: int = 10,
    coverages: Sequence[float] = COVERAGES,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """How good each source of confidence is, on the answers that it has a confidence for.

    Measures: stated, the share of answers with a confidence; accuracy; overconfidence, the mean
    confidence less the accuracy; ece and ece_mass, of bins of equal width and mass, and beside them
    ece_calibrated and ece_mass_calibrated, what a calibrated model would show (`calibrated_ece`);
    brier and its parts (`calibration_parts`; bins of equal width); auroc, of confidence for being
    right; aurc and e_aurc; and accuracy@c, the accuracy of the share c most confident answers.

    Args:
        items: answers, as for `interp.behavior.calibration.answers.by_source`.
        units: columns of the units that intervals are over, from the top.
        n_bins: of ECE and of the parts of the Brier score.
        coverages: of the selective accuracies.
        seed: of the resampling.
        n_boot: resamples.

    Returns:
        Columns source, measure, estimate, lo, hi (95%, `hierarchical_bootstrap`), n. auroc is NaN
        where all answers are right, or all wrong. A source none of whose answers has a confidence
        has the row stated alone.

    Raises:
        InputError: as `by_source`, `bin_edges`, or a coverage outside (0, 1].
    """
    rows: list[dict[str, Any]] = []
    for source, answers in by_source(items, units):
        n_asked, n = len(answers.stated_A), len(answers.correct_N)
        stated = hierarchical_bootstrap(
            weighted_mean(answers.stated_A), answers.all_levels, n_boot=n_boot, seed=seed
        )
        rows.append(_row(source, "stated", stated, n_asked))
        if n:
            for measure, value in _measures(answers, n_bins, coverages, seed, n_boot):
                rows.append(_row(source, measure, value, n))
    return pd.DataFrame(rows)


def _measures(
    answers: Answers, n_bins: int, coverages: Sequence[float], seed: int, n_boot: int
) -> Iterator[tuple[str, Interval]]:
    confidence_N, correct_N = answers.confidence_N, answers.correct_N

    def interval(statistic: Weighted, strata: np.ndarray | None = None) -> Interval:
        return hierarchical_bootstrap(
            statistic, answers.levels, n_boot=n_boot, seed=seed, strata=strata
        )

    accuracy = interval(weighted_mean(correct_N))
    yield "accuracy", accuracy
    yield "overconfidence", interval(weighted_mean(confidence_N - correct_N))
    width, mass = (bin_edges(confidence_N, n_bins, binning) for binning in ("width", "mass"))
    parts = calibration_parts(confidence_N, correct_N, width)
    ece_mass_N = calibration_parts(confidence_N, correct_N, mass)["ece"]
    yield "ece", _not_negative(interval(weighted_mean(parts.pop("ece"))))
    yield "ece_calibrated", calibrated_ece(confidence_N, width, seed=seed)
    yield "ece_mass", _not_negative(interval(weighted_mean(ece_mass_N)))
    yield "ece_mass_calibrated", calibrated_ece(confidence_N, mass, seed=seed)
    for name, part_N in parts.items():
        if name == "uncertainty":
            yield name, _uncertainty(accuracy)
        else:
            value = interval(weighted_mean(part_N))
            yield name, _not_negative(value) if name in _NOT_NEGATIVE else value
    if 0 < correct_N.mean() < 1:
        yield "auroc", interval(weighted_auroc(confidence_N, correct_N), correct_N)
    else:
        yield "auroc", Interval(np.nan, np.nan, np.nan)
    yield "aurc", interval(weighted_aurc(confidence_N, correct_N))
    yield "e_aurc", interval(weighted_excess_aurc(confidence_N, correct_N))
    for coverage in coverages:
        selective = weighted_selective_accuracy(confidence_N, correct_N, coverage)
        yield f"accuracy@{coverage:g}", interval(selective)


def _not_negative(value: Interval) -> Interval:
    return Interval(value.estimate, *np.maximum([value.lo, value.hi], 0).tolist())


def _uncertainty(accuracy: Interval) -> Interval:
    """Accuracy times its complement over the accuracy's limits; at .5 it has no first order."""
    at_estimate, at_lo, at_hi = (p * (1 - p) for p in (accuracy.estimate, accuracy.lo, accuracy.hi))
    top = 0.25 if accuracy.lo <= 0.5 <= accuracy.hi else max(at_lo, at_hi)
    return Interval(at_estimate, min(at_lo, at_hi), top)


def _row(source: object, measure: str, value: Interval, n: int) -> dict[str, Any]:
    place = {"source": source, "measure": measure}
    return place | value.columns() | {"n": n}
