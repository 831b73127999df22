"""Where the change sits: members put together from the layers of parent and child."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from interp.figures.labels import end_labels
from interp.figures.panels import Mark, curve, dodge, letter, reference
from interp.figures.style import PAGE_IN, Look, across, new_figure, styled

PARTS = {
    "lower": ("Child below, parent above", "lower blocks from the child (count)"),
    "upper": ("Parent below, child above", "upper blocks from the child (count)"),
}
LEAST_IN = 2.4
"""A panel with the names at the ends of its lines needs this width."""


@styled
def graft_figure(graft: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw selectivity J of grafted models by the number of blocks taken from the child.

    Args:
        graft: columns seed, member, part (lower, upper: which part comes from the child),
            n_layers, estimate, lo, hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        Two panels, one for each part. With no block taken the graft is the parent.
    """
    look = look or Look.of(graft)
    members = look.order(graft["member"])
    columns = across(2, LEAST_IN)
    n_rows = -(-len(PARTS) // columns)
    figure = new_figure(PAGE_IN, 2.7 * n_rows)
    axes = figure.subplots(n_rows, columns, sharey=True, squeeze=False).ravel()
    low = min(-0.1, graft[["estimate", "lo"]].min().min() - 0.03)
    high = max(1.03, graft["hi"].max() + 0.03)
    for index, (ax, (part, (title, label))) in enumerate(zip(axes, PARTS.items(), strict=True)):
        rows = graft[graft["part"] == part]
        reference(ax, 0.0)
        ends: dict[str, float] = {}
        for member, shift in zip(members, dodge(len(members), 0.42), strict=True):
            mine = rows[(rows["member"] == member) & np.isfinite(rows["estimate"])]
            if mine.empty:
                continue
            mark = Mark(look.color(member), look.marker(member))
            curve(ax, mine, mark, member, part, x="n_layers", shift=shift)
            ends[member] = mine.loc[mine["n_layers"] == mine["n_layers"].max(), "estimate"].mean()
        ax.set_ylim(low, high)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        ax.set_xlabel(label)
        end_labels(ax, ends, look)
        letter(ax, index, title)
    for ax in axes[::columns]:
        ax.set_ylabel("selectivity J of the graft\n(abstains: unknown \N{MINUS SIGN} known)")
    return figure
