"""The signature of each training objective as a table of colours: objectives by measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from interp.figures.calls import VERDICT_COLORS
from interp.figures.panels import gid
from interp.figures.style import FAINT, INK, MUTED, PAGE_IN, Look, new_figure, seeds_of, styled

COLUMNS = ("seed", "member", "group", "measure", "estimate", "lo", "hi", "text")
BASE, STATED = "base", "stated"
"""The centre of the colours; where the base states nothing, the member that learned to."""
DIVERGING = LinearSegmentedColormap.from_list("below_above", ["#d9822b", "#ffffff", "#3d7ebf"])
SEQUENTIAL = LinearSegmentedColormap.from_list("none_all", ["#ffffff", "#8fb8a4"])
CODES = {
    "DESELECTED": "D", "ERASED": "E", "REPURPOSED": "R", "ATTENUATED": "A", "NEVER-LATENT": "N",
    "KNOWLEDGE-DRIVEN": "K", "NO-EFFECT": "0", "INCONCLUSIVE": "?", "SUITE NOT VALID": "!",
}  # fmt: skip
PLAIN = "#8a8a8a"
LEAST = 0.2
"""The smallest distance that gets a column's full colour: noise is to stay pale."""
ROW_IN, HEAD_IN, KEY_IN, CHIP_IN, GAP_IN = 0.225, 0.55, 0.46, 0.14, 0.04


@dataclass(frozen=True)
class Column:
    """One measure.

    Attributes:
        group: as in the table.
        measure: as in the table.
        name: heading.
        digits: decimals of its numbers.
        from_base: coloured by its difference from the base.
        room: width, in those of a column whose numbers are like .42.
    """

    group: str
    measure: str
    name: str
    digits: int = 2
    from_base: bool = True
    room: float = 1.0


SHOWN = (
    Column("behaviour", "recall", "recall"),
    Column("behaviour", "over_abstention", "over-\nabst."),
    Column("behaviour", "accuracy", "accu-\nracy"),
    Column("behaviour", "dprime", "d\N{PRIME}", 1, room=1.1),
    Column("behaviour", "criterion", "c", 1, room=1.4),
    Column("sequence probability", "ece", "ECE"),
    Column("sequence probability", "auroc", "AUC"),
    Column("min probability", "auroc", "AUC"),
    Column("stated", "ece", "ECE"),
    Column("stated", "auroc", "AUC"),
    Column("layers", "change_centre", "centre", 1, from_base=False, room=0.95),
    Column("layers", "half_lost_at", "half\nlost", 0, from_base=False, room=1.1),
    Column("relearning", "32, all", "32,\nall", from_base=False),
    Column("relearning", "32, upper", "32,\nupper", from_base=False),
    Column("relearning", "examples_to_half", "to\nhalf", 0, from_base=False, room=1.2),
)
"""Measures of the figure; the table has more (Brier scores, other doses and confidences)."""
HEADINGS = {
    "behaviour": "behaviour",
    "sequence probability": "sequence p",
    "min probability": "least p",
    "stated": "stated",
    "layers": "layers",
    "relearning": "relearning",
}


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
    breaks = sum(1 for _ in groupby(shown, lambda column: column.group))
    room = sum(column.room for column in shown)
    width = min((PAGE_IN - names_in - chips_in - GAP_IN * breaks) / max(room, 1), 0.5)
    height = HEAD_IN + ROW_IN * len(members) + KEY_IN
    figure = new_figure(PAGE_IN, height, layout=None)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, PAGE_IN), ylim=(height, 0))
    ax.set_axis_off()
    for index, member in enumerate(members):
        y = HEAD_IN + ROW_IN * (index + 0.5)
        ax.text(0.04, y, member, va="center", size=6.5)
        if index:
            ax.plot([0.04, PAGE_IN - 0.04], [y - ROW_IN / 2] * 2, color="#eeeeee", lw=0.4)
    x = names_in
    for group, columns in groupby(shown, lambda column: column.group):
        start = x
        for column in columns:
            _column(ax, signature, column, members, x, width * column.room)
            x += width * column.room
        _heading(ax, HEADINGS.get(group, group), start, x)
        x += GAP_IN
    _heading(ax, "verdict", x + 0.02, x + 0.02 + CHIP_IN * len(seeds))
    _verdicts(ax, verdict, members, seeds, x + 0.02)
    for y in (HEAD_IN, HEAD_IN + ROW_IN * len(members)):
        ax.plot([0.04, PAGE_IN - 0.04], [y, y], color=INK, lw=0.8)
    _key(ax, verdict, HEAD_IN + ROW_IN * len(members) + 0.14, names_in)
    return figure


