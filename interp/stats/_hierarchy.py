"""Nested units (scenario > dataset > pair): which of them are resampled, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from interp.errors import InputError

Labels = Sequence[object] | np.ndarray
_BLOCK = 1 << 18
"""Most row weights at a time: few enough for a processor's cache, whatever the rows and resamples.
They lie in memory row by row of the data, so that picking rows copies whole runs."""


@dataclass(frozen=True)
class Design:
    """The units that are resampled, whole and within their strata.

    unit_N: unit of each row; stratum_U: stratum of each unit; resampled: the names of the levels
    the units come from; supported: whether every stratum has units to draw between.
    """

    unit_N: np.ndarray
    stratum_U: np.ndarray
    resampled: str
    supported: bool

    @classmethod
    def of(cls, levels: Mapping[str, Labels], strata: Labels | None, fewest: int) -> Design:
        """Takes, in every branch, the highest level that has at least `fewest` units.

        Raises:
            InputError: as `interp.stats.hierarchical_bootstrap`.
        """
        codes = _nested_codes(levels)
        n_rows = len(codes[0])
        class_N = np.zeros(n_rows, dtype=int)
        if strata is not None:
            class_N = _codes(strata)
            _check_rows("strata", len(class_N), n_rows)
        unit_N, used = np.empty(n_rows, dtype=int), []
        strata_of_units: list[tuple[int, int]] = []
        branches = [np.arange(n_rows)]
        for name, code_N in zip(levels, codes, strict=True):
            kept_whole = []
            for rows_M in branches:
                unit_M, class_U = _units(code_N[rows_M], class_N[rows_M])
                if code_N is codes[-1] or np.unique(class_U, return_counts=True)[1].min() >= fewest:
                    unit_N[rows_M] = len(strata_of_units) + unit_M
                    branch = int(rows_M[0])  # no two branches share their first row
                    strata_of_units += [(branch, int(stratum)) for stratum in class_U]
                    used.append(name)
                else:
                    kept_whole += [rows_M[unit_M == unit] for unit in range(len(class_U))]
            branches = kept_whole
        stratum_U = _without_singletons(strata_of_units)
        resampled = "+".join(name for name in levels if name in used)
        return cls(unit_N, stratum_U, resampled, bool(np.bincount(stratum_U).min() > 1))

    def draws(self, n_draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Row weights [b, N] of the resamples, in blocks.

        From G units of a stratum G - 1 are drawn and weighted G / (G - 1), which makes the
        variance of a mean unbiased; G draws would make it (G - 1) / G of what it is.
        """
        for start, stop in self._blocks(n_draws):
            n_block = stop - start
            weight_UB = np.empty((len(self.stratum_U), n_block))
            for units in self.strata():
                size = len(units)
                drawn_BG = rng.integers(0, size, (n_block, size - 1))
                drawn_BG *= n_block
                drawn_BG += np.arange(n_block)[:, None]
                count = np.bincount(drawn_BG.ravel(), minlength=size * n_block)
                weight_UB[units] = count.reshape(size, n_block) * (size / (size - 1))
            yield weight_UB[self.unit_N].T

    def left_out(self) -> Iterator[np.ndarray]:
        """Row weights [u, N] without one unit each, in blocks; its stratum keeps its weight."""
        size_S = np.bincount(self.stratum_U)
        for start, stop in self._blocks(len(self.stratum_U)):
            left = np.arange(start, stop)
            stratum_u = self.stratum_U[left]
            factor_u = size_S[stratum_u] / (size_S[stratum_u] - 1)
            weight_Uu = np.where(self.stratum_U[:, None] == stratum_u, factor_u, 1.0)
            weight_Uu[left, np.arange(len(left))] = 0
            yield weight_Uu[self.unit_N].T

    def strata(self) -> list[np.ndarray]:
        """Units of each stratum."""
        return [np.flatnonzero(self.stratum_U == s) for s in range(self.stratum_U.max() + 1)]

    def _blocks(self, n_draws: int) -> Iterator[tuple[int, int]]:
        size = max(1, _BLOCK // len(self.unit_N))
        for start in range(0, n_draws, size):
            yield start, min(start + size, n_draws)


@dataclass(frozen=True)
class Jackknife:
    """What leaving out one unit at a time tells: degrees of freedom and skewness.

    df: of the variance, Satterthwaite's; acceleration: of the BCa interval.
    """

    df: float
    acceleration: float

    @classmethod
    def of(cls, left_out_U: np.ndarray, strata: Sequence[np.ndarray]) -> Jackknife:
        """From the statistic without each unit."""
        size_S = np.array([len(units) for units in strata])
        influence = [
            (len(units) - 1) * (left_out_U[units].mean() - left_out_U[units]) / len(units)
            for units in strata
        ]
        square_S = np.array([(part**2).sum() for part in influence])
        variance_S = square_S * size_S / (size_S - 1)
        if not variance_S.sum() > 0:  # the statistic depends on no unit
            return cls(float((size_S - 1).sum()), 0.0)
        cubes = sum((part**3).sum() for part in influence)
        df = variance_S.sum() ** 2 / (variance_S**2 / (size_S - 1)).sum()
        return cls(float(df), float(cubes / (6 * square_S.sum() ** 1.5)))


def bca_limits(
    estimate: float, draws_B: np.ndarray, acceleration: float, quantile: float
) -> tuple[float, float]:
    """Bias-corrected and accelerated limits, `quantile` standard deviations from the middle."""
    below = ((draws_B < estimate).mean() + (draws_B <= estimate).mean()) / 2
    edge = 1 / (2 * len(draws_B))
    bias = ndtri(np.clip(below, edge, 1 - edge))
    shifted = bias + np.array([-quantile, quantile])
    # Beyond the pole the limit is the outermost draw.
    share = ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-9))
    # The k-th of B draws stands at k / (B + 1): of B draws and the truth, each is as often k-th.
    lo, hi = np.quantile(draws_B, share, method="weibull")
    return float(lo), float(hi)


