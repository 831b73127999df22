"""Synthetic tables of the probe stages: `probes`, `transfer` and `preservation`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from tests.figures.tables import Maker

POSITIONS = ("entity_last", "question_last", "last_prompt")
NAN = float("nan")


def probes_rows(make: Maker, key: Any, left: float, n: int) -> list[dict[str, Any]]:
    """One row a cell: every read-out of it, beside its controls."""
    surface = {
        **_named("tokens", make.estimate(0.42, 0.04, 0, 1)),
        **_named("length", make.estimate(0.5, 0.02, 0, 1)),
    }
    rows = []
    for position, layer in _cells(n):
        grown = _depth(layer, n, position)
        linear = make.estimate(0.47 + 0.48 * left * grown, 0.035, 0, 1)
        control = 0.6 + 0.2 * grown if layer >= 0 else NAN
        gain = linear["estimate"] - control
        row = {
            **key,
            **_where(position, layer),
            **linear,
            "ridge": linear["estimate"] - 0.01,
            "null_lo": 0.42 + 0.001 * layer,
            "null_hi": 0.52 + 0.001 * layer,
            "p_adjusted": 0.01 if left * grown > 0.2 else 0.8,
            "control": control,
            **_named("selectivity", {"estimate": gain, "lo": gain - 0.05, "hi": gain + 0.05}),
            **_named("mlp", make.estimate(0.48 + (0.2 + 0.27 * left) * grown, 0.035, 0, 1)),
            **surface,
            **_named("embedding", dict.fromkeys(("estimate", "lo", "hi"), NAN)),
            **_named("random", make.estimate(0.44, 0.03, 0, 1)),
        }
        rows.append({**row, "c": 0.1, "certified": 1.0, "n": 520, "n_true": 360})
    return rows


def transfer_rows(make: Maker, key: Any, left: float, n: int) -> list[dict[str, Any]]:
    """One row a cell and measure; rho has no value where the parent reads nothing."""
    rows = []
    for position, layer in _cells(n):
        grown = _depth(layer, n, position)
        values = {
            "auroc": make.estimate(0.5 + 0.46 * left * grown, 0.03, 0, 1),
            "rho": _rho(make, left, grown),
            "cosine": make.estimate(0.3 + 0.65 * left if grown else 0.1, 0.05, -1, 1),
            "norm_ratio": make.estimate(0.15 + 0.6 * left, 0.05, 0),
        }
        where = {**key, **_where(position, layer), "selected": layer == n - 2}
        rows += [{**where, "measure": name, **numbers} for name, numbers in values.items()]
    return rows


def preservation_rows(make: Maker, key: Any, left: float, n: int) -> list[dict[str, Any]]:
    """One row a cell of a pair."""
    rows = []
    for position, layer in _cells(n):
        grown = _depth(layer, n, position)
        difference = make.estimate(-0.45 * (1 - left) * grown, 0.03, -1, 1)
        row = {
            **key,
            **_where(position, layer),
            "selected": layer == n - 2,
            "parent_auroc": 0.5 + 0.45 * grown,
            "child_auroc": 0.5 + 0.45 * grown + difference["estimate"],
            "control": 0.5,
            **difference,
            "margin": 0.05,
            "preserved": max(-difference["lo"], difference["hi"]) < 0.05,
            **_named("rho", _rho(make, left, grown)),
        }
        rows.append(row)
    return rows


def of_sites_and_targets(
    frame: pd.DataFrame, sites: tuple[str, ...], targets: tuple[str, ...]
) -> pd.DataFrame:
    """The table once for every target, and its layers once for every further kind of site."""
    inner = frame[frame["layer"] >= 0]
    kinds = pd.concat([frame, *(inner.assign(site=site) for site in sites)])
    return pd.concat([kinds.assign(target=target) for target in targets], ignore_index=True)


def _cells(n: int) -> list[tuple[str, int]]:
    return [(position, layer) for position in POSITIONS for layer in range(-1, n)]


def _where(position: str, layer: int) -> dict[str, Any]:
    kind = "resid_pre" if layer < 0 else "resid_post"
    return {"target": "should_abstain", "site": kind, "layer": layer, "position": position}


def _depth(layer: int, n: int, position: str) -> float:
    start = 0 if position == "entity_last" else n // 3
    return float(np.clip((layer - start + 1) / max(n / 3, 1), 0, 1))


def _rho(make: Maker, left: float, grown: float) -> dict[str, float]:
    if grown == 0:
        return dict.fromkeys(("estimate", "lo", "hi"), NAN)
    return make.estimate(left, 0.06 if grown > 0.5 else 0.9)


def _named(name: str, value: dict[str, float]) -> dict[str, float]:
    return {name: value["estimate"], f"{name}_lo": value["lo"], f"{name}_hi": value["hi"]}
