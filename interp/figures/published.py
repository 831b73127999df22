"""Published abstention recall: three stages of training, and the change on every dataset."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.figures.panels import gid, legend_below, letter, reference
from interp.figures.style import INK, MUTED, PAGE_IN, Look, new_figure, styled

COLORS = ("#265eba", "#bf3900")
"""Of the pairs."""


@styled
def published_figure(
    means: pd.DataFrame, changes: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw mean recall of some models, and each pair's change by dataset.

    Args:
        means: as from `abstentionbench.means`: model, estimate, lo, hi; drawn in order.
        changes: as from `abstentionbench.changes`.
        look: not used; models here are no members of a lineage.

    Returns:
        Left: means over datasets with 95% intervals. Right: a row a dataset, sorted by the mean
        change; a mark a pair.
    """
    del look
    order = changes.groupby("dataset")["change"].mean().sort_values()
    figure = new_figure(PAGE_IN, 1.0 + 0.135 * len(order))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    for y, row in enumerate(means.itertuples()):
        bar = left.hlines(y, row.lo, row.hi, color=INK, lw=1.0)
        bar.set_gid(gid(row.model, "interval", "all"))
        (point,) = left.plot(row.estimate, y, "o", color=INK, ms=4.2)
        point.set_gid(gid(row.model, "mean", "all"))
        left.annotate(
            f"{row.estimate:.3f}", xy=(row.estimate, y), xytext=(0, 5),
            textcoords="offset points", ha="center", size=6.5,
        )  # fmt: skip
    left.set_ylim(len(means) - 0.4, -0.6)
    left.set_yticks(range(len(means)), means["model"].tolist())
    left.set_xlim(0, 1)
    left.set_xlabel("mean over datasets, 95% interval")
    letter(left, 0, "Recall of abstention")
    pairs = list(dict.fromkeys(zip(changes["parent"], changes["child"], strict=True)))
    for (parent, child), color, marker in zip(pairs, COLORS, "os", strict=False):
        here = changes[(changes["parent"] == parent) & (changes["child"] == child)]
        mean = here.groupby("dataset")["change"].mean().reindex(order.index)
        (marks,) = right.plot(mean, range(len(order)), marker, color=color, ms=3.0, alpha=0.9)
        marks.set_gid(gid(child, "change", "all"))
        right.axvline(here["change"].mean(), color=color, lw=0.9, ls=(0, (4, 2)), zorder=0.5)
    reference(right, 0.0, vertical=True, strong=True)
    right.set_ylim(-0.7, len(order) - 0.3)
    right.set_yticks(range(len(order)), order.index.tolist(), size=5.5)
    right.tick_params(axis="y", length=0)
    right.set_xlabel("change of recall; dashed: mean of the pair")
    letter(right, 1, "Reasoning child minus instruct parent")
    legend_below(
        figure,
        [
            Line2D(
                [],
                [],
                ls="",
                marker=m,
                color=c,
                ms=3.4,
                label=f"{parent} \N{RIGHTWARDS ARROW} {child}",
            )
            for (parent, child), c, m in zip(pairs, COLORS, "os", strict=False)
        ]
        + [Line2D([], [], color=MUTED, lw=0.7, ls=(0, (4, 2)), label="no change")],
        columns=1,
    )
    return figure
