"""Audit of a grader against human labels: confusion, Cohen's kappa, sensitivity, specificity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.audited import AUDIT_COLUMNS, read_classes
from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_mean

UNDEFINED = Interval(np.nan, np.nan, np.nan)
_EXACT_COVERAGE = 0.95


@dataclass(frozen=True)
class Measure:
    """A share or a kappa of some of the graded replies.

    Attributes:
        rows_N: which of them it is of.
        statistic: weights [B, M] of those M rows -> values [B].
        nothing: why it has no value; empty if it has one.
        is_share: whether it is the share of these rows that are right.
    """

    rows_N: np.ndarray
    statistic: Weighted
    nothing: str = ""
    is_share: bool = True


def confusion_table(items: pd.DataFrame) -> pd.DataFrame:
    """How often each class, as labelled, was graded as each class, by source.

    Args:
        items: one row a reply: prompt_id, source (such as the dataset or the model), label (a
            person's) and graded (the grader's): all true or false, or all names of classes.

    Returns:
        Columns source, label, graded, n, share (of the source's replies of that label; NaN of
        none), a row for each pair of the classes met anywhere, in sorted order.

    Raises:
        InputError: no rows, a missing column or value, or labels and grades of different kinds.
    """
    label_N, graded_N = read_classes(items)
    classes = sorted({*label_N, *graded_N})
    source_N = items["source"].to_numpy()
    rows: list[dict[str, Any]] = []
    for source in items["source"].drop_duplicates():
        for label in classes:
            here_N = (source_N == source) & (label_N == label)
            for graded in classes:
                n = int((here_N & (graded_N == graded)).sum())
                share = n / here_N.sum() if here_N.any() else np.nan
                place = {"source": source, "label": label, "graded": graded}
                rows.append(place | {"n": n, "share": share})
    return pd.DataFrame(rows)


def agreement_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    positive: Sequence[bool | str] = (True,),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """How far a grader can be trusted, by source: its agreement with human labels.

    Measures: agreement, the share of replies graded as labelled; kappa, the agreement beyond what
    grading at the same rates by chance would have (Cohen 1960), over all classes; and of the
    positive classes, taken together, against all others: sensitivity, the share graded positive of
    those labelled so; specificity, the share graded negative of those labelled so; and precision,
    the share labelled positive of those graded so.

    Args:
        items: as for `confusion_table`, with the units.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        positive: the classes that count as positive, e.g. `ABSTAINING_KINDS`.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns source, measure, estimate, lo, hi (95%, `hierarchical_bootstrap` over the rows the
        measure is of), n (those rows), note. The note says why there is no estimate (a kappa of
        one class only is 0/0) or no limits, and where a share of exactly 0 or 1 makes limits that
        are too narrow: what an exact interval over as many units (Clopper & Pearson 1934) reaches.

    Raises:
        InputError: as `confusion_table`; no units; or positive classes of another kind than the
            labels.
    """
    check_columns("graded replies", items, (*AUDIT_COLUMNS, *units), units)
    label_N, graded_N = read_classes(items)
    _check_positive(positive, label_N)
    rows: list[dict[str, Any]] = []
    for source, at in items.reset_index(drop=True).groupby("source", sort=False):
        here = at.index.to_numpy()
        for name, measure in measures(label_N[here], graded_N[here], positive).items():
            levels = {unit: at[unit].to_numpy()[measure.rows_N] for unit in units}
            value, note = interval_and_note(measure, levels, seed=seed, n_boot=n_boot)
            place = {"source": source, "measure": name}
            rows.append(place | value.columns() | {"n": int(measure.rows_N.sum()), "note": note})
    return pd.DataFrame(rows)


def weighted_kappa(label_N: np.ndarray, graded_N: np.ndarray) -> Weighted:
    """Cohen's kappa, of two or more unordered classes, as a function of row weights.

    1 - (observed disagreement) / (disagreement expected of independent grades at the same rates).
    Source: Cohen 1960.

    Args:
        label_N: classes, bool or names.
        graded_N: classes by the other grader.

    Returns:
        Weights [B, N] -> kappa [B]; NaN where only one class has weight.

    Raises:
        InputError: no rows, or shapes that differ.
    """
    label_N, graded_N = np.asarray(label_N), np.asarray(graded_N)
    if label_N.ndim != 1 or label_N.shape != graded_N.shape or not len(label_N):
        raise InputError(
            f"kappa: labels {label_N.shape} and grades {graded_N.shape} do not fit; expected one "
            "of each a reply, [N], N > 0"
        )
    classes = sorted({*label_N.tolist(), *graded_N.tolist()})
    label_NC = np.stack([label_N == name for name in classes], 1).astype(float)
    graded_NC = np.stack([graded_N == name for name in classes], 1).astype(float)
    differs_N = (label_N != graded_N).astype(float)
    # Summed off the diagonal, chance disagreement is exactly 0 where there is one class only.
    apart_CC = 1 - np.eye(len(classes))

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        weights_BN = np.asarray(weights_BN, dtype=float)
        by_label_BC, by_grade_BC = weights_BN @ label_NC, weights_BN @ graded_NC
        expected_B = np.einsum("bc,cd,bd->b", by_label_BC, apart_CC, by_grade_BC)
        observed_B = weights_BN @ differs_N * weights_BN.sum(1)
        ratio_B = np.full(len(weights_BN), np.nan)
        return 1 - np.divide(observed_B, expected_B, out=ratio_B, where=expected_B > 0)

    return statistic


def measures(
    label_N: np.ndarray, graded_N: np.ndarray, positive: Sequence[bool | str] = (True,)
) -> Mapping[str, Measure]:
    """The measures of `agreement_table` of one source, by name."""
    n = len(label_N)
    all_N = np.ones(n, dtype=bool)
    is_positive_N = np.isin(label_N, list(positive))
    graded_positive_N = np.isin(graded_N, list(positive))
    one_class = len({*label_N.tolist(), *graded_N.tolist()}) == 1
    called = ", ".join(map(str, positive))
    right = {
        "sensitivity": (is_positive_N, graded_positive_N, f"no reply labelled {called}"),
        "specificity": (~is_positive_N, ~graded_positive_N, f"every reply is labelled {called}"),
        "precision": (graded_positive_N, is_positive_N, f"no reply graded {called}"),
    }
    found = {
        "agreement": Measure(all_N, weighted_mean(label_N == graded_N)),
        "kappa": Measure(
            all_N,
            weighted_kappa(label_N, graded_N),
            f"one class only ({label_N[0]}): kappa is 0/0" if one_class else "",
            is_share=False,
        ),
    }
    for name, (rows_N, right_N, nothing) in right.items():
        values_M = right_N[rows_N]
        found[name] = (
            Measure(rows_N, weighted_mean(values_M))
            if len(values_M)
            else Measure(rows_N, _no_value, nothing)
        )
    return found


def interval_and_note(
    measure: Measure,
    levels: Mapping[str, np.ndarray],
    *,
    seed: int,
    n_boot: int,
    strata: np.ndarray | None = None,
) -> tuple[Interval, str]:
    """The interval of a measure over units, and what is to be known about it.

    Args:
        measure: as from `measures`.
        levels: unit of each of its rows, by the name of the level, from the top.
        seed: of the bootstrap.
        n_boot: resamples.
        strata: as for `hierarchical_bootstrap`.
    """
    if measure.nothing:
        return UNDEFINED, measure.nothing
    value = hierarchical_bootstrap(
        measure.statistic, levels, n_boot=n_boot, seed=seed, strata=strata
    )
    if np.isnan(value.lo):
        return value, "no limits: too few units, or a resample without a value"
    if not measure.is_share:
        alike = np.isclose(value.lo, value.hi, rtol=0)
        return value, "every resample is alike: no spread is shown" if alike else ""
    lowest = list(levels.values())[-1]
    return value, boundary_note(value.estimate, len(set(lowest.tolist())))


def boundary_note(share: float, n_units: int) -> str:
    """What the exact 95% interval of a share of 0 or 1 over so many units reaches; else empty."""
    if share not in (0, 1):
        return ""
    # Two-sided, as the limits beside it are; one error in a unit makes the unit one.
    least = ((1 - _EXACT_COVERAGE) / 2) ** (1 / n_units)
    reached = least if share == 1 else 1 - least
    return (
        f"{share:.0f} in all {n_units} units, so resampling shows no spread; the exact 95% limit "
        f"is {reached:.3f}"
    )


def _no_value(weights_BM: np.ndarray) -> np.ndarray:
    return np.full(len(weights_BM), np.nan)


def _check_positive(positive: Sequence[bool | str], label_N: np.ndarray) -> None:
    kind = type(label_N[0])
    if isinstance(positive, str) or not positive or not all(type(x) is kind for x in positive):
        raise InputError(
            f"agreement: positive is {positive!r}, but labels are such as {label_N[0]!r}; name the "
            "classes that count as positive in a tuple, of the same kind as the labels."
        )
