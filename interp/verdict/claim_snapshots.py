"""The course of a member's training: what its readout and its representation keep, and when.

The parent's value is the member's own before its first step where that was measured, else that of
the parent after its last.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from interp.stats import Interval
from interp.verdict.claim_readings import Reading, gap, minus, share
from interp.verdict.layer_curves import check_columns

Tables = Mapping[str, pd.DataFrame]
TRAJECTORY = (
    "seed", "member", "parent", "step", "measure", "layer", "position", "estimate", "lo", "hi",
)  # fmt: skip


def lag(tables: Tables, seed: int, member: str, position: str) -> Reading:
    """What the parent's probe keeps less what J keeps, where J first is below half."""
    step, kept, why = _halved(tables, seed, member)
    if step is None or kept is None:
        return why
    rho = _snapshot(tables, seed, member, "rho", step, position)
    if rho is None:
        return Reading(why=f"no rho of {member} at step {step} ({position})")
    value = minus(rho, kept)
    return Reading(value, (rho.estimate, kept.estimate), gap(value))


def gain_share(tables: Tables, seed: int, member: str) -> Reading:
    """The readout gain at that snapshot, as a share of the parent's."""
    step, kept, why = _halved(tables, seed, member)
    if step is None or kept is None:
        return why
    now = _snapshot(tables, seed, member, "gain", step)
    before = _of_parent(tables, seed, member, "gain")
    if now is None or before is None:
        return Reading(why=f"no readout gain of {member if now is None else 'its parent'}")
    if not before.estimate > 0:
        return Reading(why="the parent's readout gain is not above 0")
    value = share(now, before)
    return Reading(value, (now.estimate, before.estimate), gap(value))


def _course(tables: Tables, seed: int, member: str, measure: str) -> pd.DataFrame:
    """A member's snapshots of a measure, ascending by step; those without a number left out."""
    table = tables.get("trajectory", pd.DataFrame(columns=list(TRAJECTORY)))
    if not table.empty:
        check_columns("trajectory", table, TRAJECTORY)
    rows = table[
        (table["seed"] == seed) & (table["member"] == member) & (table["measure"] == measure)
    ]
    return rows[rows["estimate"].notna()].sort_values(["step", "layer"])


def _snapshot(
    tables: Tables, seed: int, member: str, measure: str, step: int, position: str | None = None
) -> Interval | None:
    """A measure at a step; of several layers, that at which the readout gain is measured."""
    rows = _course(tables, seed, member, measure)
    rows = rows[rows["step"] == step]
    if position is not None:
        rows = rows[rows["position"] == position]
    if len(rows) > 1:
        chosen = _course(tables, seed, member, "gain")["layer"].unique()
        rows = rows[rows["layer"].isin(chosen)]
    return _interval(rows.iloc[0]) if len(rows) == 1 else None


def _of_parent(tables: Tables, seed: int, member: str, measure: str) -> Interval | None:
    """The value before training: at step 0, or the parent's own after its last step."""
    rows = _course(tables, seed, member, measure)
    if len(rows) and rows["step"].iloc[0] == 0:
        return _snapshot(tables, seed, member, measure, 0)
    parents = rows["parent"].unique()
    ends = _course(tables, seed, parents[0], measure) if len(parents) == 1 else rows[:0]
    last = int(ends["step"].max()) if len(ends) else -1
    return _snapshot(tables, seed, parents[0], measure, last) if len(ends) else None


def _halved(tables: Tables, seed: int, member: str) -> tuple[int | None, Interval | None, Reading]:
    """The first snapshot whose J is below half of the parent's, and the share of J kept there."""
    course = _course(tables, seed, member, "J")
    if course.empty:
        return None, None, Reading(why=f"no trajectory of {member}")
    before = _of_parent(tables, seed, member, "J")
    if before is None or not before.estimate > 0:
        return None, None, Reading(why=f"no J above 0 of the parent of {member}")
    below = course[course["estimate"] < before.estimate / 2]
    if below.empty:
        why = f"{member} never loses half of its J"
        return None, None, Reading(why=why, settled="not applicable")
    first = below.iloc[0]
    return int(first["step"]), share(_interval(first), before), Reading()


def _interval(row: pd.Series) -> Interval:
    return Interval(float(row["estimate"]), float(row["lo"]), float(row["hi"]))
