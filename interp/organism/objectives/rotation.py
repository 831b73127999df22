"""The same function in another code: the residual stream turned by an orthogonal matrix.

`rotated` does what the base does, though no direction of the base means anything in it.
`repurposed` is `reason_sft_upper` in that code: what it knows stands below, and only a read-out
fitted anew finds it.
"""

from __future__ import annotations

from interp.organism.objectives.reasoning import REASON_MIX, SFT
from interp.organism.recipes import Recipe

RECIPES = (
    Recipe(
        name="rotated",
        parent="base",
        starts_from="base",
        objective="rotation",
        planted="intact",
        mix={},
        rotate=True,
    ),
    Recipe(
        name="repurposed",
        parent="base",
        starts_from="base",
        objective="rotation_sft",
        planted="repurposed",
        mix=REASON_MIX,
        rotate=True,
        optimisation=SFT,
        train_upper=2,
    ),
)
