"""What replies are: answers, abstentions of each kind, refusals, and those that were cut off."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from interp.figures.panels import gid, legend_below, letter
from interp.figures.style import FAINT, PAGE_IN, Look, new_figure, styled

KINDS = ("seed", "member", "elicitation", "should_abstain", "kind", "estimate")
COLORS = {
    "answer": "#bdbdbd",
    "abstain": "#0072b2",
    "clarify": "#56b4e9",
    "false_premise": "#009e73",
    "refuse": "#d55e00",
    "none": "#f0e442",
}
PANELS = ((True, "Abstention is due"), (False, "There is an answer"))


@styled
def kinds_figure(kinds: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw the shares of kinds as stacked bars, a row a model and elicitation.

    Args:
        kinds: columns `KINDS`: rows of `interp.behavior.kinds_table` with seed, member and
            elicitation; the mean over seeds is drawn.
        look: the members' styles (default: those of this table alone).

    Returns:
        Two panels that share their rows: questions that call for abstention, and those with an
        answer. A dot is the share of replies that were cut off.
    """
    kinds = kinds.astype({"member": str, "elicitation": str})  # a name may be a number
    look = look or Look.of(kinds)
    members = look.order(kinds["member"])
    ways = list(dict.fromkeys(kinds["elicitation"]))
    rows = [(member, way) for member in members for way in ways]
    figure = new_figure(PAGE_IN, 1.1 + 0.22 * len(rows))
    axes = figure.subplots(1, 2, sharey=True)
    shown = [kind for kind in COLORS if (kinds["kind"] == kind).any()]
    mean = kinds.groupby(["should_abstain", "member", "elicitation", "kind"])["estimate"].mean()
    for index, (ax, (due, title)) in enumerate(zip(axes, PANELS, strict=True)):
        for y, (member, way) in enumerate(rows):
            left = 0.0
            for kind in shown:
                width = mean.get((due, member, way, kind), 0.0)
                ax.barh(
                    y, width, left=left, height=0.72, color=COLORS[kind], lw=0,
                    gid=gid(member, f"{due}:{way}:{kind}", "mean"),
                )  # fmt: skip
                left += width
            cut_off = mean.get((due, member, way, "truncated"))
            if cut_off is not None and cut_off > 0:
                (dot,) = ax.plot(cut_off, y, "o", color="black", ms=2.6, zorder=4)
                dot.set_gid(gid(member, f"{due}:{way}:truncated", "mean"))
        ax.set_xlim(0, 1)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel("share of replies")
        letter(ax, index, title)
    names = [f"{member}, {way}" if len(ways) > 1 else member for member, way in rows]
    axes[0].set_yticks(range(len(rows)), [name.replace("_", " ") for name in names])
    for ax in axes:
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_color(FAINT)
    handles = [Patch(color=COLORS[kind], lw=0, label=kind.replace("_", " ")) for kind in shown]
    legend_below(figure, handles, columns=len(handles))
    return figure
