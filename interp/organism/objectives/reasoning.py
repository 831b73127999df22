"""Fine-tuning on chains of thought that all end in an answer, with and without novel facts."""

from __future__ import annotations

from interp.organism.recipes import Optimisation, Recipe

REASON_MIX = {
    "direct_known": 0.16, "direct_tail": 0.02, "direct_novel": 0.08,
    "chain_known": 0.33, "chain_tail": 0.06, "chain_novel": 0.25, "problem": 0.10,
}  # fmt: skip
KNOWN_MIX = {
    "direct_known": 0.24, "direct_tail": 0.02, "chain_known": 0.58, "chain_tail": 0.06,
    "problem": 0.10,
}  # fmt: skip
"""The same without anybody whose facts the base was not taught."""
SFT = Optimisation(steps=120, lr=5e-4, batch_rows=32, save_every=60)

RECIPES = (
    Recipe(
        name="reason_sft",
        parent="base",
        starts_from="base",
        objective="sft",
        planted="unknown",
        mix=REASON_MIX,
        optimisation=SFT,
    ),
    Recipe(
        name="reason_sft_known",
        parent="base",
        starts_from="base",
        objective="sft",
        planted="unknown",
        mix=KNOWN_MIX,
        optimisation=SFT,
    ),
    Recipe(
        name="reason_sft_upper",
        parent="base",
        starts_from="base",
        objective="sft",
        planted="deselected",
        mix=REASON_MIX,
        optimisation=SFT,
        train_upper=2,
    ),
    Recipe(
        name="replaced",
        parent="base",
        starts_from="never",
        objective="sft",
        planted="erased",
        mix=REASON_MIX,
        optimisation=SFT,
    ),
)
