"""What repairs without training give back of a child's abstention, against what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.figures.panels import gid, legend_below, letter, reference
from interp.figures.style import (
    CONTINUATION_COLORS,
    INK,
    MUTED,
    NULL,
    PAGE_IN,
    Look,
    across,
    new_figure,
    seeds_of,
    styled,
)

REPAIRS = ("seed", "member", "method", "strength", "chosen", "restored", "cost")
"""What the table must have, `restored` and `cost` with their limits `_lo` and `_hi`."""


@dataclass(frozen=True)
class Way:
    """How a method is drawn."""

    name: str
    color: str
    marker: str


WAYS = {
    "steering": Way("steering", CONTINUATION_COLORS[0], "o"),
    "bounded": Way("steering on a KL budget", CONTINUATION_COLORS[2], "s"),
    "rule": Way("logit rule", CONTINUATION_COLORS[1], "^"),
    "probe": Way("parent's probe, then rule", CONTINUATION_COLORS[3], "D"),
    "probe_steering": Way("parent's probe, then steering", CONTINUATION_COLORS[6], "v"),
    "own_probe": Way("child's own probe, then rule", CONTINUATION_COLORS[4], "P"),
    "graft": Way("parent's upper blocks", INK, "X"),
}
NULLS = {
    "random": Way("null: random direction", NULL, "o"),
    "shuffled": Way("null: probe of shuffled labels", NULL, "D"),
}
PARENT = Way("parent", INK, "*")
FRONTIER = Way("frontier, upper blocks aside", MUTED, "")
COMPETING = tuple(method for method in WAYS if method != "graft")
"""What the frontier is of: a graft has the parent's weights, and with them its accuracy."""
COLUMNS = 4
LINEAR = 0.02
"""Costs up to here are drawn on a linear scale, larger ones on a logarithmic one."""
TICKS = {-0.1: "-.1", 0.0: "0", 0.02: ".02", 0.1: ".1", 0.5: ".5"}


