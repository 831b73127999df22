"""What an abstention direction does when it is added (dose-response) or removed (ablation)."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.figures.panels import (
    Mark,
    curve,
    forest,
    gid,
    legend_below,
    letter,
    member_rows,
    reference,
    row_label,
)
from interp.figures.style import INK, NULL, PAGE_IN, Look, new_figure, styled

GROUPS = {
    "J": "Selectivity J (unknown \N{MINUS SIGN} known)",
    "unknown": "P(abstain), unknown names",
    "known": "P(abstain), known names",
}
DIRECTIONS = {"own": ("own direction", False, "--"), "parent": ("parent's direction", True, "-")}


@styled
def steering_figure(steering: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw the dose-response to the parent's and the member's own direction over random ones.

    Args:
        steering: columns seed, member, direction (parent, own, random), draw, alpha (in units of
            the norm of the parent's mean difference), group (known, unknown, J), estimate, lo, hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        One row of panels per member; columns J, unknown, known. The band is the range over all
        random directions of the same norm (and all seeds).
    """
    return dose_figure(
        steering,
        look or Look.of(steering),
        own="parent's direction",
        null="random directions of that norm",
        unit="parent's norm = 1",
    )


def dose_figure(steering: pd.DataFrame, look: Look, *, own: str, null: str, unit: str) -> Figure:
    """A dose-response figure; the words say what was added.

    Args:
        steering: as for `steering_figure`.
        look: the members' styles.
        own: what is added, as the legend names it.
        null: what it is compared with.
        unit: of the dose.
    """
    members = look.order(steering["member"])
    figure = new_figure(PAGE_IN, 0.85 + 0.78 * len(members))
    axes = figure.subplots(len(members), 3, sharex=True, squeeze=False)
    low = steering.loc[steering["group"] == "J", ["estimate", "lo"]].min().min()
    high = steering.loc[steering["group"] == "J", ["estimate", "hi"]].max().max()
    alphas = sorted(steering["alpha"].unique().tolist())
    smallest = min((b - a for a, b in pairwise(alphas)), default=1.0)
    for row, member in enumerate(members):
        for column, group in enumerate(GROUPS):
            ax = axes[row, column]
            here = steering[(steering["member"] == member) & (steering["group"] == group)]
            _dose_panel(ax, here, member, group, look, 0.14 * smallest)
            if group == "J":
                ax.set_ylim(min(-0.25, low - 0.05), max(1.05, high + 0.05))
            else:
                ax.set_ylim(-0.05, 1.05)
            ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
            ax.set_xticks(alphas, [f"{a:g}" for a in alphas])
        row_label(axes[row, 0], member, look)
    for column, title in enumerate(GROUPS.values()):
        letter(axes[0, column], column, title)
        axes[-1, column].set_xlabel(f"dose \N{GREEK SMALL LETTER ALPHA} ({unit})")
    handles: list[Artist] = [
        Line2D([], [], color=INK, marker="o", ms=3.2, label=f"{own}, 95% interval"),
        Patch(color=NULL, alpha=0.6, lw=0, label=f"{null}, range"),
    ]
    if (steering["direction"] == "own").any():
        line = Line2D([], [], color=INK, marker="o", mfc="white", ms=3.2, ls="--", label="own")
        handles.insert(1, line)
    legend_below(figure, handles, columns=len(handles))
    return figure


def _dose_panel(
    ax: Axes, here: pd.DataFrame, member: str, group: str, look: Look, shift: float
) -> None:
    reference(ax, 0.0)
    random = here[here["direction"] == "random"]
    if len(random):
        spread = random.groupby("alpha", sort=True)["estimate"].agg(["min", "max"])
        band = ax.fill_between(
            spread.index, spread["min"], spread["max"], color=NULL, alpha=0.6, lw=0, zorder=0
        )
        band.set_gid(gid(member, f"{group}:random", "all"))
    if not (here["direction"] == "own").any():
        shift = 0.0
    for sign, (direction, (_, filled, ls)) in zip((1, -1), DIRECTIONS.items(), strict=True):
        rows = here[here["direction"] == direction]
        mark = Mark(look.color(member), look.marker(member), ls, filled)
        if len(rows):
            curve(ax, rows, mark, member, f"{group}:{direction}", x="alpha", shift=sign * shift)


@styled
def ablation_figure(ablation: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw what is left of abstention once a direction is projected out.

    Args:
        ablation: columns seed, member, direction (parent, random), group (known, unknown, J),
            estimate, lo, hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        Three forest panels; the open marker is the control, a random direction ablated.
    """
    look = look or Look.of(ablation)
    members = look.order(ablation["member"])
    figure = new_figure(PAGE_IN, 0.75 + 0.2 * len(members))
    axes = figure.subplots(1, 3)
    for index, (ax, (group, title)) in enumerate(zip(axes, GROUPS.items(), strict=True)):
        member_rows(ax, members, labels=index == 0)
        for direction, filled, offset in (("parent", True, -0.17), ("random", False, 0.17)):
            rows = ablation[(ablation["group"] == group) & (ablation["direction"] == direction)]
            marks = {m: Mark(look.color(m), look.marker(m), filled=filled) for m in members}
            if len(rows):
                series = f"{group}:{direction}"
                forest(ax, rows, members, marks, series, offset=offset, spread=0.24)
        reference(ax, 0.0, vertical=True)
        ax.set_xlim(min(-0.05, ax.get_xlim()[0]), 1.03)
        ax.set_xlabel("after the ablation")
        letter(ax, index, title)
    handles = [
        Line2D([], [], ls="", marker="o", color=INK, label="parent's direction removed"),
        Line2D([], [], ls="", marker="o", color=INK, mfc="white", label="random direction removed"),
    ]
    legend_below(figure, handles, columns=2)
    return figure
