"""What can be read from the members by layer: probes beside their controls."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.figures.panels import (
    Mark,
    curve,
    gid,
    layer_ticks,
    legend_below,
    letter,
    reference,
    row_label,
)
from interp.figures.style import (
    INK,
    MUTED,
    NULL,
    PAGE_IN,
    Look,
    new_figure,
    position_label,
    styled,
)

POSITIONS = ("entity_last", "question_last", "last_prompt")


@styled
def probes_figure(probes: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw held-out AUROC by layer for every member and position, with null band and baselines.

    Args:
        probes: columns seed, member, position, layer (-1 is the embedding), probe (linear, mlp,
            shuffled, surface), estimate, lo, hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        One row of panels per member, one column per position.
    """
    look = look or Look.of(probes)
    members = look.order(probes["member"])
    present = probes["position"].unique().tolist()
    positions = [p for p in POSITIONS if p in present] + sorted(set(present) - set(POSITIONS))
    figure = new_figure(PAGE_IN, 0.85 + 0.78 * len(members))
    axes = figure.subplots(len(members), len(positions), sharex=True, sharey=True, squeeze=False)
    layers = sorted(probes.loc[probes["probe"] != "surface", "layer"].unique().tolist())
    estimates = probes.loc[probes["probe"] != "shuffled", ["lo", "estimate"]].min().min()
    for row, member in enumerate(members):
        for column, position in enumerate(positions):
            ax = axes[row, column]
            here = probes[(probes["member"] == member) & (probes["position"] == position)]
            _panel(ax, here, member, position, look)
            layer_ticks(ax, layers)
            ax.set_ylim(min(0.28, estimates - 0.03), 1.03)
            ax.set_yticks([0.5, 1.0])
        row_label(axes[row, 0], member, look)
    for column, position in enumerate(positions):
        letter(axes[0, column], column, position_label(position).capitalize())
        axes[-1, column].set_xlabel("layer (emb: embedding)")
    figure.supylabel("AUROC, unknown against known names", size=7)
    legend_below(
        figure,
        [
            Line2D([], [], color=INK, marker="o", ms=3.2, label="linear probe, 95% interval"),
            Line2D([], [], color=INK, marker="o", mfc="white", ms=3.2, ls="--", label="MLP probe"),
            Line2D([], [], color=MUTED, ls=":", label="bag of tokens (surface)"),
            Patch(color=NULL, alpha=0.55, lw=0, label="labels shuffled, 95% of runs"),
        ],
        columns=4,
    )
    return figure


def _panel(ax: Axes, here: pd.DataFrame, member: str, position: str, look: Look) -> None:
    reference(ax, 0.5)
    null = here[here["probe"] == "shuffled"]
    if len(null):
        # Several seeds: the band that holds every seed's null.
        band = null.groupby("layer", sort=True).agg(lo=("lo", "min"), hi=("hi", "max"))
        fill = ax.fill_between(
            band.index, band["lo"], band["hi"], color=NULL, alpha=0.55, lw=0, zorder=0
        )
        fill.set_gid(gid(member, f"{position}:shuffled", "all"))
    surface = here[here["probe"] == "surface"]
    if len(surface):
        line = ax.axhline(surface["estimate"].mean(), color=MUTED, ls=":", lw=0.9, zorder=1)
        line.set_gid(gid(member, f"{position}:surface", "mean"))
        # It has no layer: its interval stands at the right edge (over all seeds, the widest).
        edge = here["layer"].max() + 0.38
        bar = ax.vlines(edge, surface["lo"].min(), surface["hi"].max(), color=MUTED, lw=1.6)
        bar.set_gid(gid(member, f"{position}:surface:interval", "all"))
    for probe, filled, ls, shift in (("mlp", False, "--", 0.1), ("linear", True, "-", -0.1)):
        rows = here[here["probe"] == probe]
        mark = Mark(look.color(member), look.marker(member), ls, filled)
        if len(rows):
            curve(ax, rows, mark, member, f"{position}:{probe}", x="layer", shift=shift)
