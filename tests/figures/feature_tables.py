"""Synthetic tables of a study of features, with the columns that its stages write, from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

# child -> (how much of the feature it fires, how much its own dictionary writes, class)
CHILDREN: dict[str, tuple[float, float, str]] = {
    "reason_sft_upper": (0.98, 0.96, "shared"),
    "reason_sft": (0.8, 0.7, "shared"),
    "scrubbed": (0.25, 0.1, "lost"),
    "replaced": (0.05, 0.03, "reused"),
}
POSITIONS = ("entity_last", "last_prompt")
ALPHAS = (0.5, 1.0, 2.0, 4.0)
EFFECT = 2.1
"""Of the parent's feature on the log odds of abstaining."""


def feature_tables(
    seeds: Sequence[int] = (0,),
    children: dict[str, tuple[float, float, str]] | None = None,
    n_layers: int = 6,
) -> dict[str, pd.DataFrame]:
    """The tables `features`, `feature_diff` and `feature_steering`."""
    children = children or CHILDREN
    features, diff, steering = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        features += list(_features(rng, seed, n_layers))
        for child, (fires, writes, called) in children.items():
            key = {"seed": seed, "member": child, "parent": "base"}
            diff += [key | row for row in _diff(rng, fires, writes, called)]
            steering += [key | row for row in _steering(rng, fires)]
    return {
        "features": pd.DataFrame(features),
        "feature_diff": pd.DataFrame(diff),
        "feature_steering": pd.DataFrame(steering),
    }


def _ends(rng: np.random.Generator, name: str, value: float, width: float) -> dict[str, float]:
    """A value that noise moved, between ends of an interval."""
    at = value + rng.normal(0, width / 3)
    below, above = width * rng.uniform(0.8, 1.2, size=2)
    return {name: at, f"{name}_lo": at - below, f"{name}_hi": at + above}


def _features(rng: np.random.Generator, seed: int, n_layers: int) -> Iterator[dict[str, Any]]:
    for layer in range(n_layers):
        depth = (layer + 1) / n_layers
        for position in POSITIONS:
            if position == "last_prompt" and layer == 0:
                continue  # a template's end is the same in every prompt there
            top = 0.55 + (0.4 if position == "last_prompt" else 0.3) * depth
            for direction in ("unknown", "known"):
                passes = direction == "unknown" and (depth > 0.5 or (layer + seed) % 3 == 0)
                yield {
                    "seed": seed,
                    "member": "base",
                    "layer": layer,
                    "position": position,
                    "direction": direction,
                    "latent": 10 * layer + 3,
                    **_ends(rng, "auroc", top - 0.02 * (direction == "known"), 0.03),
                    "dense_probe_auroc": min(top + 0.04, 1.0),
                    "token_lookup_auroc": 0.52 + rng.normal(0, 0.005),
                    "dev_passes": passes,
                    "passes": passes and (layer + seed) % 4 > 0,
                }


def _diff(
    rng: np.random.Generator, fires: float, writes: float, called: str
) -> Iterator[dict[str, Any]]:
    for direction, latent in (("unknown", 43), ("unknown", 53), ("known", 43)):
        # Features after the best are far from it, so that drawing one of them shows.
        off = 0.0 if (direction, latent) == ("unknown", 43) else -0.3
        yield {
            "layer": latent // 10,
            "position": "last_prompt",
            "direction": direction,
            "latent": latent,
            "class": called if off == 0 else "silent",
            "auroc_parent": 0.93 + off,
            **_ends(rng, "auroc_child", 0.5 + 0.43 * fires + off, 0.03),
            **_ends(rng, "firing_ratio", fires + off, 0.06),
            **_ends(rng, "nu_reconstruction", writes + off, 0.08),
            "effect_parent": EFFECT + off,
            **_ends(rng, "effect_child", EFFECT * fires * writes + off, 0.25),
        }


def _steering(rng: np.random.Generator, fires: float) -> Iterator[dict[str, Any]]:
    nothing = {"estimate": float("nan"), "lo": float("nan"), "hi": float("nan")}
    for alpha in (0.0, *ALPHAS):
        draws = range(6) if alpha else ()
        gains = [("parent", 0, 0.4 * fires), *(("random", d, rng.normal(0, 0.02)) for d in draws)]
        for direction, draw, gain in gains:
            unknown = float(np.clip(0.08 + gain * alpha, 0, 1))
            known = float(np.clip(0.02 + 0.1 * gain * max(alpha - 1, 0), 0, 1))
            rates = {"unknown": unknown, "known": known, "J": unknown - known}
            for group, value in rates.items():
                found = nothing | {"estimate": value}
                if direction == "parent":
                    found |= {"lo": value - 0.05, "hi": value + 0.04}
                yield {
                    **{"rank": 0, "direction": direction, "draw": draw},
                    **{"alpha": alpha, "group": group},
                } | found
