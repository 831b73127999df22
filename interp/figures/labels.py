"""Direct labels at the ends of lines, kept from running into each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from interp.figures.style import Look


def end_labels(ax: Axes, ends: Mapping[str, float], look: Look, *, size: float = 6.5) -> None:
    """Name each line at the right edge, at the height of its end, pushed apart where they crowd.

    Args:
        ax: axes whose y limits are final.
        ends: member -> y of the line's last point, in data units.
        look: the members' colours.
        size: type size in points.
    """
    names = sorted((m for m in ends if np.isfinite(ends[m])), key=lambda m: (ends[m], m))
    low, high = sorted(ax.get_ylim())
    figure = ax.get_figure(root=True)
    assert figure is not None
    height_in = ax.get_position().height * figure.get_size_inches()[1]
    gap = size * 1.15 / 72 / height_in
    wanted = [(ends[name] - low) / (high - low) for name in names]
    for name, target, at in zip(names, wanted, _spread(wanted, gap), strict=True):
        ax.annotate(
            name,
            xy=(1.0, target), xytext=(1.07, at),
            xycoords="axes fraction", textcoords="axes fraction",
            color=look.color(name), size=size, va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": look.color(name), "shrinkA": 0,
                        "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Ascending places at least `gap` apart and near the wanted ones (also ascending)."""
    places: list[list[float]] = []  # blocks of labels that touch: [sum of wanted centres, count]
    for at in wanted:
        places.append([at, 1.0])
        while len(places) > 1 and _top(places[-2], gap) > _bottom(places[-1], gap):
            last = places.pop()
            places[-1] = [places[-1][0] + last[0], places[-1][1] + last[1]]
    spread: list[float] = []
    for block in places:
        start = _bottom(block, gap) + gap / 2
        spread += [start + i * gap for i in range(int(block[1]))]
    return spread


def _bottom(block: Sequence[float], gap: float) -> float:
    return block[0] / block[1] - block[1] * gap / 2


def _top(block: Sequence[float], gap: float) -> float:
    return block[0] / block[1] + block[1] * gap / 2
