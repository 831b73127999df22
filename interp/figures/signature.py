"""The signature of each training objective as a table of colours: objectives by measures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from interp.figures.calls import VERDICT_COLORS
from interp.figures.panels import gid
from interp.figures.signature_columns import HEADINGS, SHOWN, Column
from interp.figures.signature_key import CHIP_IN, CODES, DIVERGING, PLAIN, draw_key, key_in
from interp.figures.style import (
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

COLUMNS = ("seed", "member", "group", "measure", "estimate", "lo", "hi", "text")
BASE, STATED = "base", "stated"
"""The centre of the colours; where the base states nothing, the member that learned to."""
SEQUENTIAL = LinearSegmentedColormap.from_list("none_all", ["#ffffff", "#8fb8a4"])
LEAST = 0.2
"""The smallest distance that gets a column's full colour: noise is to stay pale."""
ROW_IN, HEAD_IN, GAP_IN = 0.225, 0.55, 0.04
LEAST_IN = 0.31
"""Width of a column below which numbers run into each other; groups then stand in bands."""


@styled
def signature_figure(
    signature: pd.DataFrame, verdict: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw members by measures: the mean over seeds, and beneath it the range of the seeds.

    Behaviour and calibration are coloured by how far they lie above (blue) or below the base
    (orange), as a share of the largest distance in the column; the other columns from none (white)
    to the most. A chip for each seed has its verdict.

    Args:
        signature: columns `COLUMNS`.
        verdict: columns seed, member, verdict.
        look: the members' styles (default: those of this table alone).
    """
    look = look or Look.of(verdict, signature)
    look = Look({**Look.of(verdict, signature).styles, **look.styles})
    members = look.order([*signature["member"], *verdict["member"]])
    measured = set(zip(signature["group"], signature["measure"], strict=True))
    shown = [column for column in SHOWN if (column.group, column.measure) in measured]
    seeds = seeds_of(pd.concat([signature[["seed"]], verdict[["seed"]]]))
    names_in = 0.06 + 0.053 * max(map(len, members))
    chips_in = 0.06 + CHIP_IN * max(3, len(seeds))
    page = page_in() / type_scale()
    groups = [list(columns) for _, columns in groupby(shown, lambda column: column.group)]
    bands = _bands(groups, page - names_in, chips_in)
    band_in = HEAD_IN + ROW_IN * len(members)
    words = {word: CODES[word] for word in CODES if word in set(verdict["verdict"])}
    height = band_in * len(bands) + key_in(words, page, names_in)
    figure = new_figure(PAGE_IN, height * type_scale(), layout=None)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, page), ylim=(height, 0))
    ax.set_axis_off()
    widths = [_width(band, page - names_in, chips_in * last) for band, last in bands]
    for at, (band, last) in enumerate(bands):
        top, width = band_in * at, min(widths)
        _rows(ax, members, top, page)
        x = names_in
        for columns in band:
            start = x
            for column in columns:
                _column(ax, signature, column, members, x, width * column.room, top)
                x += width * column.room
            _heading(ax, HEADINGS.get(columns[0].group, columns[0].group), start, x, top)
            x += GAP_IN
        if last:
            _heading(ax, "verdict", x + 0.02, x + 0.02 + CHIP_IN * len(seeds), top)
            _verdicts(ax, verdict, members, seeds, x + 0.02, top)
        for y in (top + HEAD_IN, top + band_in):
            ax.plot([0.04, page - 0.04], [y, y], color=INK, lw=0.8)
    draw_key(ax, words, band_in * len(bands) + 0.14, names_in, page)
    return figure


def _width(groups: Sequence[Sequence[Column]], room: float, chips_in: float) -> float:
    """Of one column, where so many inches are left of the names and the chips."""
    columns = sum(column.room for group in groups for column in group)
    return min((room - chips_in - GAP_IN * len(groups)) / max(columns, 1), 0.5)


def _bands(
    groups: Sequence[Sequence[Column]], room: float, chips_in: float
) -> list[tuple[list[Sequence[Column]], bool]]:
    """Groups beside each other as long as their columns can be read, and whether chips follow."""
    least = LEAST_IN / type_scale()  # the smallest type is held up by the floor
    if _width(groups, room, chips_in) >= least:
        return [(list(groups), True)]
    bands: list[list[Sequence[Column]]] = [[]]
    for group in groups:
        if bands[-1] and _width([*bands[-1], group], room, 0.0) < least:
            bands.append([])
        bands[-1].append(group)
    if _width(bands[-1], room, chips_in) < least:
        bands.append([])
    return [(band, at == len(bands) - 1) for at, band in enumerate(bands)]


def _rows(ax: Axes, members: Sequence[str], top: float, page: float) -> None:
    for index, member in enumerate(members):
        y = top + HEAD_IN + ROW_IN * (index + 0.5)
        ax.text(0.04, y, member, va="center", size=6.5)
        if index:
            ax.plot([0.04, page - 0.04], [y - ROW_IN / 2] * 2, color="#eeeeee", lw=0.4)


def _heading(ax: Axes, words: str, start: float, end: float, top: float) -> None:
    ax.text((start + end) / 2, top + 0.15, words, ha="center", va="bottom", weight="bold", size=6.2)
    ax.plot([start + 0.02, end - 0.02], [top + 0.18] * 2, color=INK, lw=0.6)


def _column(
    ax: Axes,
    signature: pd.DataFrame,
    column: Column,
    members: Sequence[str],
    x: float,
    width: float,
    top: float,
) -> None:
    mine = signature["group"].eq(column.group) & signature["measure"].eq(column.measure)
    rows = signature[mine & signature["estimate"].notna()]
    ax.text(x + width / 2, top + HEAD_IN - 0.05, column.name, ha="center", va="bottom", size=6.2,
            linespacing=1.0)  # fmt: skip
    values = {str(member): of.to_numpy(float) for member, of in rows.groupby("member")["estimate"]}
    means = {member: float(found.mean()) for member, found in values.items()}
    finite = [mean for mean in means.values() if np.isfinite(mean)]
    base = means.get(BASE, means.get(STATED, float("nan"))) if column.from_base else 0.0
    furthest = max((abs(mean - base) for mean in finite), default=0.0)
    furthest = max(furthest, LEAST) if furthest > 0 else 0.0
    for index, member in enumerate(members):
        y = top + HEAD_IN + ROW_IN * index
        if member not in means:
            ax.text(x + width / 2, y + ROW_IN / 2, "\N{EN DASH}", size=6, color=MUTED,
                    ha="center", va="center")  # fmt: skip
            continue
        box = Rectangle((x + 0.01, y + 0.01), width - 0.02, ROW_IN - 0.02, lw=0,
                        fc=_color(means[member], base, furthest, column))  # fmt: skip
        box.set_gid(gid(member, f"{column.group}:{column.measure}", "mean"))
        ax.add_patch(box)
        ax.text(x + width / 2, y + 0.075, _short(means[member], column.digits), size=7,
                ha="center", va="center")  # fmt: skip
        ax.text(x + width / 2, y + 0.167, _range(values[member], column.digits), size=6,
                ha="center", va="center", color="#333333")  # fmt: skip


def _color(mean: float, base: float, furthest: float, column: Column) -> tuple[float, ...]:
    if not np.isfinite([mean, base]).all() or not furthest > 0:
        return (1.0, 1.0, 1.0, 1.0)
    share = (mean - base) / furthest
    if column.from_base:
        return tuple(DIVERGING(0.5 + 0.4 * share))
    return tuple(SEQUENTIAL(max(share, 0.0)))


def _short(value: float, digits: int) -> str:
    """A number without the zero before its point, with a true minus sign."""
    if not np.isfinite(value):
        return "none" if value > 0 else "\N{EN DASH}"
    text = f"{abs(value):.{digits}f}"
    minus = "\N{MINUS SIGN}" if value < 0 and float(text) else ""
    # 1.00 stands in the room of .94.
    return minus + (text[1:] if text.startswith("0.") else "1.0" if text == "1.00" else text)


def _range(values_S: np.ndarray, digits: int) -> str:
    """From the lowest to the highest seed; nothing for a single one."""
    if len(values_S) < 2 or np.isinf(values_S).all():
        return ""
    low, high = (_short(float(end), digits) for end in (values_S.min(), values_S.max()))
    return low if low == high else f"{low}\N{EN DASH}{high}"


def _verdicts(
    ax: Axes,
    verdict: pd.DataFrame,
    members: Sequence[str],
    seeds: Sequence[int],
    x: float,
    top: float,
) -> None:
    called = {(row.member, row.seed): str(row.verdict) for row in verdict.itertuples()}
    for column, seed in enumerate(seeds):
        at = x + CHIP_IN * column
        ax.text(at + CHIP_IN / 2, top + HEAD_IN - 0.05, str(seed), size=6, color=MUTED, ha="center",
                va="bottom", rotation=90 if len(str(seed)) > 2 else 0)  # fmt: skip
        for index, member in enumerate(members):
            word = called.get((member, seed))
            if word is None:
                continue
            y = top + HEAD_IN + ROW_IN * index
            chip = Rectangle((at + 0.008, y + 0.035), CHIP_IN - 0.016, ROW_IN - 0.07, lw=0,
                             fc=VERDICT_COLORS.get(word, PLAIN))  # fmt: skip
            chip.set_gid(gid(member, f"verdict:{word}", seed))
            ax.add_patch(chip)
            ax.text(at + CHIP_IN / 2, y + ROW_IN / 2, CODES.get(word, "?"), size=6.5,
                    color="white", weight="bold", ha="center", va="center")  # fmt: skip
