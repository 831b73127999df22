"""How quickly abstention comes back when a few examples of it are shown again."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from interp.figures.labels import end_labels
from interp.figures.panels import Mark, curve, dodge, letter, reference
from interp.figures.style import PAGE_IN, Look, across, new_figure, styled

SCOPES = {"all": "All weights trained", "upper": "Upper blocks and head trained"}
LEAST_IN = 2.4
"""A panel with the names at the ends of its lines needs this width."""


@styled
def relearn_figure(relearn: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw relearned selectivity on held-out names, over the parent's, by number of examples.

    Args:
        relearn: columns seed, member, scope (all, upper), n_examples, ratio, ratio_lo, ratio_hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        Two panels, one for each scope; numbers of examples stand at equal distances.
    """
    look = look or Look.of(relearn)
    members = look.order(relearn["member"])
    counts = sorted(relearn["n_examples"].unique().tolist())
    placed = relearn.assign(place=relearn["n_examples"].map({n: i for i, n in enumerate(counts)}))
    columns = across(2, LEAST_IN)
    n_rows = -(-len(SCOPES) // columns)
    figure = new_figure(PAGE_IN, 2.7 * n_rows)
    axes = figure.subplots(n_rows, columns, sharey=True, squeeze=False).ravel()
    low = min(-0.1, relearn[["ratio", "ratio_lo"]].min().min() - 0.03)
    high = max(1.08, relearn["ratio_hi"].max() + 0.03)
    for index, (ax, (scope, title)) in enumerate(zip(axes, SCOPES.items(), strict=True)):
        rows = placed[placed["scope"] == scope]
        reference(ax, 0.0)
        reference(ax, 1.0, strong=True)
        ends: dict[str, float] = {}
        for member, shift in zip(members, dodge(len(members), 0.35), strict=True):
            mine = rows[(rows["member"] == member) & np.isfinite(rows["ratio"])]
            if mine.empty:
                continue
            mark = Mark(look.color(member), look.marker(member))
            curve(
                ax, mine, mark, member, scope, x="place", shift=shift,
                value="ratio", bounds=("ratio_lo", "ratio_hi"),
            )  # fmt: skip
            ends[member] = mine.loc[mine["place"] == mine["place"].max(), "ratio"].mean()
        ax.set_ylim(low, high)
        ax.set_xlim(-0.4, len(counts) - 0.6)
        ax.set_xticks(range(len(counts)), [str(n) for n in counts])
        ax.set_xlabel("abstention examples shown")
        end_labels(ax, ends, look)
        letter(ax, index, title)
    for ax in axes[::columns]:
        ax.set_ylabel("selectivity J on held-out names\n(parent = 1)")
    return figure
