"""The signature of each training objective: what it left of a model, one number a measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from interp.verdict.claim_tests import MODE_WORDS
from interp.verdict.layer_curves import check_columns

COLUMNS = ("seed", "member", "group", "measure", "estimate", "lo", "hi", "text")
"""Of the signature. `text` holds the verdict; all other measures are numbers."""

SOURCES = ("sequence probability", "min probability", "top probability", "stated")
"""Of confidence. The probability of the answer's likeliest token says little (what is not known is
written with as much certainty) and is here to show it."""
CALIBRATION = ("ece", "brier", "auroc")
HALF = 0.5
"""Of the parent's J: below it, most of the ability is gone; above it, most has come back."""

_ITEMS = {
    "recall": ("unknown", "abstain_rate"),
    "over_abstention": ("known", "abstain_rate"),
    "accuracy": ("known", "accuracy"),
    "dprime": ("all", "dprime"),
    "criterion": ("all", "criterion"),
}
"""Measures as the table of behaviour has them, by group of people."""


def signature_table(tables: Mapping[str, pd.DataFrame], *, mode: str = "cot") -> pd.DataFrame:
    """Gathers the measures of every member and seed from the tables of a study.

    - behaviour: recall (abstention on unknown people), over_abstention and accuracy (on known
      people), dprime and criterion, of the table `behavior`; where it lacks a member, of
      `abstention` (whose recall counts missing premises too) and `signal` (the child's own value).
    - each of `SOURCES`: ece, brier and auroc, of `calibration`.
    - layers: change_centre, the mean block number weighted by the blocks' relative change of
      weights (`layer_change`); half_lost_at, the fewest of the child's lower blocks under the
      parent's upper ones that keep less than half of the parent's J (`layer_grafts`; infinite if
      even all do not).
    - relearning: ratio to the parent's J by dose and scope, such as "32, all" (`relearn`), and
      examples_to_half, the smallest dose of all weights that brings it to one half (infinite if
      none does). The limits of a first crossing are those of the curve's limits.
    - verdict: as text.

    Args:
        tables: by name; what is missing is left out.
        mode: of asking, for behaviour and calibration.

    Returns:
        `COLUMNS`, one row a seed, member, group and measure.

    Raises:
        InputError: a table lacks a column.
    """
    relearn = _of(tables, "relearn", ("scope", *_DOSED))
    parts = [
        _behaviour(tables, mode),
        _calibration(
            _of(tables, "calibration", ("source", "measure", "estimate", "lo", "hi")), mode
        ),
        _change_centre(_of(tables, "layer_change", ("layer", "part", "change"))),
        _half_lost(_of(tables, "layer_grafts", ("n_lower", "ratio", "ratio_lo", "ratio_hi"))),
        _relearned(relearn),
        _to_half(relearn[relearn["scope"] == "all"]),
        _verdicts(_of(tables, "verdict", ("verdict",))),
    ]
    there = [part for part in parts if len(part)]
    if not there:
        return pd.DataFrame(columns=list(COLUMNS))
    whole = pd.concat(there, ignore_index=True)
    return whole.sort_values(["seed", "member"], kind="stable", ignore_index=True)


_DOSED = ("n_examples", "ratio", "ratio_lo", "ratio_hi")