def _heading(ax: Axes, words: str, start: float, end: float) -> None:
    ax.text((start + end) / 2, 0.15, words, ha="center", va="bottom", weight="bold", size=6.2)
    ax.plot([start + 0.02, end - 0.02], [0.18, 0.18], color=INK, lw=0.6)


def _column(
    ax: Axes,
    signature: pd.DataFrame,
    column: Column,
    members: Sequence[str],
    x: float,
    width: float,
) -> None:
    mine = signature["group"].eq(column.group) & signature["measure"].eq(column.measure)
    rows = signature[mine & signature["estimate"].notna()]
    ax.text(x + width / 2, HEAD_IN - 0.05, column.name, ha="center", va="bottom", size=6.2,
            linespacing=1.0)  # fmt: skip
    values = {str(member): of.to_numpy(float) for member, of in rows.groupby("member")["estimate"]}
    means = {member: float(found.mean()) for member, found in values.items()}
    finite = [mean for mean in means.values() if np.isfinite(mean)]
    base = means.get(BASE, means.get(STATED, float("nan"))) if column.from_base else 0.0
    furthest = max((abs(mean - base) for mean in finite), default=0.0)
    furthest = max(furthest, LEAST) if furthest > 0 else 0.0
    for index, member in enumerate(members):
        y = HEAD_IN + ROW_IN * index
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
    ax: Axes, verdict: pd.DataFrame, members: Sequence[str], seeds: Sequence[int], x: float
) -> None:
    called = {(row.member, row.seed): str(row.verdict) for row in verdict.itertuples()}
    for column, seed in enumerate(seeds):
        at = x + CHIP_IN * column
        ax.text(at + CHIP_IN / 2, HEAD_IN - 0.05, str(seed), size=6, color=MUTED, ha="center",
                va="bottom", rotation=90 if len(str(seed)) > 2 else 0)  # fmt: skip
        for index, member in enumerate(members):
            word = called.get((member, seed))
            if word is None:
                continue
            y = HEAD_IN + ROW_IN * index
            chip = Rectangle((at + 0.008, y + 0.035), CHIP_IN - 0.016, ROW_IN - 0.07, lw=0,
                             fc=VERDICT_COLORS.get(word, PLAIN))  # fmt: skip
            chip.set_gid(gid(member, f"verdict:{word}", seed))
            ax.add_patch(chip)
            ax.text(at + CHIP_IN / 2, y + ROW_IN / 2, CODES.get(word, "?"), size=6.5,
                    color="white", weight="bold", ha="center", va="center")  # fmt: skip


def _key(ax: Axes, verdict: pd.DataFrame, y: float, x: float) -> None:
    """What the colours and the letters mean."""
    steps = np.linspace(-1, 1, 21)
    ax.text(x, y, "below base", size=6, va="center", ha="left", color=MUTED)
    start = x + 0.55
    for index, step in enumerate(steps):
        ax.add_patch(Rectangle((start + 0.04 * index, y - 0.045), 0.041, 0.09, lw=0,
                               fc=DIVERGING(0.5 + 0.4 * step)))  # fmt: skip
    ax.add_patch(Rectangle((start, y - 0.045), 0.84, 0.09, fill=False, ec=FAINT, lw=0.4))
    ax.text(start + 0.89, y, "above base, by the column's largest distance; second line: lowest to "
            "highest seed", size=6, va="center", color=MUTED)  # fmt: skip
    at = x
    for word in [name for name in CODES if name in set(verdict["verdict"])]:
        ax.add_patch(Rectangle((at, y + 0.13), CHIP_IN, 0.14, lw=0,
                               fc=VERDICT_COLORS.get(word, PLAIN)))  # fmt: skip
        ax.text(at + CHIP_IN / 2, y + 0.2, CODES[word], size=6, color="white", weight="bold",
                ha="center", va="center")  # fmt: skip
        said = word.lower().replace("-", " ")
        ax.text(at + CHIP_IN + 0.04, y + 0.2, said, size=6, va="center")
        at += CHIP_IN + 0.14 + 0.05 * len(said)
