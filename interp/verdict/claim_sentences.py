"""A claim, its call and its numbers as one plain sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from interp.stats import Interval
from interp.verdict.claim_readings import CallWord, Reading, number, written
from interp.verdict.claim_tests import MODE_WORDS
from interp.verdict.claims import TRACED, Claim, Claims

_COUNTED = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def sentence_of(
    claims: Claims,
    claim: Claim,
    objective: str,
    mode: str,
    value: Interval,
    call: CallWord,
    readings: Mapping[int, Reading],
    calls: Mapping[int, CallWord],
) -> str:
    """A finished sentence: the claim, its call, the numbers, and where the seeds lie."""
    several = claim.objectives == TRACED or len(claim.objectives) > 1
    about = f" ({objective})" if several and claim.test != "verdicts" else ""
    numbers = _numbers(claims, claim, objective, value, readings)
    asked = f" ({MODE_WORDS[mode]})" if mode else ""
    head = f"{claim.sentence}{about}: {call}."
    stand = _standing(claim, readings, calls)
    said = f"{numbers}{asked}, {stand}" if numbers else stand
    return f"{head} {said[:1].upper()}{said[1:]}."


def _numbers(
    claims: Claims, claim: Claim, objective: str, value: Interval, readings: Mapping[int, Reading]
) -> str:
    """The statistic with what it is made from, means over the seeds that have it."""
    if claim.test == "verdicts":
        sums: dict[str, int] = {}
        for found in readings.values():
            for name, count in (found.counts or {}).items():
                sums[name] = sums.get(name, 0) + count
        total = ", ".join(f"{count} {name}" for name, count in sorted(sums.items()) if count)
        return (
            f"{claim.statistic}: {sums.get('ERASED', 0)}; by verdict over seeds: {total or 'none'}"
        )
    levels = [found.levels for found in readings.values() if found.levels]
    if not levels:
        return ""
    means = [number(level) for level in np.mean(levels, axis=0)]
    mine, other = claims.phrase(objective), claims.phrase(claim.against)
    if claim.test in ("rate", "calibration"):
        both = f"{claim.statistic} {means[0]} {mine} against {means[1]} {other}"
        return f"{both}, difference {written(value)}"
    if claim.test == "recovered":
        whole = f"{means[2]} {claims.phrase(claim.whole)}"
        held = f"{means[0]} {mine}, {means[1]} {other} and {whole}"
        return f"{claim.statistic} {written(value)}, recall {held}"
    if claim.test == "lag":
        kept = f"AUROC {means[0]} and J {means[1]}"
        return f"{claim.statistic} {written(value)} ({kept} of the parent's)"
    return f"{claim.statistic} {written(value)} ({means[0]} against {means[1]})"


def _standing(claim: Claim, readings: Mapping[int, Reading], calls: Mapping[int, CallWord]) -> str:
    """Which seeds lie where, and what is missing in which."""
    if not readings:
        return "no seed was measured"
    whys: dict[str, list[int]] = {}
    for seed, found in readings.items():
        if found.why:
            whys.setdefault(found.why, []).append(seed)
    missing = "; ".join(f"{_seeds(seeds, len(readings))}: {why}" for why, seeds in whys.items())
    if claim.test == "verdicts":
        return missing or f"none in {_seeds(list(readings), len(readings))}"
    sides = {"holds": claim.side, "does not hold": {"above": "below", "below": "above"}[claim.side]}
    at = number(claim.threshold)
    words = {name: f"{side} {at}" for name, side in sides.items()} | {
        "undecided": f"with an interval across {at}"
    }
    parts = []
    for name, text in words.items():
        here = [seed for seed, call in calls.items() if call == name and not readings[seed].why]
        if here:
            parts.append(f"{_seeds(here, len(readings))} {text}")
    return "; ".join([*parts, *([missing] if missing else [])])


def _seeds(seeds: Sequence[int], n: int) -> str:
    if len(seeds) == n and n > 1:
        return f"all {_COUNTED[n]} seeds" if n < len(_COUNTED) else f"all {n} seeds"
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
