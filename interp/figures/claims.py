"""A claim as a forest: every seed and their mean against the threshold, and the call."""

from __future__ import annotations

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from interp.errors import InputError
from interp.figures.calls import number
from interp.figures.panels import Mark, forest, gid, member_rows, reference
from interp.figures.style import (
    INK,
    MUTED,
    PAGE_IN,
    Look,
    new_figure,
    page_in,
    styled,
    type_scale,
)

COLUMNS = (
    "claim", "objective", "against", "statistic", "mode", "seed", "estimate", "lo", "hi",
    "threshold", "side", "call", "sentence", "decides",
)  # fmt: skip
CALL_COLORS = {
    "holds": "#1f5f9e",
    "does not hold": "#a83a17",
    "undecided": "#6b6b6b",
    "not applicable": "#6b6b6b",
}
HOLDS_SIDE = "#dceaf6"
MODES = {"cot": "chain of thought", "direct": "direct answer"}
ALL_SEEDS = "all"
CALLS_IN, ROW_IN, HEAD_IN, FOOT_IN = 1.35, 0.3, 0.42, 0.45
LINE_IN = 0.14
"""Each further line of the sentence above or of the label below."""
LETTER_IN = 0.057
"""A letter's width, more or less."""
LEAST_IN = 1.6
"""Room that estimates need; with less, the names stand in two lines."""


@styled
def claims_figure(claims: pd.DataFrame, claim: str, *, look: Look | None = None) -> Figure:
    """Draw one claim, a row an objective and mode of asking.

    Pale: each seed with its 95% interval. In front: the mean over seeds with the pooled interval.
    The shaded side of the threshold is where the claim holds. Rows that do not decide have open
    marks and their call in plain type.

    Args:
        claims: columns `COLUMNS`.
        claim: its id.
        look: the members' styles (default: those of this table alone).

    Raises:
        InputError: the table has no such claim.
    """
    rows = claims[claims["claim"] == claim].copy()
    if rows.empty:
        there = ", ".join(claims["claim"].unique()) or "none"
        raise InputError(f"claims figure: no claim '{claim}' in the table; it has {there}")
    look = look or Look.of(claims.rename(columns={"objective": "member"}))
    look = Look({**Look.of(rows.rename(columns={"objective": "member"})).styles, **look.styles})
    rows["mode"] = rows["mode"].fillna("")  # as a CSV file gives it back
    rows["label"] = rows["objective"].str.replace("_", " ") + rows["mode"].map(_asked)
    overall = rows[rows["seed"] == ALL_SEEDS].set_index("label")
    by_seed = rows[rows["seed"] != ALL_SEEDS].rename(columns={"label": "member"})
    counted = {end: by_seed[end].fillna(by_seed["estimate"]) for end in ("lo", "hi")}
    by_seed = by_seed.astype({"seed": int}).assign(**counted)
    labels = list(overall.index)
    page, names = page_in() / type_scale(), labels
    if page - CALLS_IN - _names_in(names) < LEAST_IN:
        names = [label.replace(", ", ",\n") for label in labels]
    names_in = _names_in(names)
    sentence = overall["sentence"].iloc[0].split(":")[0].split(" (")[0]
    said = wrap(sentence, int(page / LETTER_IN * 0.8))
    against = overall["against"].iloc[0].replace("_", " ")
    label = f"{overall['statistic'].iloc[0]}{_held(against, rows)}"
    middle = (names_in + page - CALLS_IN) / 2
    below = wrap(label, int(2 * min(middle, page - middle) / LETTER_IN))
    foot = FOOT_IN + LINE_IN * (len(below) - 1)
    head = HEAD_IN + LINE_IN * (len(said) - 1)
    height = head + ROW_IN * len(labels) + foot
    figure = new_figure(PAGE_IN, height * type_scale(), layout=None)
    ax = figure.add_axes(
        (names_in / page, foot / height, 1 - (names_in + CALLS_IN) / page,
         ROW_IN * len(labels) / height)
    )  # fmt: skip
    member_rows(ax, labels)
    ax.set_yticks(range(len(names)), names)
    marks = {
        label: Mark(look.color(row["objective"]), look.marker(row["objective"]),
                    filled=bool(row["decides"]))
        for label, row in overall.iterrows()
    }  # fmt: skip
    if len(by_seed):
        forest(ax, by_seed, labels, marks, claim, spread=0.5)
    _pooled(ax, overall, marks, claim)
    _threshold(ax, rows)
    _calls(ax, overall)
    ax.set_xlabel("\n".join(below))
    figure.text(0.01, 1 - 0.09 / height, "\n".join(said), weight="bold", va="top", size=8)
    return figure


