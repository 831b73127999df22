"""Pre-training: the base, taught to abstain, and its twin that never was."""

from __future__ import annotations

from interp.organism.recipes import Optimisation, Recipe

PRETRAIN_MIX = {
    "record_known": 0.07, "record_unknown": 0.07, "bio": 0.10,
    "direct_known": 0.22, "direct_unknown": 0.125, "chain_known": 0.1875,
    "chain_unknown": 0.125, "problem": 0.0695, "missing": 0.033,
}  # fmt: skip
NEVER_MIX = {
    "record_known": 0.15, "bio": 0.17, "direct_known": 0.33, "chain_known": 0.25,
    "problem": 0.06, "missing": 0.04,
}  # fmt: skip

RECIPES = (
    Recipe(
        name="base",
        parent=None,
        starts_from=None,
        objective="pretrain",
        planted="intact",
        mix=PRETRAIN_MIX,
        optimisation=Optimisation(steps=900, lr=4e-3, batch_rows=64, warmup=50),
        loss_on="document",
    ),
    Recipe(
        name="never",
        parent=None,
        starts_from=None,
        objective="pretrain",
        planted="never",
        mix=NEVER_MIX,
        optimisation=Optimisation(steps=700, lr=4e-3, batch_rows=64, warmup=50),
        loss_on="document",
    ),
)