def _of(tables: Mapping[str, pd.DataFrame], name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    table = tables.get(name)
    if table is None or table.empty:
        return pd.DataFrame(columns=["seed", "member", *columns])
    check_columns(name, table, ("seed", "member", *columns))
    return table


def _behaviour(tables: Mapping[str, pd.DataFrame], mode: str) -> pd.DataFrame:
    value = ("mode", "measure", "estimate", "lo", "hi")
    behavior = _of(tables, "behavior", ("group", *value))
    abstention = _of(tables, "abstention", value)
    signal = _of(tables, "signal", ("mode", "measure", "child", "child_lo", "child_hi"))
    own = signal[["seed", "member", "mode", "measure", "child", "child_lo", "child_hi"]]
    parts = [
        behavior[(behavior["group"] == group) & (behavior["measure"] == named)].assign(measure=name)
        for name, (group, named) in _ITEMS.items()
    ]
    parts += [abstention, own.set_axis(["seed", "member", *value], axis=1)]
    rows = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    rows = rows[(rows["mode"] == mode) & rows["measure"].isin(list(_ITEMS))]
    return _tidy(rows.drop_duplicates(["seed", "member", "measure"]), "behaviour")


def _calibration(table: pd.DataFrame, mode: str) -> pd.DataFrame:
    asked = MODE_WORDS.get(mode, mode)
    parts = []
    for source in SOURCES:
        rows = table[(table["source"] == f"{asked}, {source}") & table["measure"].isin(CALIBRATION)]
        parts.append(_tidy(rows, source))
    return pd.concat(parts, ignore_index=True)


def _change_centre(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (seed, member), of_pair in table[table["part"] == "all"].groupby(["seed", "member"]):
        change_L = of_pair["change"].to_numpy(float)
        moved = change_L.sum() > 0
        centre = float(of_pair["layer"].to_numpy() @ change_L / change_L.sum()) if moved else np.nan
        rows.append({"seed": seed, "member": member, "estimate": centre})
    return _named(rows, "layers", "change_centre")


def _half_lost(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (seed, member), of_pair in table.groupby(["seed", "member"]):
        curve = of_pair.sort_values("n_lower")
        place = curve["n_lower"].to_numpy(float)
        below = {end: curve[f"ratio{end}"].to_numpy(float) < HALF for end in ("", "_lo", "_hi")}
        crossed = {end: _first(place, reached) for end, reached in below.items()}
        rows.append(_crossing(seed, member, crossed[""], crossed["_lo"], crossed["_hi"]))
    return _named(rows, "layers", "half_lost_at")


def _relearned(table: pd.DataFrame) -> pd.DataFrame:
    doses = table["n_examples"].astype(str) + ", " + table["scope"].astype(str)
    rows = table[["seed", "member"]].assign(
        measure=doses, estimate=table["ratio"], lo=table["ratio_lo"], hi=table["ratio_hi"]
    )
    return _tidy(rows, "relearning")


def _to_half(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for (seed, member), of_member in table.groupby(["seed", "member"]):
        curve = of_member.sort_values("n_examples")
        dose = curve["n_examples"].to_numpy(float)
        reached = {end: curve[f"ratio{end}"].to_numpy(float) >= HALF for end in ("", "_lo", "_hi")}
        crossed = {end: _first(dose, there) for end, there in reached.items()}
        rows.append(_crossing(seed, member, crossed[""], crossed["_hi"], crossed["_lo"]))
    return _named(rows, "relearning", "examples_to_half")


def _verdicts(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[["seed", "member"]].assign(
        measure="verdict", text=table["verdict"], estimate=np.nan, lo=np.nan, hi=np.nan
    )
    return _tidy(rows, "verdict")


def _first(places: np.ndarray, reached: np.ndarray) -> float:
    return float(places[reached.argmax()]) if reached.any() else float("inf")


def _crossing(seed: Any, member: Any, estimate: float, lo: float, hi: float) -> dict[str, Any]:
    return {"seed": seed, "member": member, "estimate": estimate, "lo": lo, "hi": hi}


def _named(rows: list[dict[str, Any]], group: str, measure: str) -> pd.DataFrame:
    return _tidy(pd.DataFrame(rows, columns=["seed", "member", "estimate", "lo", "hi"]).assign(
        measure=measure), group)  # fmt: skip


def _tidy(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    text = rows["text"] if "text" in rows.columns else ""
    tidy = rows.assign(group=group, text=text).reindex(columns=list(COLUMNS))
    return tidy.reset_index(drop=True)