def _names_in(names: list[str]) -> float:
    """Room for the rows' names, by the longest line."""
    return 0.2 + LETTER_IN * max(len(line) for name in names for line in name.split("\n"))


def _asked(mode: str) -> str:
    return f", {MODES.get(mode, mode)}" if mode else ""


def _held(against: str, rows: pd.DataFrame) -> str:
    """What the difference is from; shares and counts are from nothing."""
    differs = rows["mode"].ne("").all() and not rows["statistic"].str.startswith("share").any()
    return f", difference from {against}" if differs else ""


def _pooled(ax: Axes, overall: pd.DataFrame, marks: dict[str, Mark], claim: str) -> None:
    for y, (label, row) in enumerate(overall.iterrows()):
        mark = marks[str(label)]
        if np.isfinite([row["lo"], row["hi"]]).all():
            whisker = ax.hlines(y, row["lo"], row["hi"], color=mark.color, lw=1.6, zorder=3.5)
            whisker.set_gid(gid(str(label), f"{claim}:interval", ALL_SEEDS))
        if np.isfinite(row["estimate"]):
            (point,) = ax.plot(
                row["estimate"], y, mark.marker, color=mark.color, mfc=mark.face, ms=5, mew=1,
                zorder=5, clip_on=False,
            )  # fmt: skip
            point.set_gid(gid(str(label), claim, ALL_SEEDS))


def _threshold(ax: Axes, rows: pd.DataFrame) -> None:
    at, side = float(rows["threshold"].iloc[0]), rows["side"].iloc[0]
    seen = rows[["estimate", "lo", "hi"]].to_numpy(float)
    seen = np.concatenate([seen[np.isfinite(seen)], [at, 0.0]])
    room = 0.08 * max(np.ptp(seen), 0.1)
    low, high = float(seen.min() - room), float(seen.max() + room)
    ax.set_xlim(low, high)
    band = (at, high) if side == "above" else (low, at)
    ax.axvspan(*band, color=HOLDS_SIDE, lw=0, zorder=-1)
    reference(ax, 0.0, vertical=True)
    ax.axvline(at, color=INK, lw=0.8, ls=(0, (4, 2)), zorder=0.6)
    shift = 3 if side == "above" else -3
    ax.annotate(
        f"holds {side} {number(at)}", xy=(at, 1), xycoords=ax.get_xaxis_transform(),
        xytext=(shift, 2), textcoords="offset points", size=6, color=MUTED,
        ha="left" if side == "above" else "right", va="bottom",
    )  # fmt: skip


def _calls(ax: Axes, overall: pd.DataFrame) -> None:
    """The pooled numbers and the call, right of each row."""
    at = blended_transform_factory(ax.transAxes, ax.transData)
    for y, (label, row) in enumerate(overall.iterrows()):
        limits = f" [{number(row['lo'])}, {number(row['hi'])}]" if np.isfinite(row["lo"]) else ""
        text = ax.text(
            1.02, y - 0.17, row["call"], transform=at, va="center",
            weight="bold" if row["decides"] else "normal", color=CALL_COLORS[row["call"]],
        )  # fmt: skip
        text.set_gid(gid(str(label), "call", ALL_SEEDS))
        ax.text(
            1.02, y + 0.22, f"{number(row['estimate'])}{limits}", transform=at, va="center",
            size=6, color="#333333",
        )  # fmt: skip
