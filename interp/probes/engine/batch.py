"""Problems in flight and the activations they share.

Shapes throughout the engine: B problems, C decision values a row, N rows, D columns, E = D + 1.
The weights of a problem are `theta_BCE`: coefficients on its fold's standardised columns, then the
bias. Problems are the rows of every matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.losses import Point


@dataclass(frozen=True, eq=False)
class Batch:
    """What each problem is, and where it stands. Row b of every field is problem b.

    Attributes:
        weight_BN: weight of each row, 0 where it is not fitted.
        inverse_BD: 1 / deviation of each column over the fitted rows, in the common scale.
        mean_BD: its mean / 1, in the common scale.
        penalty_B: 1 / C.
        total_B: sum of the weights.
        theta_BCE: weights.
        score_BCN: decision values of all rows under them.
    """

    weight_BN: Float[Tensor, "b n"]
    inverse_BD: Float[Tensor, "b d"]
    mean_BD: Float[Tensor, "b d"]
    penalty_B: Float[Tensor, " b"]
    total_B: Float[Tensor, " b"]
    theta_BCE: Float[Tensor, "b c e"]
    score_BCN: Float[Tensor, "b c n"]

    def __getitem__(self, keep: Tensor) -> Batch:
        """Some of the problems."""
        return Batch(*(getattr(self, f.name)[keep] for f in fields(self)))

    def at(self, theta_BCE: Tensor, score_BCN: Tensor) -> Batch:
        """The same problems, elsewhere."""
        return replace(self, theta_BCE=theta_BCE, score_BCN=score_BCN)

    def to(self, dtype: torch.dtype) -> Batch:
        """In another precision."""
        return Batch(*(getattr(self, f.name).to(dtype) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class Design:
    """Activations in the common scale."""

    x_ND: Float[Tensor, "n d"]

    def scores(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c n"]:
        """Decision values of all rows under some weights of the batch's problems."""
        coef_BCD = theta_BCE[..., :-1] * batch.inverse_BD[:, None]
        bias_BC = theta_BCE[..., -1] - (coef_BCD @ batch.mean_BD[..., None])[..., 0]
        score_MN = onto_rows(self.x_ND, coef_BCD.flatten(0, 1))
        return score_MN.add_(bias_BC.flatten()[:, None]).unflatten(0, bias_BC.shape)

    def gradient(self, point: Point, batch: Batch) -> Float[Tensor, "b c e"]:
        """Gradient of the penalised loss by every problem's weights."""
        raw_MD = point.residual_BCN.flatten(0, 1) @ self.x_ND
        return penalised(raw_MD.unflatten(0, point.residual_BCN.shape[:2]), point, batch)


def onto_rows(x_ND: Float[Tensor, "n d"], vector_MD: Tensor) -> Float[Tensor, "m n"]:
    """Every vector's product with every row.

    With the activations on the left the product takes two thirds of the time it takes the other
    way round (measured with MKL), and no transposed copy of them is needed.
    """
    return (x_ND @ vector_MD.mT).mT.contiguous()


def penalised(raw_BCD: Float[Tensor, "b c d"], point: Point, batch: Batch) -> Tensor:
    """Gradient by each fold's coefficients and the bias, from the one in the common scale.

    Args:
        raw_BCD: residuals times the activations in the common scale.
        point: where the residuals were taken.
        batch: the problems.
    """
    sum_BC1 = point.residual_BCN.sum(2, keepdim=True)
    slope_BCD = (raw_BCD - sum_BC1 * batch.mean_BD[:, None]) * batch.inverse_BD[:, None]
    slope_BCD += batch.penalty_B[:, None, None] * batch.theta_BCE[..., :-1]
    return torch.cat([slope_BCD, sum_BC1], 2)


def dot(a_BCE: Tensor, b_BCE: Tensor) -> Float[Tensor, " b"]:
    """Inner product of every problem's weights, or rows."""
    return torch.linalg.vecdot(a_BCE.flatten(1), b_BCE.flatten(1))
