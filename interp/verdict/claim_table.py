"""What the tables of a study say of each claim, by seed and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from interp.verdict import claim_snapshots, claim_tests
from interp.verdict.claim_readings import Reading, over_seeds, pooled, total
from interp.verdict.claim_sentences import sentence_of
from interp.verdict.claim_tests import Tables
from interp.verdict.claims import TRACED, Claim, Claims, load_claims
from interp.verdict.rule import load_rule

ALL_SEEDS = "all"
COLUMNS = (
    "claim", "objective", "against", "statistic", "mode", "seed", "estimate", "lo", "hi",
    "threshold", "side", "call", "sentence", "decides",
)  # fmt: skip
"""Of the table of claims; `seed` is text, `ALL_SEEDS` in the row over all of them."""

_USED = ("items", "calibration", "measures", "verdict", "trajectory")


def claims_table(
    tables: Tables,
    claims: Claims | None = None,
    *,
    seeds: Sequence[int] | None = None,
    n_boot: int = 2000,
) -> pd.DataFrame:
    """Calls every claim in every seed and over seeds.

    Each seed is called by where its 95% interval lies; over seeds a claim holds if it holds in
    every one, does not hold if in every one the interval lies on the other side, and is undecided
    otherwise, also where something was not measured. The row over seeds has the mean estimate with
    half-widths combined as independent (seeds are fixed) and a finished sentence.

    Args:
        tables: those of the study, by name: items, calibration, measures, verdict, trajectory.
            One that is missing leaves its claims undecided.
        claims: default: those the package ships.
        seeds: that the study should have; default: all that any of these tables has.
        n_boot: resamples of people.

    Returns:
        `COLUMNS`; one row a claim, objective, mode and seed, then one over all seeds.

    Raises:
        InputError: a table lacks a column or has a measurement twice.
    """
    claims = claims or load_claims()
    used = {name: tables[name] for name in _USED if name in tables and len(tables[name])}
    if seeds is None:
        seeds = sorted({int(seed) for table in used.values() for seed in table["seed"].unique()})
    rows: list[dict[str, Any]] = []
    for claim in claims.claims:
        for objective in _objectives(claim, used):
            for mode in claim.modes:
                readings = {s: _read(claim, used, s, objective, mode, n_boot) for s in seeds}
                rows += _rows(claims, claim, objective, mode, readings)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _objectives(claim: Claim, tables: Tables) -> list[str]:
    if claim.test == "verdicts":
        return ["all objectives"]
    if claim.objectives != TRACED:
        return list(claim.objectives)
    traced = tables.get("trajectory")
    return ["traced members"] if traced is None else sorted(traced["member"].unique())


def _read(
    claim: Claim, tables: Tables, seed: int, objective: str, mode: str, n_boot: int
) -> Reading:
    group, source, measure = claim.group or "", claim.source or "", claim.measure or ""
    if claim.test == "rate":
        return claim_tests.rate_difference(
            tables, seed, objective, claim.against, mode, group, n_boot
        )
    if claim.test == "recovered":
        return claim_tests.recovered(
            tables, seed, objective, claim.against, claim.whole, mode, group, claim.least, n_boot
        )
    if claim.test == "calibration":
        return claim_tests.calibration_difference(
            tables, seed, objective, claim.against, mode, source, measure
        )
    if claim.test == "lag":
        return claim_snapshots.lag(tables, seed, objective, claim.position)
    if claim.test == "gain":
        return claim_snapshots.gain_share(tables, seed, objective)
    return claim_tests.verdict_counts(tables, seed, claim.objectives, load_rule().drop.cut)


def _rows(
    claims: Claims, claim: Claim, objective: str, mode: str, readings: Mapping[int, Reading]
) -> list[dict[str, Any]]:
    place = {
        "claim": claim.id,
        "objective": objective,
        "against": claim.against,
        "statistic": claim.statistic,
        "mode": mode,
    }
    rule = {"threshold": claim.threshold, "side": claim.side}
    decides = {"decides": claim.decides and mode == claim.modes[0]}
    calls = {seed: found.call(claim.threshold, claim.side) for seed, found in readings.items()}
    rows = [
        place | {"seed": str(seed)} | found.value.columns() | rule
        | {"call": calls[seed], "sentence": ""} | decides
        for seed, found in readings.items()
    ]  # fmt: skip
    values = [found.value for found in readings.values()]
    counted = claim.test == "verdicts"
    value = total(values) if counted else pooled(values)
    call = over_seeds(list(calls.values()), universal=counted)
    said = sentence_of(claims, claim, objective, mode, value, call, readings, calls)
    whole = {"seed": ALL_SEEDS, **value.columns(), **rule, "call": call, "sentence": said}
    return [*rows, place | whole | decides]
