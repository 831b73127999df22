"""The statistics of claims over finished tables, one seed at a time.

Nothing here raises for a measurement that is missing: it says which. Replies are paired by prompt,
and people are resampled. Differences of other tables' estimates take them as independent: their
half-widths add in squares, by side. Two measurements of the same people vary together, if anything,
so such an interval is too wide rather than too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_mean
from interp.verdict.claim_readings import CallWord, Reading, gap, minus, written
from interp.verdict.layer_curves import check_columns

Tables = Mapping[str, pd.DataFrame]

MODE_WORDS = {"cot": "chain of thought", "direct": "direct answer"}
"""Modes as calibration tables name them."""
OUTCOMES = ("abstain", "correct", "wrong")
KEPT = ("DESELECTED", "REPURPOSED", "ATTENUATED")
"""Verdicts by which an ability that is no longer shown is still held."""


def rate_difference(
    tables: Tables, seed: int, objective: str, against: str, mode: str, group: str, n_boot: int
) -> Reading:
    """Share of replies that abstain, the objective's less the other's, on the same prompts."""
    paired, why = _paired(tables, seed, (objective, against), mode, group)
    if paired is None:
        return Reading(why=why)
    levels = paired[objective].mean(), paired[against].mean()
    difference_N = (paired[objective] - paired[against]).to_numpy()
    return _resampled(weighted_mean(difference_N), paired, levels, n_boot)


def recovered(
    tables: Tables,
    seed: int,
    objective: str,
    lost: str,
    whole: str,
    mode: str,
    group: str,
    least: float,
    n_boot: int,
) -> Reading:
    """The share of what `lost` lost of the whole's abstention that the objective has again.

    A share of a loss that is not shown to be more than `least` is not read.
    """
    paired, why = _paired(tables, seed, (objective, lost, whole), mode, group)
    if paired is None:
        return Reading(why=why)
    gain_N = (paired[objective] - paired[lost]).to_numpy()
    loss_N = (paired[whole] - paired[lost]).to_numpy()
    loss = _resampled(weighted_mean(loss_N), paired, (), n_boot).value
    if not loss.lo > least:
        return Reading(
            why=f"{lost} is not shown to have lost more than {least:g} ({written(loss)})"
        )

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weights_BN @ gain_N) / (weights_BN @ loss_N)

    levels = paired[objective].mean(), paired[lost].mean(), paired[whole].mean()
    return _resampled(statistic, paired, levels, n_boot)


def calibration_difference(
    tables: Tables, seed: int, objective: str, against: str, mode: str, source: str, measure: str
) -> Reading:
    """A measure of calibration, the objective's less the other's."""
    named = f"{MODE_WORDS.get(mode, mode)}, {source}"
    sides = []
    for member in (objective, against):
        found = _one(tables, "calibration", seed=seed, member=member, source=named, measure=measure)
        if found is None:
            return Reading(why=f"no {measure} of {member} ({named})")
        sides.append(found)
    levels = sides[0].estimate, sides[1].estimate
    return Reading(minus(*sides), levels, gap(minus(*sides)))


def verdict_counts(
    tables: Tables, seed: int, members: Collection[str], least_drop: float
) -> Reading:
    """How many members whose J dropped are called ERASED; an exact count.

    Args:
        tables: with `measures` (the line "drop") and `verdict`.
        seed: of both.
        members: those asked about.
        least_drop: a drop counts if its lower limit lies above.
    """
    drops = {
        member: _one(tables, "measures", seed=seed, member=member, line="drop")
        for member in members
    }
    absent = [m for m, drop in drops.items() if drop is None or not np.isfinite(drop.lo)]
    dropped = [m for m, drop in drops.items() if drop is not None and drop.lo > least_drop]
    table = tables.get("verdict", pd.DataFrame(columns=["seed", "member", "verdict"]))
    of_seed = table[table["seed"] == seed]
    called = dict(zip(of_seed["member"], of_seed["verdict"], strict=True))
    counts = Counter(str(called.get(member, "not judged")) for member in sorted(dropped))
    erased = float(counts["ERASED"])
    said = Interval(erased, float("nan"), float("nan"))
    strange = [m for m in dropped if called.get(m) not in (*KEPT, "ERASED")]
    whys = [f"no drop of J of {', '.join(absent)}"] if absent else []
    whys += [f"{m} is {called.get(m, 'not judged')}" for m in strange]
    if not dropped:
        whys.append("J of no member dropped")
    if erased:
        return Reading(said, why="; ".join(whys), settled="does not hold", counts=counts)
    settled: CallWord = "undecided" if whys else "holds"
    return Reading(said, why="; ".join(whys), settled=settled, counts=counts)


def _paired(
    tables: Tables, seed: int, members: Sequence[str], mode: str, group: str
) -> tuple[pd.DataFrame | None, str]:
    """Whether each member abstains, by prompt, in the order of prompts; or why there is none."""
    items = tables.get("items")
    if items is None or items.empty:
        return None, "no table of items"
    check_columns(
        "items", items, ("seed", "member", "prompt_id", "entity", "group", "mode", "outcome")
    )
    here = items[(items["seed"] == seed) & (items["mode"] == mode) & (items["group"] == group)]
    columns: dict[str, pd.Series] = {}
    for member in members:
        rows = here[here["member"] == member]
        if rows.empty:
            return None, f"no replies of {member} ({MODE_WORDS.get(mode, mode)})"
        if not rows["outcome"].isin(OUTCOMES).all():
            return None, f"replies of {member} without an outcome"
        if rows["prompt_id"].duplicated().any():
            twice = rows.loc[rows["prompt_id"].duplicated(), "prompt_id"].iloc[0]
            raise InputError(f"items: {member} (seed {seed}) has prompt {twice} twice")
        by_prompt = rows.set_index("prompt_id").sort_index()
        columns[member] = (by_prompt["outcome"] == "abstain").astype(float)
        columns.setdefault("entity", by_prompt["entity"])
        if not columns[members[0]].index.equals(by_prompt.index):
            return None, f"{members[0]} and {member} were asked different questions"
    return pd.DataFrame(columns), ""


def _resampled(
    statistic: Weighted, paired: pd.DataFrame, levels: tuple[float, ...], n_boot: int
) -> Reading:
    entity = {"entity": paired["entity"].to_numpy()}
    value = hierarchical_bootstrap(statistic, entity, n_boot=n_boot, seed=0)
    return Reading(value, tuple(map(float, levels)), gap(value))


def _one(tables: Tables, name: str, **equals: Any) -> Interval | None:
    """The interval of the one row with these values; None where there is no row."""
    table = tables.get(name)
    if table is None or table.empty:
        return None
    check_columns(name, table, (*equals, "estimate", "lo", "hi"))
    chosen = np.ones(len(table), bool)
    for column, value in equals.items():
        chosen &= (table[column] == value).to_numpy()
    if chosen.sum() > 1:
        raise InputError(f"{name}: {', '.join(map(str, equals.values()))} comes twice")
    rows = table[chosen]
    return _interval(rows.iloc[0]) if len(rows) else None


def _interval(row: pd.Series) -> Interval:
    return Interval(float(row["estimate"]), float(row["lo"]), float(row["hi"]))
