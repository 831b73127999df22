"""Answering only when sure: what is risked at each share of questions answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.calibration.answers import by_source
from interp.errors import InputError
from interp.stats import Weighted, hierarchical_bootstrap

COVERAGES = tuple(round(0.05 * step, 2) for step in range(1, 21))


@dataclass(frozen=True)
class Ranking:
    """Answers by falling confidence; equal confidences stand in every order equally often.

    So each of them counts the mean error of all answers as confident, and no number depends on the
    order of the rows.

    Attributes:
        order_N: rows by falling confidence.
        error_N: 1.0 for a wrong answer, in that order.
        start_T: where each run of equal confidences starts.
    """

    order_N: np.ndarray
    error_N: np.ndarray
    start_T: np.ndarray

    @classmethod
    def of(cls, confidence_N: np.ndarray, correct_N: np.ndarray) -> Ranking:
        """Ranks the answers.

        Raises:
            InputError: as `check_answers`.
        """
        confidence_N, correct_N = check_answers(confidence_N, correct_N)
        order_N = np.argsort(-confidence_N, kind="stable")
        falls_N = np.diff(confidence_N[order_N], prepend=np.inf) < 0
        return cls(order_N, 1 - correct_N[order_N], np.flatnonzero(falls_N))

    def weights_and_errors(self, weights_BN: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights in the ranking's order, and the error each row counts, both [B, N]."""
        weights_BN = np.asarray(weights_BN, dtype=float)[:, self.order_N]
        if len(self.start_T) == len(self.order_N):
            return weights_BN, np.broadcast_to(self.error_N, weights_BN.shape)
        wrong_BT = np.add.reduceat(weights_BN * self.error_N, self.start_T, axis=1)
        weight_BT = np.add.reduceat(weights_BN, self.start_T, axis=1)
        size_T = np.diff(self.start_T, append=len(self.order_N))
        return weights_BN, np.repeat(_ratio(wrong_BT, weight_BT), size_T, axis=1)


def weighted_aurc(confidence_N: np.ndarray, correct_N: np.ndarray) -> Weighted:
    """Area under the risk-coverage curve as a function of row weights.

    The mean, over answers, of the share of wrong ones among those at least as confident: lower is
    better. Random confidence gives the error rate. Source: Geifman & El-Yaniv 2017; the mean over
    coverages 1/N, 2/N, ..., 1 is that of Geifman, Uziel & El-Yaniv 2019.

    Args:
        confidence_N: any numbers, higher meaning more confident.
        correct_N: bool, or 0 and 1.

    Returns:
        Weights [B, N] -> area [B].

    Raises:
        InputError: as `check_answers`.
    """
    ranking = Ranking.of(confidence_N, correct_N)

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        return _area(*ranking.weights_and_errors(weights_BN))

    return statistic


def weighted_excess_aurc(confidence_N: np.ndarray, correct_N: np.ndarray) -> Weighted:
    """E-AURC: the area above that of a confidence that ranks every right answer first.

    0 is a perfect ranking, whatever the accuracy. Source: Geifman, Uziel & El-Yaniv 2019, here with
    the best area of the very answers, not its limit for many of them.

    Raises:
        InputError: as `check_answers`.
    """
    area = weighted_aurc(confidence_N, correct_N)
    best = weighted_aurc(np.asarray(correct_N, dtype=float), correct_N)
    # Wrong answers tie in the best ranking; being all wrong, their order changes nothing.
    return lambda weights_BN: area(weights_BN) - best(weights_BN)


def weighted_selective_accuracy(
    confidence_N: np.ndarray, correct_N: np.ndarray, coverage: float
) -> Weighted:
    """Accuracy among the most confident answers as a function of row weights.

    Args:
        confidence_N: any numbers, higher meaning more confident.
        correct_N: bool, or 0 and 1.
        coverage: share of the answers that are given; of an answer at the edge (or of equally
            confident ones there) the part that fits.

    Returns:
        Weights [B, N] -> accuracy [B].

    Raises:
        InputError: as `check_answers`, or a coverage outside (0, 1].
    """
    if not 0 < coverage <= 1:
        raise InputError(f"selective accuracy: coverage is {coverage}; expected (0, 1]")
    ranking = Ranking.of(confidence_N, correct_N)

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        weight_BN, error_BN = ranking.weights_and_errors(weights_BN)
        end_BN = weight_BN.cumsum(1)
        given_B1 = coverage * end_BN[:, -1:]
        kept_BN = np.clip(given_B1 - (end_BN - weight_BN), 0, weight_BN)
        # Divided by what was kept, not by what was to be: the two differ by rounding.
        return 1 - (kept_BN * error_BN).sum(1) / kept_BN.sum(1)

    return statistic


def risk_coverage_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    coverages: Sequence[float] = COVERAGES,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """The risk-coverage curve of each source of confidence, with an interval at each coverage.

    Args:
        items: answers, as for `interp.behavior.calibration.answers.by_source`.
        units: columns of the units that intervals are over, from the top.
        coverages: shares of the answers given, the most confident first.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns source, coverage, estimate (share of wrong answers among those given), lo, hi
        (95%, `hierarchical_bootstrap`, each coverage by itself), n. A source none of whose answers
        has a confidence has no rows.

    Raises:
        InputError: as `by_source`, or a coverage outside (0, 1].
    """
    rows: list[dict[str, Any]] = []
    for source, answers in by_source(items, units):
        for coverage in coverages if len(answers.correct_N) else ():
            accuracy = weighted_selective_accuracy(
                answers.confidence_N, answers.correct_N, coverage
            )
            value = hierarchical_bootstrap(accuracy, answers.levels, n_boot=n_boot, seed=seed)
            risk = {"estimate": 1 - value.estimate, "lo": 1 - value.hi, "hi": 1 - value.lo}
            place = {"source": source, "coverage": coverage}
            rows.append(place | risk | {"n": len(answers.correct_N)})
    return pd.DataFrame(rows, columns=["source", "coverage", "estimate", "lo", "hi", "n"])


def check_answers(confidence_N: np.ndarray, correct_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and correctness as floats.

    Raises:
        InputError: no rows, shapes that differ, a confidence that is not finite, or correct that is
            not 0 or 1.
    """
    confidence_N = np.asarray(confidence_N, dtype=float)
    correct_N = np.asarray(correct_N)
    if confidence_N.ndim != 1 or correct_N.shape != confidence_N.shape or not len(correct_N):
        raise InputError(
            f"confidence {confidence_N.shape} and correct {correct_N.shape} do not fit; expected "
            "one of each an answer, [N], N > 0"
        )
    if not np.isfinite(confidence_N).all():
        row = int((~np.isfinite(confidence_N)).argmax())
        raise InputError(
            f"confidence of row {row} is {confidence_N[row]}; leave out answers without one"
        )
    if not np.isin(correct_N, (0, 1)).all():
        raise InputError("correct must be bool, or 0 and 1")
    return confidence_N, correct_N.astype(float)


def _area(weight_BN: np.ndarray, error_BN: np.ndarray) -> np.ndarray:
    risk_BN = _ratio((weight_BN * error_BN).cumsum(1), weight_BN.cumsum(1))
    return (weight_BN * risk_BN).sum(1) / weight_BN.sum(1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Zero where there is nothing yet: such rows have no weight."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
