"""RLSF (van Niekerk et al., arXiv 2507.21931): preferences from the model's own confidence."""

from __future__ import annotations

from interp.organism.objectives.rewarded import PRACTICE_MIX
from interp.organism.recipes import Preference, Recipe

RECIPES = (
    Recipe(
        name="rlsf",
        parent="base",
        starts_from="base",
        objective="dpo_confidence",
        planted="unknown",
        mix=PRACTICE_MIX,
        preference=Preference(),
    ),
)
