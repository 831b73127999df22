"""Published replies drawn: who notices a missing premise and who says so; an intervention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.behavior.published.noticing import EARLY
from interp.figures.panels import gid, legend_below, letter, reference
from interp.figures.style import INK, PAGE_IN, Look, new_figure, styled


@dataclass(frozen=True)
class Part:
    """A part of a stacked bar: its measure, what it is called, and its colours."""

    measure: str
    label: str
    color: str
    ink: str = "white"


CELLS = (
    Part("noticed_abstains", "notices, abstains", "#265eba"),
    Part("noticed_answers", "notices, yet answers", "#bf3900"),
    Part("unnoticed_answers", "does not notice, answers", "#d9d4cc", INK),
    Part("unnoticed_abstains", "judged to abstain, notices nothing", "#a9c4ee", INK),
)
ENDINGS = (
    Part("abstain", "abstains in the box", "#265eba"),
    Part("unboxed", "finished without a box", "#a9c4ee", INK),
    Part("correct", "right answer", "#048654"),
    Part("wrong", "wrong answer", "#bf3900"),
    Part("cut_off", "cut off while thinking", "#d9d4cc", INK),
)
CHANGES = {
    "abstain": "abstains in the box",
    "abstain_any": "abstains, box or words",
    "correct": "right answer",
    "wrong": "wrong answer",
    "cut_off": "cut off",
    "answers_given_noticed": "answers, if it notices",
}
"""What is drawn of the changes; the last where noticing is right, on unanswerable problems."""
LENGTH_NOTE = "\n(by rule; long replies notice\nmore by chance)"
"""What noticing rests on: false alarms grow with length (`noticed_by_length`)."""
PROBLEMS = {True: "Unanswerable", False: "Answerable"}


@styled
def mip_figure(
    rates: pd.DataFrame,
    noticed: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    look: Look | None = None,
) -> Figure:
    """Draw abstention by model, what replies notice against what they conclude, and the ratio.

    Args:
        rates: as from `interp.behavior.published.mip.abstain_rates`.
        noticed: as from `interp.behavior.published.mip.noticed_and_concluded`.
        names: what to call the models, in order; by default as the tables do.
        look: not used; models here are no members of a lineage.

    Returns:
        A row a model, under a heading a dataset. Left: share that abstains as judged, and (open)
        without replies that box a number. Middle: the four cells of noticed and concluded. Right:
        share that answers of those that notice, and (open) of those that do so within their first
        words. 95% intervals. The axes say that long replies notice more by the rule's false alarms.
    """
    del look
    names = dict(names or {model: model for model in dict.fromkeys(rates["model"])})
    rows = _rows(rates, names)
    figure = new_figure(PAGE_IN, 1.0 + 0.185 * len(rows))
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.45, 1))
    for y, (keys, label) in enumerate(rows):
        if keys is None:
            left.annotate(
                label, xy=(0, y), xycoords=("axes fraction", "data"), xytext=(-4, 0),
                textcoords="offset points", ha="right", va="center", weight="bold", size=7,
            )  # fmt: skip
            continue
        here = _at(rates, keys).set_index("measure")
        cells, early = (
            _at(noticed[noticed["notice"] == notice], keys).set_index("measure")
            for notice in ("any", "early")
        )
        name = "|".join(keys)
        apart = 0.15 * (here.loc["boxed_given_abstains", "estimate"] > 0)
        _estimate(left, here.loc["abstains"], y - apart, INK, gid(name, "abstains", "all"))
        if apart:
            open_name = gid(name, "abstains_unboxed", "all")
            _estimate(left, here.loc["abstains_unboxed"], y + apart, "white", open_name)
        _stack(middle, cells, y, CELLS, name)
        if keys[1] == "missing":
            red = CELLS[1].color
            for table, shift, face, kind in (
                (cells, -0.15, red, "all"),
                (early, 0.15, "white", "early"),
            ):
                ratio_name = gid(name, "answers_given_noticed", kind)
                ratio = table.loc["answers_given_noticed"]
                _estimate(right, ratio, y + shift, face, ratio_name, color=red)
    left.set_yticks(
        [y for y, (keys, _) in enumerate(rows) if keys],
        [label for keys, label in rows if keys],
    )
    left.set_ylim(len(rows) - 0.4, -0.6)
    titles = ("Abstains", "Notices and concludes", "Answers, if it notices")
    for index, (ax, title) in enumerate(zip((left, middle, right), titles, strict=True)):
        _share_axis(ax)
        letter(ax, index, title)
    middle.set_xlabel(f"share of replies{LENGTH_NOTE}")
    right.set_xlabel(f"share of replies that notice{LENGTH_NOTE}")
    published = Line2D([], [], color=INK, marker="o", ms=3.6, lw=0.9, label="as judged")
    unboxed = Line2D(
        [], [], color=INK, marker="o", mfc="white", ms=3.6, lw=0.9, label="and boxes no number"
    )
    early_mark = Line2D(
        [], [], color=CELLS[1].color, marker="o", mfc="white", ms=3.6, lw=0.9,
        label=f"notices in its first {EARLY} words",
    )  # fmt: skip
    legend_below(figure, [published, unboxed, early_mark, *_patches(CELLS)], columns=3)
    return figure


@styled
def umwp_figure(
    outcomes: pd.DataFrame, changes: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw what becomes of traces without and with the intervention, and the paired changes.

    Args:
        outcomes: as from `interp.behavior.published.umwp.umwp_outcomes`.
        changes: as from `interp.behavior.published.umwp.umwp_changes`.
        look: not used.

    Returns:
        Left: stacked shares of all traces. Right: intervention minus plain on the same problems,
        of all (filled) and of those that neither cuts off (open), with 95% intervals.
    """
    del look
    figure = new_figure(PAGE_IN, 2.9)
    left, *right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    right[1].sharex(right[0])
    of_all = outcomes[outcomes["of"] == "all"]
    bars = [(due, arm) for due in PROBLEMS for arm in dict.fromkeys(of_all["arm"])]
    places = [y + 0.45 * (not due) for y, (due, _) in enumerate(bars)]
    for y, (due, arm) in zip(places, bars, strict=True):
        here = of_all[(of_all["arm"] == arm) & (of_all["should_abstain"] == due)]
        _stack(left, here.set_index("outcome"), y, ENDINGS, f"{due}|{arm}")
    left.set_yticks(places, [f"{PROBLEMS[due]}\n{arm}" for due, arm in bars])
    left.set_ylim(places[-1] + 0.55, -0.55)
    _share_axis(left)
    letter(left, 0, "What becomes of traces")
    labels = list(CHANGES.values())
    for index, (ax, due) in enumerate(zip(right, PROBLEMS, strict=True), start=1):
        _change_panel(ax, changes[changes["should_abstain"] == due], due)
        ax.set_yticks(range(len(CHANGES)), labels if index == 1 else [""] * len(labels))
        letter(ax, index, f"Change, {PROBLEMS[due].lower()}")
    marks = [
        Line2D([], [], color=INK, marker="o", mfc=face, ms=3.6, lw=0.9, label=label)
        for face, label in ((INK, "all problems"), ("white", "cut off in neither arm"))
    ]
    legend_below(figure, [*_patches(ENDINGS), *marks], columns=3)
    return figure


