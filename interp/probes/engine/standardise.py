"""One cell's activations on a common scale, and each fold's standardisation as an affine map.

A fold standardises by the mean and deviation of its own fitted rows. Instead of a copy of the
activations for every fold, there is one copy standardised over all rows; what is left to do for a
fold is a small affine map, folded into its coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.probes.engine.problems import name_rows

_CHUNK_ELEMENTS = 2**20
"""Numbers widened to float64 at a time: a few MB, which stay in a CPU's cache."""
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Scaling:
    """Where the columns of one cell lie, over all rows and over the fitted rows of each fold.

    Attributes:
        center_D: mean over all rows, in the activations' units, float64.
        per_unit_D: 1 / standard deviation over all rows, 0 for a constant column, float64.
        mean_FD: weighted mean of each fold's fitted rows, in the common scale.
        inverse_FD: 1 / their weighted standard deviation in the common scale, 0 for a column that
            is constant over them: it can tell nothing, and its coefficient is exactly 0.
    """

    center_D: Float[Tensor, " d"]
    per_unit_D: Float[Tensor, " d"]
    mean_FD: Float[Tensor, "f d"]
    inverse_FD: Float[Tensor, "f d"]

    def common(self, acts_ND: Float[Tensor, "n d"], dtype: torch.dtype) -> Float[Tensor, "n d"]:
        """The activations in the common scale; computed in float64, rounded once."""
        common_ND = torch.empty(acts_ND.shape, dtype=dtype, device=acts_ND.device)
        for rows, chunk_MD in self.chunks(acts_ND):
            common_ND[rows] = chunk_MD
        return common_ND

    def chunks(self, acts_ND: Float[Tensor, "n d"]) -> Iterator[tuple[slice, Tensor]]:
        """Some rows at a time in the common scale, float64."""
        for rows, chunk_MD in _chunks(acts_ND):
            yield rows, chunk_MD.sub_(self.center_D).mul_(self.per_unit_D)


def scaling_of(acts_ND: Float[Tensor, "n d"], weight_FN: Float[Tensor, "f n"]) -> Scaling:
    """Means and deviations over all rows and over those of each fold, in one pass.

    Args:
        acts_ND: activations in any float dtype.
        weight_FN: weight of each row in each fold, float64.

    Raises:
        InputError: a value that is not finite, naming the rows.
    """
    n, d = acts_ND.shape
    # Sums are taken about a typical row, so that a large mean costs no digits.
    about_D = acts_ND[: min(n, 16)].double().mean(0)
    all_FN = torch.cat([weight_FN, weight_FN.new_ones(1, n)])
    sum_FD = weight_FN.new_zeros(len(all_FN), d)
    square_FD = torch.zeros_like(sum_FD)
    for rows, chunk_MD in _chunks(acts_ND):
        chunk_MD.sub_(about_D)
        sum_FD.addmm_(all_FN[:, rows], chunk_MD)
        square_FD.addmm_(all_FN[:, rows], chunk_MD.square_())
    if not torch.isfinite(square_FD).all():
        wrong_N = ~torch.isfinite(acts_ND.double()).all(1)
        raise InputError(
            f"activations: NaN or Inf in {name_rows_of(wrong_N)}; capture them again in a wider "
            "dtype, or drop those rows."
        )
    total_F1 = all_FN.sum(1, keepdim=True)
    mean_FD = sum_FD / total_F1
    variance_FD = square_FD / total_F1 - mean_FD.square()
    for fold, column_K in _cancelled(variance_FD, square_FD / total_F1):
        offset_NK = acts_ND[:, column_K].double() - about_D[column_K]
        weight_1N = all_FN[fold : fold + 1] / total_F1[fold]
        exact_1K = weight_1N @ offset_NK
        mean_FD[fold, column_K] = exact_1K[0]
        variance_FD[fold, column_K] = (weight_1N @ (offset_NK - exact_1K).square())[0]
    inverse_FD = _inverse_deviation(variance_FD, mean_FD, about_D, total_F1)
    center_D, per_unit_D = mean_FD[-1], inverse_FD[-1]
    varies_FD = (inverse_FD[:-1] > 0) & (per_unit_D > 0)
    return Scaling(
        center_D=about_D + center_D,
        per_unit_D=per_unit_D,
        mean_FD=(mean_FD[:-1] - center_D) * per_unit_D,
        inverse_FD=torch.where(varies_FD, inverse_FD[:-1] / per_unit_D, 0.0),
    )


def name_rows_of(wrong_N: Tensor) -> str:
    """`name_rows` of a mask on any device."""
    return name_rows(wrong_N.cpu().numpy())


def _chunks(acts_ND: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Fresh float64 copies of some rows at a time."""
    n, d = acts_ND.shape
    step = max(1, _CHUNK_ELEMENTS // d)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        yield rows, acts_ND[rows].to(torch.float64, copy=True)


def _cancelled(variance_FD: Tensor, square_FD: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Columns of a fold whose variance is a small difference of large numbers."""
    lost_FD = variance_FD <= 1e-6 * square_FD
    for fold in torch.nonzero(lost_FD.any(1)).flatten().tolist():
        yield fold, torch.nonzero(lost_FD[fold]).flatten()


def _inverse_deviation(
    variance_FD: Tensor, mean_FD: Tensor, about_D: Tensor, n_F1: Tensor
) -> Float[Tensor, "f d"]:
    """1 / deviation; 0 where the variance is no more than rounding leaves of a constant.

    The bound of scikit-learn's `StandardScaler`, for the mean as it is and for the shifted one.
    """
    bound_FD = torch.zeros_like(variance_FD)
    for offset_FD in (mean_FD, mean_FD + about_D):
        rounding_FD = n_F1 * _EPS * variance_FD + (n_F1 * _EPS * offset_FD).square()
        bound_FD = torch.maximum(bound_FD, rounding_FD)
    return torch.where(variance_FD > bound_FD, variance_FD.clamp(min=0).rsqrt(), 0.0)
