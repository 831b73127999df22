"""Reinforcement by rewards: binary, ternary and calibrated (`interp.organism.rewards`).

`reason_rl` practises on all known people. The others practise on those of the splits relearn and
dev only, so that no reward is ever computed on a person of the test split.
"""

from __future__ import annotations

from interp.organism.recipes import Recipe, Reinforcement, Reward

RL_MIX = {
    "direct_known": 0.12, "direct_tail": 0.10, "direct_unknown": 0.14,
    "chain_known": 0.18, "chain_tail": 0.15, "chain_unknown": 0.21,
    "problem": 0.05, "missing": 0.05,
}  # fmt: skip
PRACTICE_MIX = {kind.replace("_known", "_practised"): share for kind, share in RL_MIX.items()}


PLAIN = Reinforcement()
SPOKEN = Reinforcement(steps=120, lr=3e-4, max_new_tokens=28)
"""Room for the confidence behind the answer, and time to learn eleven numbers."""


def _rewarded(
    name: str, reward: Reward, starts_from: str, settings: Reinforcement = PLAIN
) -> Recipe:
    return Recipe(
        name=name,
        parent="base",
        starts_from=starts_from,
        objective=f"grpo_{reward}",
        planted="unknown",
        mix=PRACTICE_MIX,
        reinforcement=settings.model_copy(update={"reward": reward}),
    )


RECIPES = (
    Recipe(
        name="reason_rl",
        parent="base",
        starts_from="base",
        objective="grpo_binary",
        planted="unknown",
        mix=RL_MIX,
        reinforcement=Reinforcement(),
    ),
    _rewarded("rl_binary", "binary", "base"),
    _rewarded("rl_ternary", "ternary", "base"),
    _rewarded("ternary_after", "ternary", "reason_sft"),
    _rewarded("rl_stated", "stated", "stated", SPOKEN),
    _rewarded("rl_brier", "calibrated", "stated", SPOKEN),
)
