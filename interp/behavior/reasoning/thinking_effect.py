"""What thinking does to untrained and to trained models, and whether training turned it round.

The 2 x 2 of Wang et al., "Beyond Passive Critical Thinking" (arXiv 2507.23407): on problems that
lack a number, thinking hurts before reinforcement learning and helps after it. Their score is
asking for what is missing, which here is a subtype of abstaining beside the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.reasoning.budgets import GRADED, MEASURES, outcome_columns
from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import Interval, hierarchical_bootstrap, weighted_mean

_CELLS = ((False, False), (False, True), (True, False), (True, True))
# Of the cells (trained, thinking), in that order.
_EFFECTS = {
    "untrained, off": (1, 0, 0, 0),
    "untrained, on": (0, 1, 0, 0),
    "trained, off": (0, 0, 1, 0),
    "trained, on": (0, 0, 0, 1),
    "thinking, untrained": (-1, 1, 0, 0),
    "thinking, trained": (0, 0, -1, 1),
    "training, off": (-1, 0, 1, 0),
    "training, on": (0, -1, 0, 1),
    "interaction": (1, -1, -1, 1),
}


def thinking_by_training(
    items: pd.DataFrame, *, units: Sequence[str], seed: int = 0, n_boot: int = 1000
) -> pd.DataFrame:
    """Thinking on and off in untrained and trained models: cells, effects, and their interaction.

    Everything is over the replies to the items that all four cells were asked, so that effects are
    differences of the cells beside them. The interaction is what thinking does to the trained model
    beyond what it does to the untrained one.

    Args:
        items: as from `grade_replies`, with the columns trained and thinking, true or false.
        units: columns of the units that intervals are over, from the top.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns effect ("untrained, off" and the other cells; "thinking, untrained", "thinking,
        trained", "training, off", "training, on"; "interaction"), measure (accuracy, abstention,
        clarification, over_abstention, truncation, as `budget_table`), estimate, lo, hi (95%,
        `hierarchical_bootstrap`), n (items behind it), excluded (items that lack a cell).

    Raises:
        InputError: no rows, a missing column, trained or thinking that is neither true nor false,
            an item twice in a cell, or none that all four have.
    """
    check_columns("thinking by training", items, (*GRADED, "trained", "thinking", *units), units)
    for column in ("trained", "thinking"):
        if not items[column].isin([True, False]).all():
            raise InputError(
                f"thinking by training: {column} is neither true nor false in some row"
            )
    key = ["prompt_id", "sample"]
    if items.duplicated([*key, "trained", "thinking"]).any():
        row = items[items.duplicated([*key, "trained", "thinking"])].iloc[0]
        raise InputError(f"thinking by training: prompt {row['prompt_id']} is twice in a cell")
    cells = [
        outcome_columns(items[(items["trained"] == trained) & (items["thinking"] == thinking)])
        for trained, thinking in _CELLS
    ]
    shared = pd.MultiIndex.from_frame(cells[0][key])
    for cell in cells[1:]:
        shared = shared.intersection(pd.MultiIndex.from_frame(cell[key]), sort=False)
    if shared.empty:
        raise InputError("thinking by training: no item has all four cells; ask the same of each")
    aligned = [cell.set_index(key).loc[shared] for cell in cells]
    n_items = len(items.drop_duplicates(key))
    rows: list[dict[str, Any]] = []
    for effect, signs in _EFFECTS.items():
        for measure in ("accuracy", "abstention", "clarification", "over_abstention", "truncation"):
            of = MEASURES[measure]
            column, where = of if isinstance(of, tuple) else (of, None)
            kept_N = (
                np.ones(len(shared), bool) if where is None else aligned[0][where].to_numpy(bool)
            )
            value_N = sum(
                sign * cell[column].to_numpy(float)[kept_N]
                for sign, cell in zip(signs, aligned, strict=True)
            )
            found = Interval(np.nan, np.nan, np.nan)
            if kept_N.any():
                kept = aligned[0][kept_N].reset_index()
                levels = {unit: kept[unit].to_numpy() for unit in units}
                found = hierarchical_bootstrap(
                    weighted_mean(np.asarray(value_N)), levels, n_boot=n_boot, seed=seed
                )
            place = {"effect": effect, "measure": measure} | found.columns()
            rows.append(place | {"n": int(kept_N.sum()), "excluded": n_items - len(shared)})
    return pd.DataFrame(rows)
