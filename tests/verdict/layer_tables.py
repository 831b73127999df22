"""Tables of pairs whose losses and effects by layer are planted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

N_LAYERS = 6


def preservation_rows(
    losses: Sequence[float],
    *,
    half_width: float = 0.01,
    member: str = "child",
    seed: int = 0,
    target: str = "should_abstain",
    position: str = "entity_last",
    site: str = "resid_post",
    parent_auroc: Sequence[float] | float = 0.9,
) -> pd.DataFrame:
    """A pair's rows as the preservation table has them: the embedding, then every layer."""
    held = np.broadcast_to(parent_auroc, len(losses))
    rows = [
        {
            "seed": seed,
            "member": member,
            "parent": "base",
            "target": target,
            "site": site,
            "layer": layer,
            "position": position,
            "parent_auroc": held[layer],
            "control": 0.5,
            "estimate": -loss,
            "lo": -loss - half_width,
            "hi": -loss + half_width,
        }
        for layer, loss in enumerate(losses)
    ]
    embedding = {**rows[0], "site": "resid_pre", "layer": -1, "estimate": 0.0, "lo": 0.0, "hi": 0.0}
    return pd.DataFrame([embedding, *rows])


def graft_rows(
    effects: Sequence[float],
    *,
    half_width: float = 0.01,
    member: str = "child",
    seed: int = 0,
    parent_j: float = 0.9,
    **more: str,
) -> pd.DataFrame:
    """Grafts of blocks whose effects on J add up, as the graft table has them."""
    rows = []
    for part in ("lower", "upper"):
        for n in range(len(effects) + 1):
            taken = effects[:n] if part == "lower" else effects[len(effects) - n :]
            j = parent_j - sum(taken)
            rows.append(
                {
                    "seed": seed,
                    "member": member,
                    "part": part,
                    "n_layers": n,
                    "estimate": j,
                    "lo": j - half_width,
                    "hi": j + half_width,
                    **more,
                }
            )
    return pd.DataFrame(rows)


def items_of(n: int = 400, *, shared: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Questions with p(abstain) under the parent and two grafts, which share what a question has.

    The true early effect on J is .1, the late one .4.
    """
    rng = np.random.default_rng(seed)
    unknown_N = np.arange(n) % 2 == 1
    own_N = rng.normal(0, 0.15 * shared, n)
    falls = {"parent": 0.0, "lower": 0.1, "upper": 0.4}
    return pd.DataFrame(
        {
            "entity": np.arange(n) // 2 * 2 + unknown_N,
            "should_abstain": unknown_N,
            **{
                name: 0.8 * unknown_N - fall * unknown_N + own_N + rng.normal(0, 0.02, n)
                for name, fall in falls.items()
            },
        }
    )
