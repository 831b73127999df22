"""Directions of limited-memory BFGS, for many problems at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import Batch, dot
from interp.probes.engine.design import Design
from interp.probes.engine.losses import Point

_MEMORY = 5
"""Pairs of steps and gradient changes that are kept; measured from 3 to 30, more save nothing."""


class QuasiNewton:
    """Minus an approximate inverse Hessian times the gradient, renewed as steps are taken.

    Source: the two-loop recursion (Nocedal 1980; Liu & Nocedal 1989). The initial inverse Hessian
    of the recursion is the design's, at the rows' present mean curvature.
    """

    def __init__(self, design: Design):
        self._design = design
        self._pairs: list[tuple[Tensor, Tensor, Tensor]] = []

    def direction(self, point: Point, batch: Batch, gradient_BCE: Tensor) -> Float[Tensor, "b c e"]:
        """Where to go from here."""
        step_BCE, shares = -gradient_BCE, []
        for moved_BCE, change_BCE, inverse_B in reversed(self._pairs):
            share_B11 = (dot(moved_BCE, step_BCE) * inverse_B)[:, None, None]
            shares.append(share_B11)
            step_BCE.addcmul_(change_BCE, share_B11, value=-1)
        mass_BC = point.diagonal_BCN.sum(2)
        mass_BC = mass_BC.clamp(min=torch.finfo(mass_BC.dtype).tiny ** 0.5)
        step_BCE = self._design.newtonlike(step_BCE, batch, mass_BC)
        for pair, share_B11 in zip(self._pairs, reversed(shares), strict=True):
            moved_BCE, change_BCE, inverse_B = pair
            back_B11 = (dot(change_BCE, step_BCE) * inverse_B)[:, None, None]
            step_BCE.addcmul_(moved_BCE, share_B11 - back_B11)
        return step_BCE

    def learn(self, step_BCE: Tensor, change_BCE: Tensor) -> None:
        """Takes note of a step and of how the gradient changed along it."""
        product_B = dot(step_BCE, change_BCE)
        # Rounding can make a tiny step look concave: such a pair weighs nothing.
        inverse_B = torch.where(product_B > 0, 1 / product_B, 0.0)
        self._pairs = [*self._pairs, (step_BCE, change_BCE, inverse_B)][-_MEMORY:]

    def keep(self, some: Tensor) -> None:
        """Goes on with some of the problems."""
        self._pairs = [(a[some], b[some], c[some]) for a, b, c in self._pairs]
