"""Every member's estimates on the deciding lines, against the cut-offs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from interp.figures.calls import ZONE_COLORS, line_label, lines_of
from interp.figures.panels import Mark, forest, gid, legend_below, letter, member_rows
from interp.figures.style import PAGE_IN, Look, across, new_figure, styled


@styled
def evidence_figure(evidence: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw every member's estimate on each deciding line against the two cut-offs.

    Args:
        evidence: as in `verdict_figure`.
        look: the members' styles (default: those of this table alone).

    Returns:
        One forest panel per deciding line; the ground is shaded gone, between, there.
    """
    look = look or Look.of(evidence)
    members = look.order(evidence["member"])
    lines = lines_of(evidence, decides=True)
    columns = max(1, across(min(3, len(lines))))
    n_rows = max(1, -(-len(lines) // columns))
    figure = new_figure(PAGE_IN, 0.45 + n_rows * (0.45 + 0.2 * len(members)))
    axes = figure.subplots(n_rows, columns, squeeze=False)
    for index, line in enumerate(lines):
        ax = axes.flat[index]
        rows = evidence[evidence["line"] == line]
        member_rows(ax, members, labels=index % columns == 0)
        marks = {m: Mark(look.color(m), look.marker(m)) for m in members}
        forest(ax, rows, members, marks, line)
        _zones(ax, rows, members)
        letter(ax, index, line_label(line))
        ax.set_xlabel("estimate, 95% interval")
    for ax in axes.flat[len(lines) :]:
        ax.set_axis_off()
    keys = [Patch(fc=ZONE_COLORS[c], lw=0, label=c) for c in ("gone", "between", "there")]
    legend_below(figure, keys, columns=3)
    return figure


def _zones(ax: Axes, rows: pd.DataFrame, members: list[str]) -> None:
    """Shade each member's row by its own cut-offs: with common ones the rows join into columns."""
    known = rows.dropna(subset=["cut_gone", "cut_there"])
    drawn = rows[["estimate", "lo", "hi"]].to_numpy(dtype=float)
    cuts = known[["cut_gone", "cut_there"]].to_numpy(dtype=float)
    values = np.concatenate([drawn.ravel(), cuts.ravel()])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    margin = 0.06 * max(high - low, 0.2)
    low, high = low - margin, high + margin
    for y, member in enumerate(members):
        mine = known[known["member"] == member]
        if mine.empty:
            continue
        gone, there = mine["cut_gone"].iloc[0], mine["cut_there"].iloc[0]
        far_gone, far_there = (low, high) if gone <= there else (high, low)
        for start, end, call in (
            (far_gone, gone, "gone"), (gone, there, "between"), (there, far_there, "there"),
        ):  # fmt: skip
            zone = Rectangle((start, y - 0.5), end - start, 1, fc=ZONE_COLORS[call], lw=0, zorder=0)
            zone.set_gid(gid(member, f"zone:{call}", "all"))
            zone.set_antialiased(False)
            ax.add_patch(zone)
    ax.set_xlim(low, high)
