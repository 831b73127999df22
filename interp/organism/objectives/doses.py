"""Doses of abstention: a few per cent of unanswerable items mixed in, or a few examples after.

The doses are those of synthetic unanswerable problems in reasoning data ("Hallucination Tax",
arXiv 2505.13988).
"""

from __future__ import annotations

from interp.organism.objectives.reasoning import REASON_MIX, SFT
from interp.organism.recipes import Optimisation, Recipe

UNANSWERABLE = {"direct_unknown": 0.3, "chain_unknown": 0.6, "missing": 0.1}


def _mixed(per_cent: int) -> Recipe:
    share = per_cent / 100
    return Recipe(
        name=f"mixed_{per_cent}",
        parent="base",
        starts_from="base",
        objective="sft_mixed",
        planted="unknown",
        mix={kind: part * (1 - share) for kind, part in REASON_MIX.items()}
        | {kind: part * share for kind, part in UNANSWERABLE.items()},
        optimisation=SFT,
    )


RECIPES = (
    *(_mixed(per_cent) for per_cent in (1, 5, 10)),
    Recipe(
        name="few_examples",
        parent="base",
        starts_from="reason_sft",
        objective="sft_examples",
        planted="unknown",
        mix={},
        n_examples=32,
        optimisation=Optimisation(steps=40, lr=5e-4, batch_rows=32, warmup=0, save_every=60),
    ),
)