def _change_panel(ax: Axes, changes: pd.DataFrame, due: bool) -> None:
    for of, face, shift in (("all", INK, -0.13), ("completed", "white", 0.13)):
        here = changes[changes["of"] == of].set_index("outcome")
        for y, outcome in enumerate(CHANGES):
            # Who notices a gap where there is none should answer.
            shown = due or outcome != "answers_given_noticed"
            if shown and outcome in here.index:
                _estimate(ax, here.loc[outcome], y + shift, face, gid(str(due), outcome, of))
    reference(ax, 0.0, vertical=True, strong=True)
    ax.set_ylim(len(CHANGES) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("intervention \N{MINUS SIGN} plain")


def _rows(
    rates: pd.DataFrame, names: Mapping[str, str]
) -> list[tuple[tuple[str, str, str] | None, str]]:
    """Headings (without keys) and models in order, for each dataset that is there."""
    rows: list[tuple[tuple[str, str, str] | None, str]] = []
    for dataset, group in rates.groupby("dataset", sort=False):
        there = set(zip(group["arm"], group["model"], strict=True))
        rows.append((None, str(dataset).rpartition("/")[2]))
        for arm in dict.fromkeys(group["arm"]):
            note = " (nothing missing)" if arm == "whole" else ""
            rows += [
                ((str(dataset), arm, model), names[model] + note)
                for model in names
                if (arm, model) in there
            ]
    return rows


def _at(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    dataset, arm, model = keys
    return table[(table["dataset"] == dataset) & (table["arm"] == arm) & (table["model"] == model)]


def _estimate(
    ax: Axes, row: pd.Series, y: float, face: str, name: str, *, color: str = INK
) -> None:
    whisker = ax.hlines(y, row["lo"], row["hi"], color=color, lw=0.9)
    whisker.set_gid(f"{name}:interval")
    (point,) = ax.plot(
        row["estimate"], y, "o", color=color, mfc=face, mew=0.8, ms=3.6, zorder=4, clip_on=False
    )
    point.set_gid(name)


def _stack(ax: Axes, shares: pd.DataFrame, y: float, parts: Sequence[Part], name: str) -> None:
    start = 0.0
    for part in parts:
        if part.measure not in shares.index:
            continue
        width = float(shares.loc[part.measure, "estimate"])
        (bar,) = ax.barh(y, width, left=start, height=0.72, color=part.color, ec="white", lw=0.5)
        bar.set_gid(gid(name, part.measure, "all"))
        if width >= 0.07:
            ax.text(
                start + width / 2, y, f"{width:.2f}".removeprefix("0"), color=part.ink,
                ha="center", va="center", size=6,
            )  # fmt: skip
        start += width


def _share_axis(ax: Axes) -> None:
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_xlabel("share of replies")
    ax.tick_params(axis="y", length=0)


def _patches(parts: Sequence[Part]) -> list[Patch]:
    return [Patch(facecolor=part.color, label=part.label) for part in parts]