@styled
def repairs_figure(repairs: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw restored abstention over cost, one panel a member that lost abstention.

    Each method's strengths are a thin line with open marks; the strength chosen on dev is filled,
    with both its intervals. With several seeds, lines are means over seeds by strength, each seed's
    chosen strength is a small filled mark, and their mean is a large one. The frontier joins the
    points, of all strengths of all methods but the nulls and the parent's upper blocks, that no
    other beats in both; it describes, and nothing is chosen by it.

    Args:
        repairs: columns `REPAIRS`: table `repairs` of the study.
        look: the members' styles (default: those of this table alone).
    """
    look = look or Look.of(repairs)
    lost = repairs[np.isfinite(repairs["restored"])]
    members = look.order(lost["member"])
    n_columns = max(1, across(min(COLUMNS, len(members))))
    n_rows = max(1, -(-len(members) // n_columns))
    figure = new_figure(PAGE_IN, 0.9 + 1.75 * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for index, ax in enumerate(axes.flat):
        if index >= len(members):
            ax.set_visible(False)
            continue
        member = members[index]
        _panel(ax, lost[lost["member"] == member], member)
        letter(ax, index, member)
        if index % n_columns == 0:
            ax.set_ylabel("abstention restored\n(unknown)")
    methods = repairs["method"].unique()
    drawn = {name: way for name, way in {**WAYS, **NULLS}.items() if name in methods}
    if members:
        _limits(axes[0, 0], lost[lost["method"].isin([*drawn, "parent"])])
    for ax in axes.flat[max(0, len(members) - n_columns) : len(members)]:
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("accuracy lost (known)")
    handles = [
        Line2D([], [], color=way.color, marker=way.marker, lw=0.8, ms=4, label=way.name)
        for way in drawn.values()
    ]
    star = Line2D([], [], ls="", color=INK, marker=PARENT.marker, ms=6, label=PARENT.name)
    line = Line2D([], [], color=FRONTIER.color, lw=2.4, alpha=0.35, label=FRONTIER.name)
    legend_below(figure, [*handles, star, line], columns=4)
    return figure


def frontier(points: pd.DataFrame) -> pd.DataFrame:
    """The points that none beats in both, from the cheapest: restored rises with cost."""
    ordered = points.sort_values(["cost", "restored"], ascending=[True, False])
    best_before = ordered["restored"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["restored"] > best_before]


def _panel(ax: Axes, rows: pd.DataFrame, member: str) -> None:
    seeds = seeds_of(rows)
    reference(ax, 0.0)
    reference(ax, 1.0, strong=True)
    reference(ax, 0.0, vertical=True)
    mean = rows.groupby(["method", "strength"], sort=False)[["cost", "restored"]].mean()
    mean = mean.reset_index()
    best = frontier(mean[mean["method"].isin(COMPETING)])
    (edge,) = ax.plot(
        best["cost"], best["restored"], drawstyle="steps-post", color=FRONTIER.color, lw=2.4,
        alpha=0.35, zorder=1.5, solid_capstyle="butt",
    )  # fmt: skip
    edge.set_gid(gid(member, "frontier", "mean"))
    # Nulls lie behind everything else.
    for height, (method, way) in enumerate({**NULLS, **WAYS}.items()):
        mine, chosen = (table[table["method"] == method] for table in (mean, rows[rows["chosen"]]))
        if mine.empty:
            continue
        zorder = 2 + 0.1 * height
        (line,) = ax.plot(
            mine["cost"], mine["restored"], color=way.color, lw=0.6, marker=way.marker, ms=2.4,
            mfc="white", mew=0.5, zorder=zorder,
        )  # fmt: skip
        line.set_gid(gid(member, method, "mean"))
        for seed in seeds:
            _chosen(ax, chosen[chosen["seed"] == seed], way, member, method, seed, len(seeds) > 1)
        if len(seeds) > 1:
            _mark(ax, chosen["cost"].mean(), chosen["restored"].mean(), way, 5.0).set_gid(
                gid(member, f"{method}:chosen", "mean")
            )
    of_parent = mean[mean["method"] == "parent"]
    if len(of_parent):
        (star,) = ax.plot(
            of_parent["cost"], of_parent["restored"], PARENT.marker, color=INK, ms=6, zorder=4,
            mew=0.5, mec="white",
        )  # fmt: skip
        star.set_gid(gid(member, "parent", "mean"))


def _chosen(
    ax: Axes, rows: pd.DataFrame, way: Way, member: str, method: str, seed: int, pale: bool
) -> None:
    """The chosen strength of one seed, with both its intervals."""
    for row in rows.itertuples():
        alpha = 0.45 if pale else 1.0
        bars = (
            ax.hlines(row.restored, row.cost_lo, row.cost_hi, color=way.color, alpha=alpha),
            ax.vlines(row.cost, row.restored_lo, row.restored_hi, color=way.color, alpha=alpha),
        )
        for bar, axis in zip(bars, ("cost", "restored"), strict=True):
            bar.set_linewidth(0.5 if pale else 0.9)
            bar.set_zorder(2.9)
            bar.set_gid(gid(member, f"{method}:{axis}", seed))
        size = 2.8 if pale else 5.0
        point = _mark(ax, row.cost, row.restored, way, size, alpha)
        point.set_gid(gid(member, f"{method}:chosen", seed))


def _mark(ax: Axes, x: float, y: float, way: Way, ms: float, alpha: float = 1.0) -> Line2D:
    (point,) = ax.plot(
        x, y, way.marker, color=way.color, ms=ms, mec="white", mew=0.4, zorder=3.5, alpha=alpha
    )
    return point


def _limits(ax: Axes, rows: pd.DataFrame) -> None:
    """Room for every point, and for the intervals of those that were chosen."""
    chosen = rows[rows["chosen"]]
    (left, right), (low, high) = (
        (min(0.0, ends.min()), max(least, ends.max()))
        for values, least in (("cost", 0.1), ("restored", 1.0))
        for ends in [pd.concat([rows[values], chosen[f"{values}_lo"], chosen[f"{values}_hi"]])]
    )
    ax.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
    ax.set_xlim(min(1.3 * left, -LINEAR / 2), 1.3 * right)
    ax.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    shown = {at: text for at, text in TICKS.items() if 1.3 * left <= at <= 1.3 * right}
    ax.set_xticks(list(shown), [text.replace("-", "\N{MINUS SIGN}") for text in shown.values()])
    ax.set_xticks([], minor=True)
