"""A histogram as the rectangles and ticks of an SVG, on axes that several of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from interp.figures.feature_text import digits

WIDTH, HEIGHT = 420, 150
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 8, 22  # margins around the bars
_MOST_TICKS = 5
_LINE = 14  # least room between labels, one above the other


@dataclass(frozen=True)
class Bar:
    """One bin: its rectangle in the units of the drawing, and what it holds in words."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Histogram:
    """What the template draws; ticks are (place, label)."""

    bars: tuple[Bar, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def histogram(
    edges: Sequence[float], counts: Sequence[int], right: float, tallest: int
) -> Histogram:
    """Bars over bins that are not empty; heights go by log(1 + count), as most tails are long.

    Args:
        edges: of the bins, ascending from 0; one more than there are counts.
        counts: of each bin.
        right: where the horizontal axis ends; at least the last edge, above 0.
        tallest: count at the full height; at least the highest one, above 0.
    """

    def x(value: float) -> float:
        return round(LEFT + value / right * (WIDTH - LEFT - RIGHT), 2)

    def y(count: float) -> float:
        share = math.log1p(count) / math.log1p(tallest)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 2)

    bars = [
        Bar(
            x(low),
            y(count),
            round(x(high) - x(low), 2),
            round(y(0) - y(count), 2),
            f"{digits(low)} to {digits(high)}: {count} token{'s' if count != 1 else ''}",
        )
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    ]
    values = [v for v in MaxNLocator(_MOST_TICKS).tick_values(0, right) if 0 <= v <= right]
    powers = range(int(math.log10(tallest)) + 1)
    step = math.ceil(len(powers) / _MOST_TICKS)
    heights = [(y(0), "0"), *((y(10**power), _short(10**power)) for power in powers[::step])]
    if heights[-1][0] - y(tallest) > _LINE:
        heights.append((y(tallest), _short(tallest)))
    return Histogram(
        tuple(bars), tuple((x(value), f"{value:.6g}") for value in values), tuple(heights)
    )


def _short(count: int) -> str:
    """A count in little room: 7, 120, 3.5k, 10M, 2G."""
    power = min((len(str(count)) - 1) // 3, 3)
    return f"{count / 1000**power:.3g}{('', 'k', 'M', 'G')[power]}"
