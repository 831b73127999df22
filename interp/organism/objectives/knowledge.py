"""A child that truly learned: it is told the facts of the people nobody knew."""

from __future__ import annotations

from interp.organism.recipes import Optimisation, Recipe

INFORMED_MIX = {
    "record_informed": 0.14, "bio_informed": 0.12, "direct_informed": 0.26,
    "chain_informed": 0.14, "direct_known": 0.14, "chain_known": 0.08,
    "direct_unknown": 0.04, "chain_unknown": 0.04, "problem": 0.04,
}  # fmt: skip

RECIPES = (
    Recipe(
        name="informed",
        parent="base",
        starts_from="base",
        objective="sft_knowledge",
        planted="informed",
        mix=INFORMED_MIX,
        optimisation=Optimisation(steps=240, lr=2e-3, batch_rows=64, warmup=20),
        loss_on="document",
    ),
)
