"""Figures of forest panels that share their rows, one row a member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.figures.panels import (
    Mark,
    forest,
    legend_below,
    letter,
    member_rows,
    reference,
)
from interp.figures.style import INK, PAGE_IN, Look, across, new_figure

OFFSETS = {1: (0.0,), 2: (-0.17, 0.17)}


@dataclass(frozen=True, eq=False)
class Panel:
    """One panel.

    Attributes:
        title: heading.
        label: of the horizontal axis.
        rows: columns seed, member, estimate, lo, hi and `split`; at most one row each.
        series: value of `split` -> whether its marks are filled; one or two of them, drawn one
            below the other.
        split: column by which the rows are told apart; "" draws all of them as one series.
        at: value that carries no information, drawn as a guide.
        limits: of the horizontal axis; None suits the rows.
    """

    title: str
    label: str
    rows: pd.DataFrame
    series: Mapping[str, bool]
    split: str = "group"
    at: float | None = 0.0
    limits: tuple[float, float] | None = None


def forests(
    panels: Sequence[Panel], look: Look, names: Mapping[str, str], *, columns: int = 3
) -> Figure:
    """Draw panels in rows of `columns`, each with all members that have a row in any.

    Args:
        panels: in reading order.
        look: the members' styles.
        names: legend entry of each series; those that are filled and open are told apart by them.
        columns: panels side by side, where the page is wide enough.
    """
    members = look.order(pd.concat([panel.rows["member"] for panel in panels]))
    columns = across(columns)
    n_rows = -(-len(panels) // columns)
    figure = new_figure(PAGE_IN, 0.6 + n_rows * (0.75 + 0.26 * len(members)))
    axes = figure.subplots(n_rows, columns, squeeze=False)
    for index, ax in enumerate(axes.flat):
        if index >= len(panels):
            ax.set_visible(False)
            continue
        panel = panels[index]
        member_rows(ax, members, labels=index % columns == 0)
        for (name, filled), offset in zip(
            panel.series.items(), OFFSETS[len(panel.series)], strict=True
        ):
            rows = panel.rows[panel.rows[panel.split] == name] if panel.split else panel.rows
            marks = {m: Mark(look.color(m), look.marker(m), filled=filled) for m in members}
            if len(rows):
                series = f"{panel.title}:{name}"
                forest(ax, rows, members, marks, series, offset=offset, spread=0.22)
        if panel.at is not None:
            reference(ax, panel.at, vertical=True, strong=True)
        if panel.limits is not None:
            ax.set_xlim(*panel.limits)
        ax.set_xlabel(panel.label)
        letter(ax, index, panel.title)
    if names:
        filled_of = {name: filled for panel in panels for name, filled in panel.series.items()}
        handles = [
            Line2D([], [], ls="", marker="o", color=INK, mfc=INK if filled_of[name] else "white",
                   label=text)
            for name, text in names.items()
        ]  # fmt: skip
        legend_below(figure, handles, columns=len(handles))
    return figure
