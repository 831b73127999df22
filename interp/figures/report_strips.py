"""Projections by layer and position as short texts: one sign a value, for heat strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp.errors import InputError

SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+"
"""63 levels; the middle one is zero. "." is no value."""
NEEDED = ("member", "prompt_id", "layer", "position", "projection")
_SHARE = 0.995
"""Of the values lie within the scale; those beyond it are drawn as its end."""


@dataclass(frozen=True)
class Strips:
    """The projections of every model and prompt.

    Attributes:
        header: layers, positions, and `max`, the end of the scale.
        signs: by member, seed (None where the table has none) and prompt: a sign a value,
            positions from the first, the layers of each in turn.
    """

    header: dict[str, Any]
    signs: Mapping[tuple[str, int | None, str], str]

    @classmethod
    def of(cls, projections: pd.DataFrame) -> Strips:
        """From the table.

        Raises:
            InputError: a column is missing, or a value stands there twice.
        """
        if missing := [name for name in NEEDED if name not in projections]:
            raise InputError(
                f"table 'projections' lacks {', '.join(missing)}; expected {', '.join(NEEDED)}"
            )
        keys = [name for name in ("member", "seed", "prompt_id") if name in projections]
        if projections.duplicated([*keys, "layer", "position"]).any():
            raise InputError(
                "table 'projections' has a value twice; expected one for each member, prompt, "
                "layer and position"
            )
        layers = sorted(int(layer) for layer in projections["layer"].unique())
        positions = [str(position) for position in dict.fromkeys(projections["position"])]
        size = projections["projection"].abs()
        top = float(f"{float(size[np.isfinite(size)].quantile(_SHARE)):.4g}") or 1.0
        wide = projections.pivot_table(
            index=keys, columns=["position", "layer"], values="projection", sort=False, dropna=False
        ).reindex(columns=pd.MultiIndex.from_product([positions, layers]))
        return cls(
            {"layers": layers, "positions": positions, "max": top if np.isfinite(top) else 1.0},
            {
                (str(key[0]), int(key[1]) if len(key) == 3 else None, str(key[-1])): _signs(
                    row, top
                )
                for key, row in zip(wide.index, wide.to_numpy(float), strict=True)
            },
        )

    def at(self, models: Sequence[str], seed: int, prompt_id: str) -> list[str]:
        """Of each model, its signs; "" where it has none."""
        return [
            self.signs.get((name, seed, prompt_id), self.signs.get((name, None, prompt_id), ""))
            for name in models
        ]


def _signs(values: np.ndarray, top: float) -> str:
    middle = len(SIGNS) // 2
    return "".join(
        SIGNS[middle + round(float(np.clip(x / top, -1, 1)) * middle)] if np.isfinite(x) else "."
        for x in values
    )
