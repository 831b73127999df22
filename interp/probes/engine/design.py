"""One cell's activations, and what the descent does with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import Batch
from interp.probes.engine.losses import Point
from interp.probes.engine.shifted import Ratios, ShiftedInverse, gram

_FLOOR = {True: 1e-6, False: 5e-5}
"""Smallest shift, as a share of the trace, with more rows than columns and with fewer. In float32 a
smaller one is lost; by Woodbury's identity it costs digits before, and twice the iterations."""


@dataclass(frozen=True, eq=False)
class Design:
    """Activations in the common scale, with a preconditioner that all problems share.

    Attributes:
        x_ND: the activations.
        weighted_ND: each row times the root of its weight, float32.
        inverse: of the Gram matrix of those, of its columns or, where they are fewer, its rows.
    """

    x_ND: Float[Tensor, "n d"]
    weighted_ND: Float[Tensor, "n d"]
    inverse: ShiftedInverse

    def widened(self, x_ND: Float[Tensor, "n d"]) -> Design:
        """With the activations in another precision, the preconditioner as it is."""
        return replace(self, x_ND=x_ND)

    def scores(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c n"]:
        """Decision values of all rows under some weights, each fold standardising as it does."""
        coef_BCD = theta_BCE[..., :-1] * batch.inverse_BD[:, None]
        bias_BC = theta_BCE[..., -1] - (coef_BCD @ batch.mean_BD[..., None])[..., 0]
        score_MN = _onto_rows(self.x_ND, coef_BCD.flatten(0, 1))
        return score_MN.add_(bias_BC.flatten()[:, None]).unflatten(0, bias_BC.shape)

    def gradient(self, point: Point, batch: Batch) -> Float[Tensor, "b c e"]:
        """Gradient of the penalised loss by the weights."""
        raw_MD = point.residual_BCN.flatten(0, 1) @ self.x_ND
        return fold_gradient(raw_MD.unflatten(0, point.residual_BCN.shape[:2]), point, batch)

    def newtonlike(
        self, gradient_BCE: Tensor, batch: Batch, mass_BC: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b c e"]:
        """A gradient times the inverse of `penalty + mass / n * X'X`, or nearly so.

        X'X stands for all folds and for every row's curvature: what a fold leaves out, and what
        sets rows apart in saturated fits, is left to the iteration.

        Args:
            gradient_BCE: by the weights.
            batch: the problems.
            mass_BC: curvature of the loss, summed over rows.
        """
        n, d = self.x_ND.shape
        omega_M = mass_BC.flatten() / n
        shift_M = batch.penalty_B.repeat_interleave(mass_BC.shape[1]) / omega_M
        slope_MD = gradient_BCE[..., :-1].flatten(0, 1).to(self.weighted_ND)
        if n > d:
            step_MD, _ = self.inverse(slope_MD, shift_M)
        else:
            # Woodbury: (s + X'X)^-1 = (1 - X' (s + XX')^-1 X) / s
            inner_MN, used_M = self.inverse(_onto_rows(self.weighted_ND, slope_MD), shift_M)
            step_MD = (slope_MD - inner_MN @ self.weighted_ND) / used_M[:, None]
        step_BCD = (step_MD.to(omega_M) / omega_M[:, None]).unflatten(0, mass_BC.shape)
        return torch.cat([step_BCD, (gradient_BCE[..., -1] / mass_BC)[..., None]], 2)


def design_of(
    x_ND: Float[Tensor, "n d"], row_weight_N: Float[Tensor, " n"], ratios: Ratios
) -> Design:
    """The design with its preconditioner.

    Args:
        x_ND: activations in the common scale, float32.
        row_weight_N: weight of each row over all folds, of mean 1.
        ratios: of penalty to the mean curvature of a row, over all problems.
    """
    equal = bool((row_weight_N == 1).all())
    weighted_ND = x_ND if equal else x_ND * row_weight_N.sqrt()[:, None]
    tall = x_ND.shape[0] > x_ND.shape[1]
    gram_RR = gram(weighted_ND.mT if tall else weighted_ND)
    return Design(x_ND, weighted_ND, ShiftedInverse(gram_RR, ratios, _FLOOR[tall]))


def fold_gradient(
    raw_BCD: Float[Tensor, "b c d"], point: Point, batch: Batch
) -> Float[Tensor, "b c e"]:
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


def _onto_rows(x_ND: Tensor, vector_MD: Tensor) -> Float[Tensor, "m n"]:
    """Every vector's product with every row.

    With the activations on the left this takes two thirds of the time that it takes the other way
    round (measured with MKL), and no transposed copy of them.
    """
    return (x_ND @ vector_MD.mT).mT.contiguous()
