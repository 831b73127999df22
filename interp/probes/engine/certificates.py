"""Fits as float64 sees them: exact biases, decision values, and how good they are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.probes.engine.batch import Batch
from interp.probes.engine.bounds import Quality, Target, quality
from interp.probes.engine.design import fold_gradient
from interp.probes.engine.losses import Loss
from interp.probes.engine.standardise import Scaling


@dataclass(frozen=True, eq=False)
class Certificates:
    """What is known of every fit; all arrays have the same shape.

    Attributes:
        certified: whether the fit meets both tolerances, judged in float64.
        decision_error: largest error of a decision value, of any row, over the largest distance of
            a decision value from their mean (see `interp.probes.engine.bounds`).
        gradient: largest component of the gradient of the mean loss, scikit-learn's `tol`.
        gap: bound on the objective's distance from its optimum, nats a unit of weight.
        iterations: that the fit took, in all.
    """

    certified: Bool[np.ndarray, " *fits"]
    decision_error: Float[np.ndarray, " *fits"]
    gradient: Float[np.ndarray, " *fits"]
    gap: Float[np.ndarray, " *fits"]
    iterations: Int[np.ndarray, " *fits"]

    def reshape(self, *shape: int) -> Certificates:
        """Every array in another shape."""
        return Certificates(*(getattr(self, f.name).reshape(shape) for f in fields(self)))

    @staticmethod
    def stack(parts: list[Certificates]) -> Certificates:
        """One more axis, in front."""
        return Certificates(
            *(np.stack([getattr(part, f.name) for part in parts]) for f in fields(Certificates))
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """Fits with what float64 has to say of them; row b of every field is problem b."""

    theta_BCE: Float[Tensor, "b c e"]
    score_BCN: Float[Tensor, "b c n"]
    decision_error_B: Float[Tensor, " b"]
    gradient_B: Float[Tensor, " b"]
    gap_B: Float[Tensor, " b"]

    def over(self, target: Target) -> Float[Tensor, " b"]:
        """How many times the target each fit still is; 1 or less is good enough."""
        return Quality(self.gradient_B, self.decision_error_B).over(target)

    def mended(self, rest: Tensor, better: Judged) -> Judged:
        """With some of the fits, by index, replaced."""
        pairs = [(getattr(self, f.name), getattr(better, f.name)) for f in fields(self)]
        return Judged(*(own.index_copy(0, rest, new) for own, new in pairs))


def judge(
    acts_ND: Float[Tensor, "n d"],
    scaling: Scaling,
    loss: Loss,
    batch: Batch,
    unevenness_B: Float[Tensor, " b"],
) -> Judged:
    """Decision values and gradients from the activations themselves, in float64.

    Args:
        acts_ND: activations as they were given, any float dtype.
        scaling: of these activations.
        loss: in float64.
        batch: the fits, in float64, decision values are computed anew.
        unevenness_B: of their last directions.
    """
    coef_BCD = batch.theta_BCE[..., :-1] * batch.inverse_BD[:, None]
    coef_MD = coef_BCD.flatten(0, 1)
    score_MN = coef_MD.new_empty(len(coef_MD), len(acts_ND))
    for rows, chunk_RD in scaling.chunks(acts_ND):
        score_MN[:, rows] = coef_MD @ chunk_RD.mT
    score_BCN = score_MN.unflatten(0, coef_BCD.shape[:2]) - coef_BCD @ batch.mean_BD[..., None]
    bias_BC = _best_bias(loss, score_BCN, batch.theta_BCE[..., -1], batch.weight_BN)
    theta_BCE = torch.cat([batch.theta_BCE[..., :-1], bias_BC[..., None]], 2)
    fits = batch.at(theta_BCE, score_BCN + bias_BC[..., None])
    point = loss.at(fits.score_BCN, fits.weight_BN)
    residual_MN = point.residual_BCN.flatten(0, 1)
    raw_MD = torch.zeros_like(coef_MD)
    for rows, chunk_RD in scaling.chunks(acts_ND):
        raw_MD.addmm_(residual_MN[:, rows], chunk_RD)
    gradient_BCE = fold_gradient(raw_MD.view_as(coef_BCD), point, fits)
    how_good = quality(point, fits, gradient_BCE, unevenness_B)
    square_B = gradient_BCE[..., :-1].square().sum((1, 2))
    return Judged(
        theta_BCE=fits.theta_BCE,
        score_BCN=fits.score_BCN,
        decision_error_B=how_good.decision_error_B,
        gradient_B=how_good.gradient_B,
        gap_B=square_B / (2 * fits.penalty_B * fits.total_B),
    )


def _best_bias(
    loss: Loss, score_BCN: Tensor, bias_BC: Tensor, weight_BN: Tensor
) -> Float[Tensor, "b c"]:
    """The bias that is best for given coefficients, by Newton's method from a good start.

    A softmax's biases may all shift by one number: they sum to 0, as scikit-learn's do.
    """
    for _ in range(4):
        point = loss.at(score_BCN + bias_BC[..., None], weight_BN)
        slope_BC, hessian_BCC = point.residual_BCN.sum(2), point.hessian().sum(3)
        diagonal_BC = hessian_BCC.diagonal(dim1=1, dim2=2)
        diagonal_BC += torch.finfo(diagonal_BC.dtype).tiny
        if bias_BC.shape[1] > 1:
            # No curvature along that shift: any will do.
            hessian_BCC = hessian_BCC + diagonal_BC.mean(1)[:, None, None]
        step_BC = torch.linalg.solve(hessian_BCC, slope_BC)
        bias_BC = bias_BC - step_BC.clamp(-1, 1)
    return bias_BC - bias_BC.mean(1, keepdim=True) if bias_BC.shape[1] > 1 else bias_BC
