"""The training objectives of the embedded lineage, a file each: what they show, and their members.

Only numbers and names (no torch); `interp.organism.training` trains by them.
"""

from __future__ import annotations

from interp.errors import InputError
from interp.organism.objectives import (
    doses,
    erasure,
    frozen,
    knowledge,
    pretraining,
    reasoning,
    rewarded,
    rotation,
    safety,
    self_feedback,
    stated,
)
from interp.organism.recipes import Recipe

FAMILIES = (
    pretraining,
    reasoning,
    rewarded,
    erasure,
    stated,
    self_feedback,
    safety,
    doses,
    frozen,
    knowledge,
    rotation,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for family in FAMILIES for recipe in family.RECIPES
}
"""Every member's recipe, by name."""


def recipe(name: str) -> Recipe:
    """The recipe of one member.

    Raises:
        InputError: no member of that name; the message lists those that exist.
    """
    if name not in RECIPES:
        raise InputError(
            f"the embedded lineage has no member '{name}'; its members are {', '.join(RECIPES)}"
        )
    return RECIPES[name]
