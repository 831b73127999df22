"""Read-outs from class means alone: their difference, as it is and whitened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.probes.engine.problems import (
    Cell,
    Labels,
    each_cell,
    in_row_order,
    state_problems,
)
from interp.probes.engine.standardise import scaling_of
from interp.probes.folds import Fold


@dataclass(frozen=True, eq=False)
class MeanReadout(Generic[Cell]):
    """Read-outs of every cell and fold; above 0 for the second class.

    Axes: K cells, F folds, N rows, D columns.

    Attributes:
        cells: as they came.
        folds: fitted and held-out rows.
        held_out: for each fold the decision values of its held-out rows, [K, M].
        coef: on the activations as they were given, [K, F, D].
        intercept: [K, F]; decision values are 0 midway between the classes' means.
        shrinkage: weight of the identity in each covariance, [K, F]; 1 where there was none.
    """

    cells: tuple[Cell, ...]
    folds: tuple[Fold, ...]
    held_out: tuple[np.ndarray, ...]
    coef: np.ndarray
    intercept: np.ndarray
    shrinkage: np.ndarray

    @property
    def out_of_fold(self) -> Float[np.ndarray, "k n"]:
        """Decision value of every row by the fit that held it out, [K, N].

        Raises:
            InputError: the folds do not hold every row out exactly once.
        """
        return in_row_order(self.held_out, self.folds, axis=1)


def mean_readout(
    acts: Mapping[Cell, Tensor] | Iterable[tuple[Cell, Tensor]],
    labels: Labels,
    folds: Sequence[Fold],
    *,
    whiten: bool,
) -> MeanReadout[Cell]:
    """Projects rows on the difference between the means of two classes.

    Plain: on the activations as they are, the mass-mean probe of Marks and Tegmark (arXiv
    2310.06824). Whitened: times the inverse of the covariance within classes, Fisher's linear
    discriminant. That covariance is taken on columns standardised over the fitted rows and shrunk
    towards a multiple of the identity by the weight of Ledoit and Wolf (J. Multivariate Anal. 88,
    2004), which makes it invertible for any number of rows.

    Args:
        acts: cell -> activations (n, d), or pairs taken one by one.
        labels: class of each row, of two.
        folds: fitted and held-out row indices.
        whiten: whether to.

    Raises:
        InputError: names the rows, the fold or the cell that is wrong.
    """
    problems = state_problems(labels, folds, (1.0,), None)
    if len(problems.classes) != 2:
        raise InputError(
            f"labels: {len(problems.classes)} classes; a difference of means is between two."
        )
    cells: list[Cell] = []
    parts: list[list[np.ndarray]] = []
    for cell, acts_ND in each_cell(acts, problems.n_rows):
        wide_ND = acts_ND.double()
        weight_FN = torch.as_tensor(problems.weight_FN).to(wide_ND.device)
        scaling = scaling_of(acts_ND, weight_FN)
        second_N = torch.as_tensor(problems.class_N == 1).to(wide_ND.device)
        fits = []
        for fold, weight_N in enumerate(weight_FN):
            rows = torch.nonzero(weight_N).flatten()
            per_unit_D = scaling.inverse_FD[fold] * scaling.per_unit_D
            fits.append(_direction(wide_ND[rows], second_N[rows], per_unit_D if whiten else None))
        coef_FD, intercept_F, shrinkage_F = (torch.stack(part) for part in zip(*fits, strict=True))
        score_FN = (wide_ND @ coef_FD.mT + intercept_F).mT
        parts.append([part.cpu().numpy() for part in (coef_FD, intercept_F, shrinkage_F, score_FN)])
        cells.append(cell)
    coef, intercept, shrinkage, scores = (np.stack(part) for part in zip(*parts, strict=True))
    held_out = tuple(scores[:, fold, rows] for fold, (_, rows) in enumerate(problems.folds))
    return MeanReadout(tuple(cells), problems.folds, held_out, coef, intercept, shrinkage)


def _direction(
    acts_ND: Tensor, second_N: Tensor, per_unit_D: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients, intercept and shrinkage of one fold; plain where no units are given."""
    first_D, other_D = acts_ND[~second_N].mean(0), acts_ND[second_N].mean(0)
    coef_D, shrinkage = other_D - first_D, acts_ND.new_ones(())
    if per_unit_D is not None:
        within_ND = torch.where(second_N[:, None], acts_ND - other_D, acts_ND - first_D)
        white_D, shrinkage = _whiten(within_ND * per_unit_D, coef_D * per_unit_D)
        coef_D = white_D * per_unit_D
    return coef_D, -coef_D @ (first_D + other_D) / 2, shrinkage


def _whiten(
    within_ND: Float[Tensor, "n d"], difference_D: Float[Tensor, " d"]
) -> tuple[Float[Tensor, " d"], Float[Tensor, ""]]:
    """The inverse of the shrunk covariance times a vector, and the shrinkage.

    Args:
        within_ND: rows less their class's mean.
        difference_D: the vector.
    """
    n, d = within_ND.shape
    tall = n > d
    gram_RR = (within_ND.mT @ within_ND if tall else within_ND @ within_ND.mT) / n
    size = gram_RR.diagonal().sum() / d
    square = gram_RR.square().sum()
    fourth = within_ND.square().sum(1).square().sum()
    apart = square - d * size**2
    noise = torch.minimum((fourth / n - square) / n, apart)
    shrinkage = torch.where(apart > 0, noise / apart, 1.0)
    ridge = shrinkage * size
    if not bool(ridge > 0):
        return difference_D, torch.ones_like(shrinkage)
    shifted_RR = (1 - shrinkage) * gram_RR
    shifted_RR.diagonal().add_(ridge)
    factor_RR = torch.linalg.cholesky(shifted_RR)
    if tall:
        return torch.cholesky_solve(difference_D[:, None], factor_RR)[:, 0], shrinkage
    inner_N1 = torch.cholesky_solve((within_ND @ difference_D)[:, None], factor_RR)
    inside_D = (within_ND.mT @ inner_N1)[:, 0] * (1 - shrinkage) / n
    return (difference_D - inside_D) / ridge, shrinkage
