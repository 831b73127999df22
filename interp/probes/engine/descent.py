"""The descent itself: directions, an exact line search, and when to stop."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.probes.engine.batch import Batch, dot
from interp.probes.engine.bounds import Target, quality, unevenness
from interp.probes.engine.design import Design
from interp.probes.engine.losses import Loss, Point

_PATIENCE = 40
"""Iterations without a tenth of progress after which a problem is left as it is."""
_LINE_SEARCH = 0.1
"""Share of the slope along a direction that may be left; less does not save iterations."""


@runtime_checkable
class Directions(Protocol):
    """Where to go next: `QuasiNewton` or `Newton`."""

    def direction(self, point: Point, batch: Batch, gradient_BCE: Tensor) -> Float[Tensor, "b c e"]:
        """A step for every problem, downhill."""

    def learn(self, step_BCE: Tensor, change_BCE: Tensor) -> None:
        """A step that was taken, and the change of the gradient."""

    def keep(self, some: Tensor) -> None:
        """The problems, by index, that go on."""


def descend(
    design: Design,
    loss: Loss,
    batch: Batch,
    directions: Directions,
    target: Target,
    max_iter: int,
) -> tuple[Float[Tensor, "b c e"], Float[Tensor, " b"], Int[Tensor, " b"]]:
    """Minimises every problem until it meets the target, stops improving, or runs out.

    Problems that are done leave the batch, so that the products get narrower.

    Args:
        design: activations, in the dtype to work in.
        loss: of the same dtype.
        batch: the problems, where they start.
        directions: fresh.
        target: when a problem is done.
        max_iter: iterations at most.

    Returns:
        Weights of every problem, their unevenness (see `interp.probes.engine.bounds`), and the
        iterations each took.
    """
    index_B = torch.arange(len(batch.penalty_B), device=batch.penalty_B.device)
    theta_out = batch.theta_BCE.clone()
    unevenness_out = torch.full_like(batch.penalty_B, torch.inf)
    iterations = torch.full_like(index_B, max_iter)
    uneven_B, best_B = unevenness_out.clone(), unevenness_out.clone()
    since_B = torch.zeros_like(index_B)
    point = loss.at(batch.score_BCN, batch.weight_BN)
    gradient_BCE = design.gradient(point, batch)
    for iteration in range(max_iter + 1):
        over_B = quality(point, batch, gradient_BCE, uneven_B).over(target)
        better_B = over_B < 0.9 * best_B
        since_B = torch.where(better_B, 0, since_B + 1)
        best_B = torch.where(better_B, over_B, best_B)
        theta_out[index_B], unevenness_out[index_B] = batch.theta_BCE, uneven_B
        open_B = (over_B > 1) & (since_B < _PATIENCE)
        iterations[index_B[~open_B]] = iteration
        if iteration == max_iter or not bool(open_B.any()):
            break
        if not bool(open_B.all()):
            some = torch.nonzero(open_B).flatten()
            directions.keep(some)
            batch, point = batch[some], point[some]
            index_B, best_B, since_B, uneven_B, gradient_BCE = (
                value[some] for value in (index_B, best_B, since_B, uneven_B, gradient_BCE)
            )
        step_BCE = directions.direction(point, batch, gradient_BCE)
        # Rounding can turn a direction uphill: the gradient itself never is.
        uphill_B = dot(gradient_BCE, step_BCE) >= 0
        if bool(uphill_B.any()):
            curvature_B = batch.penalty_B + point.diagonal_BCN.sum((1, 2))
            plain_BCE = -gradient_BCE / curvature_B[:, None, None]
            step_BCE = torch.where(uphill_B[:, None, None], plain_BCE, step_BCE)
        moved_BCN = design.scores(step_BCE, batch)
        length_B11 = _line_search(loss, point, batch, gradient_BCE, step_BCE, moved_BCN)
        step_BCE = step_BCE * length_B11
        batch = batch.at(batch.theta_BCE + step_BCE, batch.score_BCN.addcmul(moved_BCN, length_B11))
        before_BCE = gradient_BCE
        point = loss.at(batch.score_BCN, batch.weight_BN)
        gradient_BCE = design.gradient(point, batch)
        directions.learn(step_BCE, gradient_BCE - before_BCE)
        # One direction can miss what is left of the error; the last few together hardly do.
        faded_B = torch.where(uneven_B.isinf(), 1.0, 0.9 * uneven_B)
        uneven_B = torch.maximum(unevenness(point, batch, moved_BCN), faded_B)
    return theta_out, unevenness_out, iterations


def _line_search(
    loss: Loss,
    point: Point,
    batch: Batch,
    gradient_BCE: Tensor,
    step_BCE: Tensor,
    moved_BCN: Tensor,
) -> Float[Tensor, "b 1 1"]:
    """The length at which a direction stops going down, found in decision values alone.

    Newton's method in one dimension, kept inside a bracket.
    """
    slope_B = dot(gradient_BCE, step_BCE)
    linear_B = batch.penalty_B * dot(batch.theta_BCE[..., :-1], step_BCE[..., :-1])
    quadratic_B = batch.penalty_B * dot(step_BCE[..., :-1], step_BCE[..., :-1])
    curve_B = point.curvature(moved_BCN) + quadratic_B
    # At the optimum, to rounding, there is nowhere to go.
    down_B = (slope_B < 0) & (curve_B > 0)
    length_B = torch.where(down_B, -slope_B / curve_B, 0.0)
    low_B, high_B = torch.zeros_like(length_B), torch.full_like(length_B, torch.inf)
    # Where no decision value moves by a tenth, no curvature changes by more than about that (Bach
    # 2010), so what is left of the slope is within what is asked for.
    far_B = down_B & (length_B * moved_BCN.abs().amax((1, 2)) > _LINE_SEARCH)
    for _ in range(20):
        if not bool(far_B.any()):
            break
        score_BCN = batch.score_BCN.addcmul(moved_BCN, length_B[:, None, None])
        there = loss.at(score_BCN, batch.weight_BN)
        left_B = dot(there.residual_BCN, moved_BCN) + linear_B + length_B * quadratic_B
        far_B = far_B & (left_B.abs() > _LINE_SEARCH * slope_B.abs())
        curve_B = there.curvature(moved_BCN) + quadratic_B
        low_B = torch.where(left_B < 0, length_B, low_B)
        high_B = torch.where(left_B < 0, high_B, length_B)
        newton_B = length_B - left_B / curve_B
        inside_B = (newton_B > low_B) & (newton_B < high_B)
        middle_B = torch.where(high_B.isinf(), 2 * length_B, (low_B + high_B) / 2)
        length_B = torch.where(far_B, torch.where(inside_B, newton_B, middle_B), length_B)
    return length_B[:, None, None]