def _nested_codes(levels: Mapping[str, Labels]) -> list[np.ndarray]:
    """Labels of each level as numbers, once every unit is known to lie in one unit above it."""
    if not levels:
        raise InputError(
            'hierarchical bootstrap: no levels; give at least one, such as {"pair": ...}'
        )
    codes = [_codes(labels) for labels in levels.values()]
    for name, code_N in zip(levels, codes, strict=True):
        _check_rows(f"level '{name}'", len(code_N), len(codes[0]))
    if not len(codes[0]):
        raise InputError("hierarchical bootstrap: no rows")
    names = list(levels)
    for depth in range(1, len(codes)):
        above_N, here_N = codes[depth - 1], codes[depth]
        _, first_U = np.unique(here_N, return_index=True)
        torn_N = above_N[first_U][here_N] != above_N
        if torn_N.any():
            row = int(torn_N.argmax())
            here, above = levels[names[depth]], levels[names[depth - 1]]
            raise InputError(
                f"hierarchical bootstrap, row {row}: the {names[depth]} {here[row]!r} lies in the "
                f"{names[depth - 1]} {above[int(first_U[here_N[row]])]!r} and in {above[row]!r}; "
                "each must lie in one, so give units of the same name different names"
            )
    return codes


def _codes(labels: Labels) -> np.ndarray:
    """Labels numbered by first appearance; any hashable will do, None too."""
    numbers: dict[object, int] = {}
    listed = labels.tolist() if isinstance(labels, np.ndarray) else labels
    return np.array([numbers.setdefault(label, len(numbers)) for label in listed], dtype=int)


def _check_rows(what: str, n: int, expected: int) -> None:
    if n != expected:
        raise InputError(
            f"hierarchical bootstrap: {what} has {n} rows, the top level {expected}; expected one "
            "label a row"
        )


def _units(code_M: np.ndarray, class_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit of each row, and class of each unit: all 0 if any unit holds rows of two classes."""
    _, first_U, unit_M = np.unique(code_M, return_index=True, return_inverse=True)
    class_U = class_M[first_U]
    mixed = (class_U[unit_M] != class_M).any()
    return unit_M, np.zeros_like(class_U) if mixed else class_U


def _without_singletons(strata: Sequence[tuple[int, int]]) -> np.ndarray:
    """Strata numbered; those of one unit are pooled by class, as one unit has no spread."""
    sizes = Counter(strata)
    return _codes([s if sizes[s] > 1 else ("pooled", s[1]) for s in strata])
