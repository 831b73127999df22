"""What one seed says of a claim, how it is called, and what all seeds say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from interp.stats import Interval

CallWord = Literal["holds", "does not hold", "undecided", "not applicable"]
Side = Literal["above", "below"]

NOTHING = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Reading:
    """What one seed says.

    Attributes:
        value: of the claim's statistic; NaN where it was not measured.
        levels: what it is made from, of the objective and of what it is held against.
        why: what is missing or does not apply; "" where nothing is.
        settled: a call that the value does not make: of counts, or where the claim does not apply.
        counts: members by verdict, for counts.
    """

    value: Interval = NOTHING
    levels: tuple[float, ...] = ()
    why: str = ""
    settled: CallWord | None = None
    counts: Mapping[str, int] | None = None

    def call(self, threshold: float, side: Side) -> CallWord:
        """Where the interval lies: wholly on the claimed side, wholly on the other, or neither."""
        return self.settled or call_of(self.value, threshold, side)


def call_of(value: Interval, threshold: float, side: Side) -> CallWord:
    """Holds if the whole interval is beyond the threshold on that side."""
    if not value.lo <= value.estimate <= value.hi:  # NaN, or no interval
        return "undecided"
    if value.lo > threshold if side == "above" else value.hi < threshold:
        return "holds"
    if value.hi <= threshold if side == "above" else value.lo >= threshold:
        return "does not hold"
    return "undecided"


def over_seeds(calls: Sequence[CallWord], *, universal: bool = False) -> CallWord:
    """One call for all seeds: theirs if all say the same, else undecided.

    Args:
        calls: one a seed.
        universal: of a claim about every member, one counterexample is enough.
    """
    if universal and "does not hold" in calls:
        return "does not hold"
    return calls[0] if calls and len(set(calls)) == 1 else "undecided"


def pooled(values: Sequence[Interval]) -> Interval:
    """The mean over seeds, with half-widths combined as those of independent estimates.

    Seeds are fixed: the interval speaks of these seeds, not of new ones. Seeds without an estimate
    are left out; one without an interval leaves none.
    """
    there = [value for value in values if np.isfinite(value.estimate)]
    if not there:
        return NOTHING
    estimate = float(np.mean([value.estimate for value in there]))
    below = np.hypot.reduce([value.estimate - value.lo for value in there]) / len(there)
    above = np.hypot.reduce([value.hi - value.estimate for value in there]) / len(there)
    return Interval(estimate, estimate - float(below), estimate + float(above))


def total(values: Sequence[Interval]) -> Interval:
    """The sum of counts over seeds, which have no limits."""
    counts = [value.estimate for value in values]
    return Interval(float(np.sum(counts)) if counts else float("nan"), float("nan"), float("nan"))


def minus(a: Interval, b: Interval) -> Interval:
    """The difference of two independent estimates."""
    estimate = a.estimate - b.estimate
    below = np.hypot(a.estimate - a.lo, b.hi - b.estimate)
    above = np.hypot(a.hi - a.estimate, b.estimate - b.lo)
    return Interval(estimate, estimate - float(below), estimate + float(above))


def share(part: Interval, whole: Interval) -> Interval:
    """The ratio of two independent estimates, to first order; the whole is above 0."""
    ratio = part.estimate / whole.estimate
    # A larger whole brings the ratio nearer to 0.
    down, up = whole.hi - whole.estimate, whole.estimate - whole.lo
    lower, upper = (down, up) if ratio >= 0 else (up, down)
    below = np.hypot(part.estimate - part.lo, ratio * lower) / whole.estimate
    above = np.hypot(part.hi - part.estimate, ratio * upper) / whole.estimate
    return Interval(ratio, ratio - float(below), ratio + float(above))


def written(value: Interval) -> str:
    """An estimate between its limits, two decimals."""
    return f"{number(value.estimate)} [{number(value.lo)}, {number(value.hi)}]"


def number(value: float) -> str:
    """Two decimals without the zero before the point, and no minus before nothing."""
    text = f"{value:.2f}"
    if text in ("-0.00", "nan"):
        return {"-0.00": ".00", "nan": "unknown"}[text]
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def gap(value: Interval) -> str:
    """What is to be said of an estimate without limits; "" if it has them."""
    return "" if value.lo <= value.estimate <= value.hi else "no interval could be given"
