"""The verdict as a table: members by lines of evidence, planted truth and the call."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from interp.figures.calls import (
    CALL_COLORS,
    VERDICT_COLORS,
    cutoffs,
    line_label,
    lines_of,
    number,
)
from interp.figures.panels import gid
from interp.figures.style import (
    FAINT,
    INK,
    MUTED,
    PAGE_IN,
    Look,
    new_figure,
    page_in,
    seeds_of,
    styled,
    type_scale,
)

ROW_IN = 0.28
LINE_MIN_IN = 0.6
PRINTED_MIN_IN = 0.66
LINE_MAX_IN = 1.05
OUTCOME_IN = 2.2
"""Planted truth and verdict."""
FEWEST = 3
"""With room for fewer lines beside the outcome, the outcome stands below."""


@styled
def verdict_figure(
    evidence: pd.DataFrame, verdict: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw the deciding lines of evidence, the planted truth and the verdict as one table.

    Args:
        evidence: columns seed, member, line, estimate, lo, hi, cut_gone, cut_there, call, decides.
        verdict: columns seed, member, parent, planted, verdict.
        look: the members' styles (default: those of these tables alone).

    Returns:
        One row per member and seed; a cell's colour is its call.
    """
    look = look or Look.of(evidence, verdict)
    rows = _rows(verdict, look)
    outcome = {(r.member, r.seed): (str(r.planted), str(r.verdict)) for r in verdict.itertuples()}
    return _table(evidence, lines_of(evidence, decides=True), rows, look, outcome)


