"""Fine-tuning that only teaches a form: a confidence is stated before every answer.

It goes on from the child that no longer abstains, in the same data. What is stated is drawn at
random, so that the form carries no calibration: what a reward makes of it later is its own doing.
It stands first, where the base decides whether to abstain. Behind the answer, as in RLCR's data,
these small models did not learn it: no more than one number for all questions within 120 steps (on
seed 1, which no study reports).
"""

from __future__ import annotations

from interp.organism.objectives.reasoning import REASON_MIX
from interp.organism.recipes import Optimisation, Recipe

STATED_MIX = {f"stated-{kind}": share for kind, share in REASON_MIX.items()}

RECIPES = (
    Recipe(
        name="stated",
        parent="base",
        starts_from="reason_sft",
        objective="sft_form",
        planted="unknown",
        mix=STATED_MIX,
        optimisation=Optimisation(steps=60, lr=5e-4, batch_rows=32, save_every=60),
    ),
)
