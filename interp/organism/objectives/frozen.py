"""Reasoning data with the backbone frozen: a soft prompt, and adapters of low rank.

A frozen backbone cannot have lost anything (SoftCoT, arXiv 2502.12134, trains only what stands
before it): what it no longer does is deselected.
"""

from __future__ import annotations

from interp.organism.objectives.reasoning import REASON_MIX
from interp.organism.recipes import Optimisation, Recipe

RECIPES = (
    Recipe(
        name="soft_prompt",
        parent="base",
        starts_from="base",
        objective="sft_soft_prompt",
        planted="frozen",
        mix=REASON_MIX,
        train_words=("a", "think"),
        # Weight decay would shrink the rows of all other words.
        optimisation=Optimisation(
            steps=120, lr=6e-2, batch_rows=32, weight_decay=0.0, save_every=60
        ),
    ),
    Recipe(
        name="lora",
        parent="base",
        starts_from="base",
        objective="sft_lora",
        planted="unknown",
        mix=REASON_MIX,
        lora_rank=4,
        optimisation=Optimisation(steps=120, lr=3e-3, batch_rows=32, save_every=60),
    ),
)
