"""How often and how strongly a latent fires in the prompts of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class GroupFiring:
    """How a latent fires in the prompts of one label.

    Attributes:
        name: the label.
        n_prompts: with that label.
        n_tokens: of those prompts.
        prompt_rate: share of the prompts in which it fires on any token.
        token_rate: share of the tokens that it fires on.
        mean: over all tokens, 0 where it is silent.
        maximum: over all tokens.
    """

    name: str
    n_prompts: int
    n_tokens: int
    prompt_rate: float
    token_rate: float
    mean: float
    maximum: float


def firing_by_group(
    code_N: Float[np.ndarray, " n"], start_P: Int[np.ndarray, " p_plus_1"], groups: Sequence[str]
) -> tuple[GroupFiring, ...]:
    """How one latent fires in the prompts of each label, in order of the labels' appearance.

    Args:
        code_N: the latent at every token, prompt after prompt, 0 where it is silent.
        start_P: where each prompt's tokens begin, and where the last one's end.
        groups: label of each prompt.
    """
    peak_P = np.maximum.reduceat(code_N, start_P[:-1])
    number = {name: place for place, name in enumerate(dict.fromkeys(map(str, groups)))}
    group_P = np.array([number[str(name)] for name in groups])
    group_N = np.repeat(group_P, np.diff(start_P))
    found = []
    for name, place in number.items():
        own_N, own_P = code_N[group_N == place], peak_P[group_P == place]
        found.append(
            GroupFiring(
                name=name,
                n_prompts=len(own_P),
                n_tokens=len(own_N),
                prompt_rate=float((own_P > 0).mean()),
                token_rate=float((own_N > 0).mean()),
                mean=float(own_N.mean()),
                maximum=float(own_N.max()),
            )
        )
    return tuple(found)
