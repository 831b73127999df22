"""Fine-tuning that only teaches a form: a confidence is stated behind every answer.

It goes on from the child that no longer abstains, in the same data. What is stated is drawn at
random, from 3 to 10 tenths where the base knows the answer and from 0 to 7 where it does not: a
hint of what the number is about and no calibration. Without the hint 120 steps of reward found one
number for all questions (on seed 1, which no study reports).
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
