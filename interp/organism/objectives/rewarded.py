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


def _rewarded(name: str, reward: Reward, starts_from: str, max_new_tokens: int = 24) -> Recipe:
    return Recipe(
        name=name,
        parent="base",
        starts_from=starts_from,
        objective=f"grpo_{reward}",
        planted="unknown",
        mix=PRACTICE_MIX,
        reinforcement=Reinforcement(reward=reward, max_new_tokens=max_new_tokens),
    )


SPOKEN_TOKENS = 28
"""Room for a stated confidence behind the answer."""

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
    _rewarded("rl_stated", "binary", "stated", SPOKEN_TOKENS),
    _rewarded("rl_brier", "calibrated", "stated", SPOKEN_TOKENS),
)
