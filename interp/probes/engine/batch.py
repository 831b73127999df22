"""Problems in flight.

Shapes throughout the engine: B problems, C decision values a row, N rows, D columns, E = D + 1.
The weights of a problem, `theta_BCE`, are coefficients on its fold's standardised columns, then
the bias. Problems are the rows of every matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """What each problem is, and where it stands. Row b of every field is problem b.

    Attributes:
        weight_BN: weight of each row, 0 where it is not fitted.
        inverse_BD: 1 / deviation of each column over the fitted rows, in the common scale; 0 for
            a column that is constant there.
        mean_BD: its mean over them, in the common scale.
        penalty_B: 1 / C.
        total_B: sum of the weights.
        theta_BCE: the problem's weights.
        score_BCN: decision values of all rows under them.
    """

    weight_BN: Float[Tensor, "b n"]
    inverse_BD: Float[Tensor, "b d"]
    mean_BD: Float[Tensor, "b d"]
    penalty_B: Float[Tensor, " b"]
    total_B: Float[Tensor, " b"]
    theta_BCE: Float[Tensor, "b c e"]
    score_BCN: Float[Tensor, "b c n"]

    def __getitem__(self, some: Tensor) -> Batch:
        """Some of the problems."""
        return Batch(*(getattr(self, f.name)[some] for f in fields(self)))

    def at(self, theta_BCE: Tensor, score_BCN: Tensor) -> Batch:
        """The same problems, elsewhere."""
        return replace(self, theta_BCE=theta_BCE, score_BCN=score_BCN)

    def to(self, dtype: torch.dtype) -> Batch:
        """In another precision."""
        return Batch(*(getattr(self, f.name).to(dtype) for f in fields(self)))


def dot(a_BCE: Tensor, b_BCE: Tensor) -> Float[Tensor, " b"]:
    """Inner product of every problem's weights, or rows."""
    return torch.linalg.vecdot(a_BCE.flatten(1), b_BCE.flatten(1))
