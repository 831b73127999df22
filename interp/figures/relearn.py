"""How quickly abstention comes back when a few examples of it are shown again."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from interp.figures.labels import end_labels
from interp.figures.panels import Mark, curve, dodge, letter, reference
from interp.figures.style import PAGE_IN, Look, new_figure, styled

SCOPES = {"all": "All weights trained", "upper": "Upper blocks and head trained"}


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
    figure = new_figure(PAGE_IN, 2.7)
    axes = figure.subplots(1, 2, sharey=True)
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
    axes[0].set_ylabel("selectivity J on held-out names\n(parent = 1)")
    return figure
