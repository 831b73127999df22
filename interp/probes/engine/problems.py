"""What a batched probe fit is asked for, checked once: labels, folds, weights and penalties."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from interp.errors import InputError
from interp.probes.folds import Fold

Cell = TypeVar("Cell", bound=Hashable)
Labels = Sequence[object] | np.ndarray
"""Class of each row: bool, int or str."""


@dataclass(frozen=True, eq=False)
class Problems:
    """Every (fold, penalty) to be fitted on the same rows; cells differ in their activations only.

    Attributes:
        classes: the distinct labels, sorted; with two of them the second is the positive one.
        class_N: position in `classes` of each row's label.
        folds: fitted and held-out row indices.
        weight_FN: weight of each row in the fit of each fold, 0 where it is not fitted.
        cs: inverse strengths of the L2 penalty.
    """

    classes: np.ndarray
    class_N: np.ndarray
    folds: tuple[Fold, ...]
    weight_FN: np.ndarray
    cs: tuple[float, ...]

    @property
    def n_rows(self) -> int:
        """Rows of every cell."""
        return len(self.class_N)

    @property
    def n_scores(self) -> int:
        """Decision values a row: 1 for two classes, one a class for more."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    @property
    def total_F(self) -> np.ndarray:
        """Sum of the weights that each fold fits on."""
        return self.weight_FN.sum(1)

    @property
    def row_weight_N(self) -> np.ndarray:
        """Weight of each row over all folds, of mean 1: what they have in common."""
        summed_N = self.weight_FN.sum(0)
        return summed_N / summed_N.mean()


def state_problems(
    labels: Labels,
    folds: Sequence[Fold],
    cs: Sequence[float],
    weights: Sequence[float] | np.ndarray | None,
) -> Problems:
    """Checks labels, folds, penalties and weights, and lays them out.

    Args:
        labels: class of each row, two classes or more.
        folds: fitted and held-out row indices. They need not partition the rows (nested folds go
            in one call); an index fitted twice counts twice.
        cs: inverse strengths of the penalty, as scikit-learn's `C`.
        weights: of the rows, above 0; all 1 if None.

    Raises:
        InputError: names the rows, the fold or the penalty that is wrong.
    """
    label_N = np.asarray(labels)
    if label_N.ndim != 1 or not len(label_N):
        raise InputError(f"labels: shape {label_N.shape}; expected one label a row, (n,).")
    if label_N.dtype.kind == "f" and not np.isfinite(label_N).all():
        rows = name_rows(~np.isfinite(label_N))
        raise InputError(f"labels: NaN or Inf in {rows}; drop those rows or give them a class.")
    classes, class_N = np.unique(label_N, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"labels: all {len(label_N)} rows have the label {classes[0]}; a probe needs two "
            "classes, so add rows of another."
        )
    if not len(cs):
        raise InputError("penalties: none given; expected at least one C above 0.")
    for c in cs:
        if not (np.isfinite(c) and c > 0):
            raise InputError(f"penalties: C is {c}; expected a finite number above 0.")
    weight_N = _check_weights(weights, len(label_N))
    if not len(folds):
        raise InputError("folds: none given; expected at least one pair of row indices.")
    weight_FN = np.stack(
        [
            weight_N * _times_fitted(number, fold, class_N, classes)
            for number, fold in enumerate(folds)
        ]
    )
    return Problems(classes, class_N, tuple(folds), weight_FN, tuple(float(c) for c in cs))


def name_rows(wrong_N: np.ndarray) -> str:
    """The first rows that a mask points at, for a message: "rows 3, 8, 9 (of 12 such)"."""
    rows = np.flatnonzero(wrong_N)
    named = ", ".join(str(row) for row in rows[:5])
    more = f" (of {len(rows)} such)" if len(rows) > 5 else ""
    return f"row{'s' if len(rows) > 1 else ''} {named}{more}"


