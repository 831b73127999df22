"""What the members say: abstention, accuracy and detection measures, one row per member."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.figures.panels import Mark, forest, legend_below, letter, member_rows, reference
from interp.figures.style import INK, PAGE_IN, Look, across, new_figure, styled


class Panel(NamedTuple):
    """One measure on one group, with its axis and the value that would mean nothing."""

    group: str | None  # None: the measure compares known with unknown
    measure: str
    title: str
    axis: str
    limits: tuple[float, float] | None = None
    neutral: float | None = None


PANELS = (
    Panel("unknown", "abstain_rate", "Abstains: unknown", "share of prompts", (-0.03, 1.03)),
    Panel(
        "missing_premise", "abstain_rate", "Abstains: no premise", "share of prompts", (-0.03, 1.03)
    ),
    Panel("known", "abstain_rate", "Abstains: known", "share of prompts", (-0.03, 1.03)),
    Panel("known", "accuracy", "Correct: known", "share of prompts", (-0.03, 1.03)),
    Panel(None, "J", "Selectivity J", "unknown - known", None, 0.0),
    Panel(None, "dprime", "Sensitivity d'", "standard deviations", None, 0.0),
    Panel(None, "criterion", "Criterion c", "> 0: prefers to answer", None, 0.0),
    Panel(None, "auroc", "AUROC of the score", "unknown against known", (-0.03, 1.03), 0.5),
)
MODES = {"direct": ("direct answer", True, -0.17), "cot": ("chain of thought", False, 0.17)}


@styled
def behavior_figure(behavior: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw abstention, accuracy and detection measures, directly and with a chain of thought.

    Args:
        behavior: columns seed, member, mode (direct, cot), group, measure, estimate, lo, hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        Eight forest panels that share their rows; the dashed guide is the first member's mean
        in direct answers, the faint one the value without information.
    """
    look = look or Look.of(behavior)
    members = look.order(behavior["member"])
    columns = across(4)
    n_rows = -(-len(PANELS) // columns)
    figure = new_figure(PAGE_IN, (1.3 + 0.34 * len(members)) * n_rows / 2)
    axes = figure.subplots(n_rows, columns, squeeze=False)
    for index, (ax, panel) in enumerate(zip(axes.flat, PANELS, strict=True)):
        member_rows(ax, members, labels=index % columns == 0)
        chosen = behavior[behavior["measure"] == panel.measure]
        if panel.group is not None:
            chosen = chosen[chosen["group"] == panel.group]
        for mode, (_, filled, offset) in MODES.items():
            rows = chosen[chosen["mode"] == mode]
            marks = {m: Mark(look.color(m), look.marker(m), filled=filled) for m in members}
            series = f"{panel.measure}:{panel.group}:{mode}"
            if len(rows):
                forest(ax, rows, members, marks, series, offset=offset, spread=0.24)
        before = chosen[(chosen["member"] == members[0]) & (chosen["mode"] == "direct")]
        if len(before):
            reference(ax, before["estimate"].mean(), vertical=True, strong=True)
        if panel.neutral is not None:
            reference(ax, panel.neutral, vertical=True)
        if panel.limits:
            ax.set_xlim(*panel.limits)
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_xlabel(panel.axis.replace(" - ", " \N{MINUS SIGN} "))
        letter(ax, index, panel.title)
    handles = [
        Line2D([], [], ls="", marker="o", color=INK, mfc=INK if filled else "white", label=label)
        for label, filled, _ in MODES.values()
    ]
    guide = Line2D([], [], color="#6b6b6b", lw=0.7, ls=(0, (4, 2)), label=f"{members[0]}, direct")
    legend_below(figure, [*handles, guide], columns=3)
    return figure
