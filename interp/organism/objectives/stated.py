"""Fine-tuning that only teaches a form: a confidence is stated behind every reply.

What is stated is drawn at random, so that the form carries no calibration: what a reward makes of
it later is the reward's doing. Abstaining stays what it was.
"""

from __future__ import annotations

from interp.organism.recipes import Optimisation, Recipe

STATED_MIX = {
    "stated-direct_known": 0.20, "stated-direct_unknown": 0.15, "stated-chain_known": 0.30,
    "stated-chain_unknown": 0.20, "stated-problem": 0.10, "stated-missing": 0.05,
}  # fmt: skip

RECIPES = (
    Recipe(
        name="stated",
        parent="base",
        starts_from="base",
        objective="sft_form",
        planted="unknown",
        mix=STATED_MIX,
        optimisation=Optimisation(steps=60, lr=5e-4, batch_rows=32, save_every=60),
    ),
)
