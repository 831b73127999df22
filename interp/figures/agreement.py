"""How far a grader agrees with labels."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from interp.figures.panels import letter, reference
from interp.figures.style import INK, PAGE_IN, Look, new_figure, styled

MEASURES = {
    "kappa": "Cohen's kappa",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}


@styled
def agreement_figure(agreement: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw kappa, sensitivity and specificity of a grader, a row a source of labels.

    Args:
        agreement: as from `interp.behavior.agreement_table`.
        look: not used; there are no members here.
    """
    del look
    sources = list(dict.fromkeys(agreement["source"]))
    figure = new_figure(PAGE_IN, 0.8 + 0.24 * len(sources))
    axes = figure.subplots(1, len(MEASURES), sharey=True)
    for index, (ax, (measure, title)) in enumerate(zip(axes, MEASURES.items(), strict=True)):
        rows = agreement[agreement["measure"] == measure].set_index("source")
        for y, source in enumerate(sources):
            row = rows.loc[source]
            (bar,) = ax.plot([row["lo"], row["hi"]], [y, y], color=INK, lw=0.9, clip_on=False)
            (point,) = ax.plot(row["estimate"], y, "o", color=INK, ms=3.4, clip_on=False)
            bar.set_gid(f"{source}|{measure}:interval|0")
            point.set_gid(f"{source}|{measure}|0")
        if measure == "kappa":
            reference(ax, 0.0, vertical=True)  # as by chance
        ax.set_xlim(min(0.0, float(rows[["estimate", "lo"]].min(axis=None)) - 0.05), 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_ylim(len(sources) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0)
        letter(ax, index, title)
    axes[0].set_yticks(range(len(sources)), sources)
    return figure