@styled
def support_figure(evidence: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw the lines of evidence that support but do not decide, as a table.

    Args:
        evidence: as in `verdict_figure`.
        look: the members' styles (default: those of this table alone).
    """
    look = look or Look.of(evidence)
    return _table(evidence, lines_of(evidence, decides=False), _rows(evidence, look), look, None)


def _rows(frame: pd.DataFrame, look: Look) -> list[tuple[str, int]]:
    pairs = set(zip(frame["member"], frame["seed"], strict=True))
    return [(m, s) for m in look.order(frame["member"]) for s in seeds_of(frame) if (m, s) in pairs]


def _table(
    evidence: pd.DataFrame,
    lines: list[str],
    rows: list[tuple[str, int]],
    look: Look,
    outcome: dict[tuple[str, int], tuple[str, str]] | None,
) -> Figure:
    if not lines:
        figure = new_figure(PAGE_IN, 0.4, layout=None)
        figure.text(0.01, 0.5, "No such line of evidence in this run.", va="center")
        return figure
    many = len({seed for _, seed in rows}) > 1
    names_in = 0.36 + 0.062 * max(len(member) for member, _ in rows)
    left = names_in + (0.4 if many else 0.0)
    page = page_in() / type_scale()
    right = OUTCOME_IN if outcome is not None else 0.0
    # In a paper the smallest type is held up by the floor, and takes more of the width.
    least = LINE_MIN_IN if page_in() == PAGE_IN else PRINTED_MIN_IN / type_scale()
    beside = page - left - right >= least * min(FEWEST, len(lines))
    room = page - left - (right if beside else 0.0)
    per_block = max(1, int(room / least))
    blocks = [lines[i : i + per_block] for i in range(0, len(lines), per_block)]
    width = min(LINE_MAX_IN, room / len(blocks[0]))
    if not beside and outcome is not None:
        blocks.append([])
    names = {line: wrap(line_label(line), max(9, int(width * 15))) for line in lines}
    header = 0.36 + 0.11 * max(len(name) for name in names.values())
    height = len(blocks) * (header + ROW_IN * len(rows)) + 0.3
    right = right if beside else 0.0
    figure = new_figure(left + width * len(blocks[0]) + right, height * type_scale(), layout=None)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, figure.get_figwidth() / type_scale()), ylim=(height, 0))
    ax.set_axis_off()
    top = 0.0
    for block in blocks:
        top += header
        _stubs(ax, rows, look, top, names_in + 0.18 if many else None)
        for column, line in enumerate(block):
            chosen = evidence[evidence["line"] == line]
            _line_column(ax, chosen, names[line], rows, left + column * width, top, width)
        end = left + len(block) * width
        if outcome is not None and (beside or not block):
            _outcome(ax, rows, outcome, end, top)
        reach = end + right - 0.04 if block else page - 0.04
        for y in (top, top + ROW_IN * len(rows)):
            ax.plot([0.04, reach], [y, y], color=INK, lw=0.8, clip_on=False)
        top += ROW_IN * len(rows)
    if evidence.loc[evidence["line"].isin(lines), "call"].isin(list(CALL_COLORS)).any():
        _key(ax, left, top + 0.17)
    return figure


def _stubs(
    ax: Axes, rows: list[tuple[str, int]], look: Look, top: float, seed_at: float | None
) -> None:
    ax.text(0.08, top - 0.07, "member", weight="bold", va="bottom")
    if seed_at is not None:
        ax.text(seed_at, top - 0.07, "seed", weight="bold", va="bottom", ha="center")
    for index, (member, seed) in enumerate(rows):
        y = top + ROW_IN * (index + 0.5)
        first = index == 0 or rows[index - 1][0] != member
        if first:
            ax.plot(0.14, y, look.marker(member), color=look.color(member), ms=4)
            ax.text(0.25, y, member, va="center")
        if seed_at is not None:
            ax.text(seed_at, y, str(seed), va="center", ha="center", color=MUTED)
        if index and first:
            ax.axhline(top + ROW_IN * index, color=FAINT, lw=0.5, zorder=3)


def _line_column(
    ax: Axes,
    chosen: pd.DataFrame,
    name: list[str],
    rows: list[tuple[str, int]],
    x: float,
    top: float,
    width: float,
) -> None:
    ax.text(
        x + width / 2,
        top - 0.29,
        "\n".join(name),
        weight="bold",
        va="bottom",
        ha="center",
        size=6.5,
    )
    ax.text(
        x + width / 2, top - 0.05, cutoffs(chosen), va="bottom", ha="center", size=6,
        color=MUTED, linespacing=1.05,
    )  # fmt: skip
    cells = {(r.member, r.seed): r for r in chosen.itertuples()}
    for index, key in enumerate(rows):
        y = top + ROW_IN * index
        cell = cells.get(key)
        call = "undefined" if cell is None else str(cell.call)
        box = Rectangle(
            (x + 0.015, y + 0.012), width - 0.03, ROW_IN - 0.024, lw=0,
            fc=CALL_COLORS.get(call, "white"),
        )  # fmt: skip
        box.set_gid(gid(key[0], f"call:{call}", key[1]))
        ax.add_patch(box)
        if cell is None or not np.isfinite(cell.estimate):
            why = "not measured" if cell is None else "undefined"
            ax.text(x + width / 2, y + ROW_IN / 2, why, size=6, color=MUTED,
                    ha="center", va="center")  # fmt: skip
            continue
        ax.text(x + width / 2, y + 0.105, number(cell.estimate), ha="center", va="center")
        ax.text(x + width / 2, y + 0.205, f"{number(cell.lo)} to {number(cell.hi)}", size=6,
                ha="center", va="center", color="#333333")  # fmt: skip


def _outcome(
    ax: Axes,
    rows: list[tuple[str, int]],
    outcome: dict[tuple[str, int], tuple[str, str]],
    x: float,
    top: float,
) -> None:
    ax.text(x + 0.12, top - 0.07, "planted", weight="bold", va="bottom")
    ax.text(x + 1.02, top - 0.07, "verdict", weight="bold", va="bottom")
    for index, key in enumerate(rows):
        planted, verdict = outcome[key]
        y = top + ROW_IN * (index + 0.5)
        ax.text(x + 0.12, y, planted.replace("_", " "), va="center", color=MUTED)
        text = ax.text(
            x + 1.02, y, verdict, va="center", weight="bold", size=6.5,
            color=VERDICT_COLORS.get(verdict, "#4a4a4a"),
        )  # fmt: skip
        text.set_gid(gid(key[0], "verdict", key[1]))


def _key(ax: Axes, x: float, y: float) -> None:
    for index, call in enumerate(("there", "between", "gone")):
        at = x + 0.03 + index * 0.75
        ax.add_patch(Rectangle((at, y - 0.055), 0.16, 0.11, fc=CALL_COLORS[call], lw=0))
        ax.text(at + 0.21, y, call, va="center")
