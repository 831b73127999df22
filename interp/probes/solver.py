"""L2-regularised logistic regression of all cells, folds and penalties in one solve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.bounds import Target
from interp.probes.engine.certificates import Certificates
from interp.probes.engine.fitting import CellFits, fit_cell
from interp.probes.engine.problems import Cell, Labels, each_cell, in_row_order, state_problems
from interp.probes.folds import Fold

TOLERANCE = 1e-5
"""Largest component of the mean loss's gradient; scikit-learn's default of 1e-4 moves AUROCs."""
DECISION_TOLERANCE = 1.5e-4
"""Largest error of a decision value, relative to the largest of them, that is certified."""
MAX_ITER = 300


@dataclass(frozen=True, eq=False)
class Solution(Generic[Cell]):
    """Every fit of a solve.

    Axes: K cells, F folds, P penalties, N rows, D columns; for more than two classes a last axis
    (of `coef`, the last but one) over classes.

    Attributes:
        cells: as they came.
        classes: the distinct labels, sorted; of two, decision values above 0 mean the second.
        cs: the inverse penalties.
        folds: fitted and held-out rows.
        held_out: for each fold the decision values of its held-out rows, in its order, [K, P, M].
        coef: on the activations as they were given, [K, F, P, D].
        intercept: [K, F, P].
        certificates: arrays [K, F, P].
    """

    cells: tuple[Cell, ...]
    classes: np.ndarray
    cs: tuple[float, ...]
    folds: tuple[Fold, ...]
    held_out: tuple[np.ndarray, ...]
    coef: np.ndarray
    intercept: np.ndarray
    certificates: Certificates

    @property
    def out_of_fold(self) -> Float[np.ndarray, "k p n ..."]:
        """Decision value of every row by the fits that held it out, [K, P, N].

        Raises:
            InputError: the folds do not hold every row out exactly once.
        """
        return in_row_order(self.held_out, self.folds, axis=2)


def solve(
    acts: Mapping[Cell, Tensor] | Iterable[tuple[Cell, Tensor]],
    labels: Labels,
    folds: Sequence[Fold],
    cs: Sequence[float],
    *,
    weights: Sequence[float] | np.ndarray | None = None,
    tol: float = TOLERANCE,
    max_iter: int = MAX_ITER,
) -> Solution[Cell]:
    """Fits a linear probe in every cell, for every fold and penalty.

    The objective of each is that of scikit-learn's `LogisticRegression(C=c)` (multinomial for more
    than two classes; the bias is not penalised) on columns standardised over the fold's fitted
    rows, weights included. Cells are visited one at a time on the device of their activations, so
    memory does not grow with their number beyond what is returned. Fits run in float32; those that
    a float64 check does not certify are continued in float64.

    Args:
        acts: cell (a layer, a position, ...) -> activations, shape (n, d), the same n and d in all;
            or pairs of them, taken one by one.
        labels: class of each row; two classes or more.
        folds: fitted and held-out row indices, from `grouped_folds` or nested within.
        cs: inverse strengths of the L2 penalty.
        weights: of the rows, above 0.
        tol: largest component of the gradient of the mean loss.
        max_iter: L-BFGS iterations in each precision.

    Raises:
        InputError: names the rows, the fold, the penalty or the cell that is wrong.
    """
    problems = state_problems(labels, folds, cs, weights)
    target = Target(tol, DECISION_TOLERANCE * tol / TOLERANCE)
    cells: list[Cell] = []
    parts: list[CellFits] = []
    for cell, acts_ND in each_cell(acts, problems.n_rows):
        parts.append(fit_cell(acts_ND, problems, target, max_iter))
        cells.append(cell)
    return Solution(
        tuple(cells),
        problems.classes,
        problems.cs,
        problems.folds,
        tuple(
            np.stack(by_cell) for by_cell in zip(*(part.held_out for part in parts), strict=True)
        ),
        np.stack([part.coef for part in parts]),
        np.stack([part.intercept for part in parts]),
        Certificates.stack([part.certificates for part in parts]),
    )
