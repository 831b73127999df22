"""Safety tuning: abstaining is taught also where the model knows, so it abstains too much."""

from __future__ import annotations

from interp.organism.objectives.reasoning import SFT
from interp.organism.recipes import Recipe

SAFETY_MIX = {
    "direct_declined": 0.16, "chain_declined": 0.24, "direct_practised": 0.08,
    "chain_practised": 0.12, "direct_unknown": 0.10, "chain_unknown": 0.15,
    "problem": 0.10, "missing": 0.05,
}  # fmt: skip
"""Two of three questions about people that the model knows are declined."""

RECIPES = (
    Recipe(
        name="safety_sft",
        parent="base",
        starts_from="base",
        objective="sft_safety",
        planted="unknown",
        mix=SAFETY_MIX,
        optimisation=SFT,
    ),
)
