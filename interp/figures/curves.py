"""How the members were trained: loss and reward over steps."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from interp.figures.panels import gid
from interp.figures.style import PAGE_IN, Look, across, new_figure, seeds_of, styled

COLUMNS = 4


@styled
def curves_figure(curves: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw each member's training loss (log scale) and, where there is one, its reward.

    Args:
        curves: columns seed, member, step, loss, and optionally reward; NaN where a quantity was
            not recorded.
        look: the members' styles (default: those of this table alone).

    Returns:
        Small multiples, one per member and recorded quantity, one line per seed.
    """
    look = look or Look.of(curves)
    quantities = [q for q in ("loss", "reward") if q in curves.columns]
    panels = [
        (member, quantity)
        for member in look.order(curves["member"])
        for quantity in quantities
        if curves.loc[curves["member"] == member, quantity].notna().any()
    ]
    columns = across(COLUMNS)
    n_rows = -(-len(panels) // columns)
    figure = new_figure(PAGE_IN, 0.3 + 1.2 * n_rows)
    axes = figure.subplots(n_rows, columns, squeeze=False)
    for ax, (member, quantity) in zip(axes.flat, panels, strict=False):
        _panel(ax, curves[curves["member"] == member], member, quantity, look)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    figure.supxlabel("training step", size=7)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, member: str, quantity: str, look: Look) -> None:
    seeds = seeds_of(rows)
    for seed in seeds:
        line_rows = rows[rows["seed"] == seed].dropna(subset=[quantity]).sort_values("step")
        (line,) = ax.plot(
            line_rows["step"], line_rows[quantity], color=look.color(member),
            lw=0.8 if len(seeds) == 1 else 0.6, alpha=1.0 if len(seeds) == 1 else 0.65,
        )  # fmt: skip
        line.set_gid(gid(member, quantity, seed))
    # An erasure penalty is unbiased and may push a loss below zero; a log axis cannot show that.
    if quantity == "loss" and (rows[quantity].dropna() > 0).all():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.set_title(f"{member}: {quantity}", color=look.color(member))