def each_cell(
    acts: Mapping[Cell, Tensor] | Iterable[tuple[Cell, Tensor]], n_rows: int
) -> Iterator[tuple[Cell, Tensor]]:
    """The cells one by one, each checked to line up with the labels and with the others.

    Raises:
        InputError: names the cell, or says that there is none.
    """
    width = None
    for cell, acts_ND in acts.items() if isinstance(acts, Mapping) else acts:
        if acts_ND.ndim != 2 or len(acts_ND) != n_rows or not acts_ND.shape[1]:
            raise InputError(
                f"activations of {cell}: shape {tuple(acts_ND.shape)} for {n_rows} labels; "
                "expected one row a label, (n, d)."
            )
        if acts_ND.shape[1] != (width or acts_ND.shape[1]):
            raise InputError(
                f"activations of {cell}: {acts_ND.shape[1]} columns where the cells before have "
                f"{width}; solve cells of another width apart."
            )
        width = acts_ND.shape[1]
        yield cell, acts_ND.detach()
    if width is None:
        raise InputError("activations: no cells; expected at least one.")


def in_row_order(held_out: Sequence[np.ndarray], folds: Sequence[Fold], *, axis: int) -> np.ndarray:
    """Values of the held-out rows of all folds, put in the order of the rows.

    Args:
        held_out: for each fold, an array with its held-out rows along `axis`.
        folds: the folds.
        axis: of the rows.

    Raises:
        InputError: the folds do not hold every row out exactly once.
    """
    row_N = np.concatenate([rows for _, rows in folds])
    if not np.array_equal(np.sort(row_N), np.arange(len(row_N))):
        raise InputError(
            f"folds: they hold out {len(row_N)} rows, some never or more than once; values of all "
            "rows need folds that hold out each once. Read `held_out` by fold."
        )
    return np.take(np.concatenate(held_out, axis=axis), np.argsort(row_N), axis=axis)


def _check_weights(weights: Sequence[float] | np.ndarray | None, n_rows: int) -> np.ndarray:
    if weights is None:
        return np.ones(n_rows)
    weight_N = np.asarray(weights, dtype=float)
    if weight_N.shape != (n_rows,):
        raise InputError(
            f"weights: shape {weight_N.shape} for {n_rows} labels; expected one weight a row."
        )
    wrong_N = ~(np.isfinite(weight_N) & (weight_N > 0))
    if wrong_N.any():
        raise InputError(
            f"weights: {weight_N[wrong_N][0]} in {name_rows(wrong_N)}; expected finite numbers "
            "above 0, so leave rows that should not count out of the folds."
        )
    return weight_N


def _times_fitted(number: int, fold: Fold, class_N: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How often a fold fits each row, shape (n,)."""
    n_rows = len(class_N)
    for side, rows in zip(("fitted", "held-out"), fold, strict=True):
        if np.ndim(rows) != 1 or (len(rows) and np.asarray(rows).dtype.kind not in "iu"):
            raise InputError(
                f"folds: the {side} rows of fold {number} are not a list of row indices; expected "
                "pairs of integer arrays, as `grouped_folds` gives them."
            )
        if len(rows) and (np.min(rows) < 0 or np.max(rows) >= n_rows):
            raise InputError(
                f"folds: fold {number} has a {side} row {np.max(rows)} or {np.min(rows)} where "
                f"rows are 0 to {n_rows - 1}; make the folds from these very rows."
            )
    fitted, held_out = fold
    both = np.intersect1d(fitted, held_out)
    if len(both):
        wrong_N = np.isin(np.arange(n_rows), both)
        raise InputError(
            f"folds: fold {number} fits on {name_rows(wrong_N)} and holds the same out; a row is "
            "on one side."
        )
    absent = np.setdiff1d(np.arange(len(classes)), class_N[fitted])
    if len(absent):
        where = name_rows(class_N == absent[0])
        raise InputError(
            f"folds: fold {number} has no row of the class {classes[absent[0]]} to fit on (it is "
            f"in {where}); use fewer folds or more rows of that class."
        )
    return np.bincount(fitted, minlength=n_rows).astype(float)
