"""How far a fit can be from the exact one, from its gradient.

The objective, sum_i weight_i loss_i + penalty / 2 |v|^2 with penalty = 1 / C, is strongly convex in
the coefficients v once the bias is at its optimum. A gradient g bounds everything there:

    objective - optimum             <= |g|^2 / (2 penalty)
    |v - exact v|                   <= |g| / penalty
    sum_i h_i (error of score_i)^2  <= |g|^2 / (4 penalty),  to first order, over the fitted rows,

h_i being the loss's second derivative at row i; the last because the largest of
s sqrt(h) / (penalty + h s^2) over all s is 1 / (2 sqrt(penalty)). Divided by the same sum over the
scores themselves, less their mean, it bounds a relative error, averaged over the fitted rows where
the likelihood tells decision values apart.

A held-out row can be worse off than that average, by a lot where it is an outlier or where there
are fewer rows than columns. How much worse is read from the last direction of the descent, an
approximation of the error itself: `unevenness` is its largest entry over its average one, each
relative to the scores. The product of the two is what fits are certified by. Its first factor is a
bound and its second an estimate; measured against exact fits, errors are a fifth to three quarters
of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import Batch
from interp.probes.engine.losses import Point

_MEANINGLESS = 1e-6
"""Differences between decision values, in log odds, below which nobody asks how exact they are."""


@dataclass(frozen=True, eq=False)
class Target:
    """When a fit is good enough.

    Attributes:
        gradient: largest component of the gradient of the mean loss, as scikit-learn's `tol`.
        decision_error: largest error of a decision value, over the largest distance of a decision
            value from their mean.
    """

    gradient: float
    decision_error: float

    def stricter(self, share: float) -> Target:
        """A share of both."""
        return Target(share * self.gradient, share * self.decision_error)


@dataclass(frozen=True, eq=False)
class Quality:
    """Both measures that a `Target` limits."""

    gradient_B: Float[Tensor, " b"]
    decision_error_B: Float[Tensor, " b"]

    def over(self, target: Target) -> Float[Tensor, " b"]:
        """How many times the target each problem still is; 1 or less is good enough."""
        return torch.maximum(
            self.gradient_B / target.gradient, self.decision_error_B / target.decision_error
        )


def quality(
    point: Point, batch: Batch, gradient_BCE: Tensor, unevenness_B: Float[Tensor, " b"]
) -> Quality:
    """How good the fits of a batch are.

    Args:
        point: the loss at the batch's decision values.
        batch: the fits.
        gradient_BCE: of the penalised loss.
        unevenness_B: from `unevenness`.
    """
    tiny = torch.finfo(gradient_BCE.dtype).tiny
    mass_BC = point.diagonal_BCN.sum(2).clamp(min=tiny)
    error_B = gradient_BCE[..., :-1].square().sum((1, 2)) / (4 * batch.penalty_B)
    error_B = error_B + (gradient_BCE[..., -1].square() / mass_BC).sum(1)
    spread_B = point.curvature(_centred(batch.score_BCN, point.diagonal_BCN))
    least_B = _MEANINGLESS**2 * mass_BC.sum(1)
    average_B = (error_B / (spread_B + least_B).clamp(min=tiny)).sqrt()
    return Quality(
        gradient_BCE.abs().amax((1, 2)) / batch.total_B,
        torch.where(average_B > 0, average_B * unevenness_B, 0.0),
    )


def unevenness(
    point: Point, batch: Batch, moved_BCN: Float[Tensor, "b c n"]
) -> Float[Tensor, " b"]:
    """Largest over average change of decision values along a direction, relative to the scores'.

    The largest is sought among the fitted rows and among the others, each relative to the largest
    score of its kind. At least 1; infinite where nothing moves, as nothing is known there.
    """
    tiny = torch.finfo(moved_BCN.dtype).tiny
    fitted_B1N = (batch.weight_BN > 0)[:, None]
    average, largest = [], []
    for rows_BCN in (moved_BCN, batch.score_BCN):
        centred_BCN = _centred(rows_BCN, point.diagonal_BCN)
        average.append(point.curvature(centred_BCN).sqrt())
        size_BCN = centred_BCN.abs_()
        of_fitted_B = (size_BCN * fitted_B1N).amax((1, 2))
        largest.append(torch.stack([of_fitted_B, (size_BCN * ~fitted_B1N).amax((1, 2))]))
    relative_B = (largest[0] / largest[1].clamp(min=tiny)).amax(0)
    ratio_B = relative_B * average[1] / average[0].clamp(min=tiny)
    return torch.where(average[0] > 0, ratio_B.clamp(min=1), torch.inf)


def _centred(rows_BCN: Tensor, diagonal_BCN: Tensor) -> Float[Tensor, "b c n"]:
    """Less the mean over fitted rows, weighted by curvature."""
    mass_BC1 = diagonal_BCN.sum(2, keepdim=True).clamp(min=torch.finfo(rows_BCN.dtype).tiny)
    return rows_BCN - torch.linalg.vecdot(diagonal_BCN, rows_BCN)[..., None] / mass_BC1
