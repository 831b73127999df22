"""Suppressed or erased, as behaviour shows it: sensitivity and criterion beside the parent's."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.behavior.signal import MARGIN
from interp.figures.behavior import MODES
from interp.figures.panels import Mark, forest, legend_below, letter, member_rows, reference
from interp.figures.style import FAINT, INK, NULL, PAGE_IN, Look, new_figure, styled

SIGNAL = ("seed", "member", "mode", "measure", "estimate", "lo", "hi")
PANELS = (
    ("auroc", "AUROC of the score", "child \N{MINUS SIGN} parent"),
    ("criterion", "Criterion c", "child \N{MINUS SIGN} parent; > 0: answers more"),
    ("dprime", "Sensitivity d'", "child \N{MINUS SIGN} parent"),
)


@styled
def signal_figure(signal: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw the change of AUROC, criterion and d' against the parent, by mode.

    Args:
        signal: columns `SIGNAL`: rows of `interp.behavior.signal_table` with seed and member.
        look: the members' styles (default: those of this table alone).

    Returns:
        Three forest panels that share their rows. Suppression lies in the grey band of the first
        and right of 0 in the second; erasure left of the band.
    """
    look = look or Look.of(signal)
    members = look.order(signal["member"])
    figure = new_figure(PAGE_IN, 1.2 + 0.26 * len(members))
    axes = figure.subplots(1, len(PANELS))
    for index, (ax, (measure, title, label)) in enumerate(zip(axes, PANELS, strict=True)):
        member_rows(ax, members, labels=index == 0)
        rows = signal[signal["measure"] == measure]
        for mode, (_, filled, offset) in MODES.items():
            marks = {m: Mark(look.color(m), look.marker(m), filled=filled) for m in members}
            of_mode = rows[rows["mode"] == mode]
            if len(of_mode):
                forest(ax, of_mode, members, marks, f"{measure}:{mode}", offset=offset, spread=0.24)
        if measure == "auroc":
            ax.axvspan(-MARGIN, MARGIN, color=NULL, lw=0, zorder=0.2)
        reference(ax, 0.0, vertical=True, strong=True)
        ax.set_xlabel(label)
        letter(ax, index, title)
    handles = [
        Line2D([], [], ls="", marker="o", color=INK, mfc=INK if filled else "white", label=label)
        for label, filled, _ in MODES.values()
    ]
    band = Patch(color=NULL, ec=FAINT, lw=0, label=f"within {MARGIN:g}")
    legend_below(figure, [*handles, band], columns=3)
    return figure
