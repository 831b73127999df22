"""The two ways estimates are drawn: a forest (one row per member) and a line over layers or doses.

With one seed both show every estimate with its interval. With several, each seed is a thin line or
pale point (with its interval in the forest) and the mean over seeds stands in front of them.
Artists carry a gid `member|series|seed` (seed is `mean` for the mean), so that what is drawn can be
read back and compared with the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from interp.figures.papers import active
from interp.figures.style import FAINT, INK, MUTED, RC, Look, seeds_of, type_scale


@dataclass(frozen=True)
class Mark:
    """How one series is drawn."""

    color: str
    marker: str
    line: str = "-"
    filled: bool = True

    @property
    def face(self) -> str:
        """Fill of the marker: the colour, or white for an open marker."""
        return self.color if self.filled else "white"


def gid(member: str, series: str, seed: object) -> str:
    """The id an artist carries."""
    return f"{member}|{series}|{seed}"


def letter(ax: Axes, index: int, title: str = "") -> None:
    """Put a bold panel letter, and a plain title after it, above the axes on the left."""
    ax.set_title(title)
    ax.annotate(
        _letters(index), xy=(0, 1), xytext=(-4, 4), xycoords="axes fraction",
        textcoords="offset points", ha="right", va="baseline", weight="bold", size=8,
    )  # fmt: skip


def _letters(index: int) -> str:
    """From a to z, then aa, ab and so on."""
    before, last = divmod(index, len(ascii_lowercase))
    return (ascii_lowercase[before - 1] if before else "") + ascii_lowercase[last]


def member_rows(ax: Axes, members: Sequence[str], *, labels: bool = True) -> None:
    """Give the axes one row per member, first on top."""
    ax.set_ylim(len(members) - 0.5, -0.5)
    ax.set_yticks(range(len(members)), list(members) if labels else [""] * len(members))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    for y in range(len(members)):
        ax.axhline(y, color="#eeeeee", lw=0.6, zorder=0)


def forest(
    ax: Axes,
    frame: pd.DataFrame,
    members: Sequence[str],
    marks: Mapping[str, Mark],
    series: str,
    *,
    offset: float = 0.0,
    spread: float = 0.34,
) -> None:
    """Draw one estimate with its interval per member row (and per seed, when there are several).

    Args:
        ax: axes prepared by `member_rows` for the same members.
        frame: columns seed, member, estimate, lo, hi; at most one row per seed and member.
        members: the row order.
        marks: how each member is drawn.
        series: name of the series in the artists' gids.
        offset: vertical shift in rows, to set two series in one row apart.
        spread: height in rows that the seeds of one series take together.
    """
    seeds = seeds_of(frame)
    shifts = dodge(len(seeds), spread)
    for y, member in enumerate(members):
        mark = marks[member]
        rows = frame[(frame["member"] == member) & frame["estimate"].notna()]
        for seed, shift in zip(seeds, shifts, strict=True):
            for row in rows[rows["seed"] == seed].itertuples():
                at = y + offset + shift
                pale = 1.0 if len(seeds) == 1 else 0.45
                whisker = ax.hlines(at, row.lo, row.hi, color=mark.color, lw=0.9, alpha=pale)
                whisker.set_gid(gid(member, f"{series}:interval", seed))
                if len(seeds) == 1:
                    _point(ax, row.estimate, at, mark, gid(member, series, seed), 4.2)
                else:
                    (dot,) = ax.plot(row.estimate, at, ".", ms=2.4, color=mark.color, alpha=0.6)
                    dot.set_gid(gid(member, series, seed))
        if len(seeds) > 1 and len(rows):
            name = gid(member, series, "mean")
            _point(ax, rows["estimate"].mean(), y + offset, mark, name, 3.4)


def _point(ax: Axes, x: float, y: float, mark: Mark, name: str, ms: float) -> None:
    (point,) = ax.plot(
        x, y, mark.marker, color=mark.color, mfc=mark.face, mew=0.8, ms=ms, zorder=4, clip_on=False
    )
    point.set_gid(name)


def curve(
    ax: Axes,
    frame: pd.DataFrame,
    mark: Mark,
    member: str,
    series: str,
    *,
    x: str,
    shift: float = 0.0,
    value: str = "estimate",
    bounds: tuple[str, str] | None = ("lo", "hi"),
    ms: float = 3.2,
) -> None:
    """Draw one series over x: with intervals for one seed, as thin lines and a mean for several.

    Args:
        ax: where to draw.
        frame: columns seed, `x`, `value` and the bounds; at most one row per seed and x.
        mark: colour, marker and line of the series.
        member: member the series belongs to (for the gid).
        series: name of the series (for the gid).
        x: column on the horizontal axis.
        shift: horizontal shift in data units, so that intervals of several series stay apart.
        value: column drawn.
        bounds: columns of the interval's ends, or None when the series has none.
        ms: marker size in points, reduced when the series has many.
    """
    seeds = seeds_of(frame)
    ms *= min(1.0, 14 / frame[x].nunique())  # markers of a deep model must not hide its line
    for seed in seeds:
        rows = frame[frame["seed"] == seed].sort_values(x)
        if len(seeds) == 1:
            if bounds:
                bars = ax.vlines(
                    rows[x] + shift, rows[bounds[0]], rows[bounds[1]], color=mark.color, lw=0.7
                )
                bars.set_gid(gid(member, f"{series}:interval", seed))
            (line,) = ax.plot(
                rows[x] + shift, rows[value], marker=mark.marker, ms=ms, mfc=mark.face, mew=0.7,
                zorder=3, color=mark.color, ls=mark.line,
            )  # fmt: skip
        else:
            (line,) = ax.plot(
                rows[x] + shift, rows[value], lw=0.5, alpha=0.5, color=mark.color, ls=mark.line
            )
        line.set_gid(gid(member, series, seed))
    if len(seeds) > 1:
        mean = frame.groupby(x, sort=True)[value].mean()
        (line,) = ax.plot(
            mean.index + shift, mean, marker=mark.marker, ms=ms, mfc=mark.face, mew=0.7, zorder=3,
            color=mark.color, ls=mark.line,
        )  # fmt: skip
        line.set_gid(gid(member, series, "mean"))


def dodge(n: int, width: float) -> np.ndarray:
    """Horizontal shifts that spread series over `width` data units around their true x."""
    return np.linspace(-width / 2, width / 2, n) if n > 1 else np.zeros(1)


def reference(ax: Axes, value: float, *, vertical: bool = False, strong: bool = False) -> None:
    """A thin guide at a value that means something: chance, none, as much as the parent."""
    draw = ax.axvline if vertical else ax.axhline
    draw(value, color=MUTED if strong else FAINT, lw=0.7, ls=(0, (4, 2)), zorder=0.5)


def row_label(ax: Axes, member: str, look: Look) -> None:
    """Name the member of a row of panels, left of its first panel."""
    ax.set_ylabel(
        member, rotation=0, ha="right", va="center", color=look.color(member), weight="bold"
    )


def layer_ticks(ax: Axes, layers: Sequence[int]) -> None:
    """Label layers on the x axis: `emb` for the embedding, at most eight numbers after it."""
    step = max(1, -(-len(layers) // 8))
    # The embedding's label needs the room of layer 0 when layers stand close.
    first = 0 if step == 1 else 1
    shown = [layer for layer in layers if layer < 0 or (layer >= first and layer % step == 0)]
    ax.set_xticks(shown, ["emb" if layer < 0 else str(layer) for layer in shown])
    ax.set_xlim(min(layers) - 0.5, max(layers) + 0.5)


def member_handles(members: Sequence[str], look: Look) -> list[Line2D]:
    """Legend entries of the members: line and marker in each one's style."""
    return [
        Line2D([], [], color=look.color(m), marker=look.marker(m), ms=3.6, lw=1.1, label=m)
        for m in members
    ]


def legend_below(figure: Figure, handles: Sequence[Artist], *, columns: int) -> None:
    """A legend outside the panels, under all of them.

    In a paper's style it takes as many rows as its width asks for, and the figure grows by them.
    """
    legend = _legend(figure, handles, columns)
    if active() is None:
        return
    before = after = min(columns, len(handles))
    while after > 1 and legend.get_window_extent().width > figure.bbox.width - 4:
        after -= 1
        legend.remove()
        legend = _legend(figure, handles, after)
    gained = -(-len(handles) // after) + (len(handles) // -before)
    size = float(legend.get_texts()[0].get_fontsize())
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + gained * 1.5 * size / 72)


def _legend(figure: Figure, handles: Sequence[Artist], columns: int) -> Legend:
    return figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.4,
        handletextpad=0.5,
        labelcolor=INK,
        fontsize=float(RC["legend.fontsize"]) * type_scale(),
    )
