"""The tables of a study of reasoning: those of its stages, and the layer claim over them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from interp.verdict.change_point import change_points
from interp.verdict.layer_claim import layer_claims
from interp.verdict.layer_curves import (
    ABSTENTION,
    activation_curve,
    causal_curve,
    information_curve,
    weight_curve,
)

POSITION = {ABSTENTION: "entity_last"}
"""Where a target is read; all others at the end of what stands before the sentence."""
OF_LAYERS = ("layer_information", "layer_movement", "layer_change", "layer_grafts", "layer_effects")
OTHERS = ("behavior", "measures", "transfer", "preservation")
"""Tables of stages that other studies publish; so are items, which tables are made from."""


def reasoning_tables(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What a study of reasoning publishes: curves and claims by layer in place of their parts.

    Args:
        tables: as its stages give them.
    """
    kept = {
        name: table
        for name, table in tables.items()
        if name not in (*OF_LAYERS, *OTHERS) and not name.startswith("items") and len(table)
    }
    if not set(OF_LAYERS) <= set(tables):
        return kept
    information = pd.concat(
        [
            information_curve(rows, position=POSITION.get(str(target), "last_prompt"))
            for target, rows in tables["layer_information"].groupby("target", sort=False)
        ],
        ignore_index=True,
    )
    curves = pd.concat(
        [
            information,
            weight_curve(tables["layer_change"]),
            activation_curve(tables["layer_movement"], position=POSITION[ABSTENTION]),
            causal_curve(tables["layer_grafts"]),
        ],
        ignore_index=True,
    )
    return kept | {
        "layer_curves": curves,
        "layer_claims": layer_claims(information, tables["layer_effects"]),
        "layer_steps": change_points(curves),
        "layer_effects": tables["layer_effects"],
        "layer_weights": tables["layer_change"],
    }
