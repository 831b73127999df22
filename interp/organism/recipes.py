"""What a recipe of the embedded lineage can say: data mix, objective, steps, what is trained.

Only numbers and names stand here (no torch), so that a study can be planned, and its cache be
looked up, without loading a deep-learning library. The recipes themselves are in
`interp.organism.objectives`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pydantic

Planted = Literal[
    "intact",
    "deselected",
    "erased",
    "never",
    "linearly_erased",
    "repurposed",
    "informed",
    "frozen",
    "unknown",
]
"""What was built into a member; "unknown" where only training decides."""

Reward = Literal["binary", "ternary", "stated", "calibrated"]
"""Names of `interp.organism.rewards.REWARDS`."""

Measure = Literal["top", "gap", "entropy", "taken"]
"""Confidence of one token: the top probability p1, p1 - p2, 1 - H / log V, or the probability of
the token that was written (what RLSF's released code reads; the same as `top` where the reply is
greedy)."""


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    @pydantic.model_serializer(mode="wrap")
    def _without_what_is_not_asked_for(self, said: Callable[[Any], Any]) -> dict[str, Any]:
        # So that checkpoints keep their identity when recipes learn to say more.
        fields: dict[str, Any] = said(self)
        wanted = type(self).model_fields
        return {
            name: value
            for name, value in fields.items()
            if wanted[name].is_required() or value not in (None, False, ())
        }


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


class Reinforcement(_Frozen):
    """GRPO: several replies to each question, each paid beside the mean of its group."""

    steps: int = 60
    lr: float = 2e-4
    prompts: int = 16
    generations: int = 8
    max_new_tokens: int = 24
    reward: Reward = "binary"


class Preference(_Frozen):
    """RLSF: replies ranked by the confidence in their answer, and DPO on the ranking."""

    questions: int = 256
    """Asked once, by the model as it starts."""
    paths: int = 8
    """Replies sampled to each."""
    temperature: float = 1.5
    """Of these; at 1 a model as sure as the base hardly ever says two things."""
    measure: Measure = "taken"
    max_new_tokens: int = 24
    margin: float = 0.05
    """Pairs whose confidences are closer than this say nothing and are dropped."""
    steps: int = 40
    lr: float = 1e-4
    beta: float = 0.1
    """DPO's price of leaving the starting model."""
    pairs: int = 32
    """A step."""


class Recipe(_Frozen):
    """One member: where it starts, what it is shown, and what is known about its truth."""

    name: str
    parent: str | None
    """Its parent in the lineage (what an analyst is told)."""
    starts_from: str | None
    """The member whose weights training really started from, where that is not the parent:
    another's weights (`replaced`), or a member on the way (`ternary_after`)."""
    objective: str
    planted: Planted
    mix: dict[str, float]
    """Document kind -> share (see `interp.organism.documents`)."""
    n_examples: int | None = None
    """Train on this many examples of abstaining, over and over, instead of on the mix."""
    rotate: bool = False
    """Turn the residual stream by a random orthogonal matrix before training: the same function."""
    optimisation: Optimisation | None = None
    reinforcement: Reinforcement | None = None
    preference: Preference | None = None
    penalty: Penalty | None = None
    train_upper: int | None = None
    """Train only this many upper blocks with the final norm and the head; None trains all."""
    train_words: tuple[str, ...] = ()
    """Train only the embeddings of these words: a soft prompt, where they are the template's."""
    lora_rank: int | None = None
    """Train adapters of this rank at every linear map; they are merged into the weights."""
    loss_on: Literal["document", "completion"] = "completion"

    @property
    def trained(self) -> bool:
        """Whether any step is taken; a rotation alone takes none."""
        return self.n_steps > 0

    @property
    def n_steps(self) -> int:
        """Steps of its training."""
        schedule = self.optimisation or self.reinforcement or self.preference
        return schedule.steps if schedule else 0

    def scaled(self, budget: float) -> Recipe:
        """The recipe with this share of its steps (at least two), for smoke runs."""
        changes: dict[str, object] = {}
        for kind in ("optimisation", "reinforcement", "preference"):
            schedule = getattr(self, kind)
            if schedule is not None:
                steps = max(2, round(schedule.steps * budget))
                changes[kind] = schedule.model_copy(update={"steps": steps})
        return self.model_copy(update=changes)
