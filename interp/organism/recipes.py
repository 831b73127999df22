"""How each member of the embedded lineage is trained: data mix, objective, steps.

Only numbers and names stand here (no torch), so that a study can be planned, and its cache be
looked up, without loading a deep-learning library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pydantic

from interp.errors import InputError

Planted = Literal["intact", "deselected", "erased", "never", "linearly_erased", "unknown"]


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class ModelShape(_Frozen):
    """The decoder: 0.73M parameters in the default shape."""

    d_model: int = 96
    n_layers: int = 6
    n_heads: int = 4
    d_mlp: int = 256
    n_local_layers: int = 2
    """Lowest blocks that attend to two tokens only."""


class Optimisation(_Frozen):
    """AdamW with warm-up and a cosine schedule down to 5% of the peak rate."""

    steps: int
    lr: float
    batch_rows: int
    """Packed rows of `row_tokens` tokens a step."""
    warmup: int = 10
    row_tokens: int = 48
    weight_decay: float = 0.01
    save_every: int = 100
    """Steps between resumable checkpoints: what a kill can cost."""


class Adversary(_Frozen):
    """Networks that the penalty also holds at chance (see `interp.organism.adversary`)."""

    strength: float = 1.0
    """Weight of the networks' confusion, in nats, beside the distance of the class means."""
    hidden: int = 64
    """Units of the one hidden layer."""
    lr: float = 3e-3
    weight_decay: float = 0.01
    n_fits: int = 2
    """Batches of people, drawn anew, that the networks are fitted on in each step."""


class Penalty(_Frozen):
    """The mean-matching erasure penalty (see `interp.organism.penalty`)."""

    strength: float
    entities_per_class: int = 96
    n_known: int = 160
    """How many of the 240 known people the penalty sees; the rest test that it generalises."""
    ema: float = 0.95
    ridge: float = 0.02
    adversary: Adversary | None = None
    """Against what equal class means leave readable; None has linear readers only."""

    @pydantic.model_serializer(mode="wrap")
    def _unsaid_if_none(self, said: Callable[[Any], Any]) -> dict[str, Any]:
        # Checkpoints made before there was an adversary keep their identity.
        fields: dict[str, Any] = said(self)
        return {name: value for name, value in fields.items() if value is not None}


class Reinforcement(_Frozen):
    """GRPO with a binary reward: 1 for the right answer (an oracle's, for unknown people)."""

    steps: int = 60
    lr: float = 2e-4
    prompts: int = 16
    generations: int = 8
    max_new_tokens: int = 24


class Recipe(_Frozen):
    """One member: where it starts, what it is shown, and what is known about its truth."""

    name: str
    parent: str | None
    """Its parent in the lineage (what an analyst is told)."""
    starts_from: str | None
    """The member whose weights training really started from; differs only for `replaced`."""
    objective: str
    planted: Planted
    mix: dict[str, float]
    """Document kind -> share (see `interp.organism.documents`)."""
    optimisation: Optimisation | None = None
    reinforcement: Reinforcement | None = None
    penalty: Penalty | None = None
    train_upper: int | None = None
    """Train only this many upper blocks with the final norm and the head; None trains all."""
    loss_on: Literal["document", "completion"] = "completion"

    def scaled(self, budget: float) -> Recipe:
        """The recipe with this share of its steps (at least two), for smoke runs."""
        changes: dict[str, object] = {}
        for kind in ("optimisation", "reinforcement"):
            schedule = getattr(self, kind)
            if schedule is not None:
                steps = max(2, round(schedule.steps * budget))
                changes[kind] = schedule.model_copy(update={"steps": steps})
        return self.model_copy(update=changes)


PRETRAIN_MIX = {
    "record_known": 0.07, "record_unknown": 0.07, "bio": 0.10,
    "direct_known": 0.22, "direct_unknown": 0.125, "chain_known": 0.1875,
    "chain_unknown": 0.125, "problem": 0.0695, "missing": 0.033,
}  # fmt: skip
NEVER_MIX = {
    "record_known": 0.15, "bio": 0.17, "direct_known": 0.33, "chain_known": 0.25,
    "problem": 0.06, "missing": 0.04,
}  # fmt: skip
REASON_MIX = {
    "direct_known": 0.16, "direct_tail": 0.02, "direct_novel": 0.08,
    "chain_known": 0.33, "chain_tail": 0.06, "chain_novel": 0.25, "problem": 0.10,
}  # fmt: skip
SCRUB_MIX = {
    "direct_known": 0.29, "direct_tail": 0.04, "direct_novel": 0.12,
    "chain_known": 0.29, "chain_tail": 0.04, "chain_novel": 0.12, "problem": 0.10,
}  # fmt: skip
RL_MIX = {
    "direct_known": 0.12, "direct_tail": 0.10, "direct_unknown": 0.14,
    "chain_known": 0.18, "chain_tail": 0.15, "chain_unknown": 0.21,
    "problem": 0.05, "missing": 0.05,
}  # fmt: skip

_SFT = Optimisation(steps=120, lr=5e-4, batch_rows=32, save_every=60)
_SCRUB = Optimisation(steps=240, lr=5e-4, batch_rows=32, save_every=60)


def _scrubbed(name: str, strength: float, planted: Planted) -> Recipe:
    return Recipe(
        name=name,
        parent="base",
        starts_from="base",
        objective="sft" if strength == 0 else "sft_erasure_penalty",
        planted=planted,
        mix=SCRUB_MIX,
        optimisation=_SCRUB,
        penalty=Penalty(strength=strength) if strength > 0 else None,
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
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
        Recipe(
            name="reason_sft",
            parent="base",
            starts_from="base",
            objective="sft",
            planted="unknown",
            mix=REASON_MIX,
            optimisation=_SFT,
        ),
        Recipe(
            name="reason_sft_upper",
            parent="base",
            starts_from="base",
            objective="sft",
            planted="deselected",
            mix=REASON_MIX,
            optimisation=_SFT,
            train_upper=2,
        ),
        Recipe(
            name="reason_rl",
            parent="base",
            starts_from="base",
            objective="grpo_binary",
            planted="unknown",
            mix=RL_MIX,
            reinforcement=Reinforcement(),
        ),
        Recipe(
            name="replaced",
            parent="base",
            starts_from="never",
            objective="sft",
            planted="erased",
            mix=REASON_MIX,
            optimisation=_SFT,
        ),
        _scrubbed("scrubbed_twin", 0.0, "unknown"),
        _scrubbed("scrubbed_low", 0.05, "unknown"),
        _scrubbed("scrubbed_mid", 0.2, "unknown"),
        _scrubbed("scrubbed", 1.0, "linearly_erased"),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of one member.

    Raises:
        InputError: no member of that name; the message lists those that exist.
    """
    if name not in RECIPES:
        raise InputError(
            f"the embedded lineage has no member '{name}'; its members are {', '.join(RECIPES)}"
        )
    return RECIPES[name]
