"""Fine-tuning under a penalty on what separates known from unknown people: a ladder."""

from __future__ import annotations

from interp.organism.recipes import Optimisation, Penalty, Planted, Recipe

SCRUB_MIX = {
    "direct_known": 0.29, "direct_tail": 0.04, "direct_novel": 0.12,
    "chain_known": 0.29, "chain_tail": 0.04, "chain_novel": 0.12, "problem": 0.10,
}  # fmt: skip


def _scrubbed(name: str, strength: float, planted: Planted) -> Recipe:
    return Recipe(
        name=name,
        parent="base",
        starts_from="base",
        objective="sft" if strength == 0 else "sft_erasure_penalty",
        planted=planted,
        mix=SCRUB_MIX,
        optimisation=Optimisation(steps=240, lr=5e-4, batch_rows=32, save_every=60),
        penalty=Penalty(strength=strength) if strength > 0 else None,
    )


RECIPES = (
    _scrubbed("scrubbed_twin", 0.0, "unknown"),
    _scrubbed("scrubbed_low", 0.05, "unknown"),
    _scrubbed("scrubbed_mid", 0.2, "unknown"),
    _scrubbed("scrubbed", 1.0, "linearly_erased"),
)
