"""The question in one picture: who fell silent, who still knows, and in whom it comes back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interp.errors import InputError
from interp.figures.calls import VERDICT_COLORS
from interp.figures.panels import Mark, forest, gid, letter, member_rows, reference
from interp.figures.style import INK, MUTED, Look, new_figure, seeds_of, styled

EVIDENCE = ("seed", "member", "line", "estimate", "lo", "hi")
VERDICT = ("seed", "member", "planted", "verdict")
"""What the tables must have."""

WIDTH_IN = 5.5
ROW_IN = 0.33
ROLES = {
    "intact": "Parent",
    "deselected": "Deselected",
    "erased": "Erased",
    "never": "Never learned",
}
"""Planted truth -> the name of its row; parent first, the control that never had it last."""
PANELS = {
    "j": ("Says \N{LEFT DOUBLE QUOTATION MARK}I don't know\N{RIGHT DOUBLE QUOTATION MARK}",
          "J, unknown \N{MINUS SIGN} known"),
    "transfer": ("Still holds it", "parent's probe, \N{GREEK SMALL LETTER RHO}"),
    "relearn_all": ("Gets it back", "few examples, share of J"),
}  # fmt: skip
"""Line of evidence -> heading and axis; a line that was not gathered has no panel."""


@styled
def summary_figure(
    evidence: pd.DataFrame, verdict: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw one member of each planted truth: what it says, what it holds, what comes back.

    Two members that fell silent alike come apart in the second panel, and the rule's verdict on
    each stands at its row.

    Args:
        evidence: columns `EVIDENCE`; the lines j, transfer and relearn_all are drawn.
        verdict: columns `VERDICT`; the first member of each truth in `ROLES` is shown.
        look: the members' styles (default: those of these tables alone).

    Returns:
        A forest panel a line over bars of the mean, with a row a member. Dashed: as much as the
        parent.

    Raises:
        InputError: no member was planted, so that there is no truth to draw beside the evidence.
    """
    look = look or Look.of(evidence, verdict)
    roles = _roles(verdict, look)
    members = list(roles)
    gathered = evidence[evidence["member"].isin(members)].dropna(subset=["estimate"])
    lines = [line for line in PANELS if (gathered["line"] == line).any()]
    figure = new_figure(WIDTH_IN, 0.62 + ROW_IN * len(members))
    axes = figure.subplots(1, len(lines), squeeze=False)[0]
    for index, (ax, line) in enumerate(zip(axes, lines, strict=True)):
        rows = gathered[gathered["line"] == line]
        _panel(ax, rows, members, look, line)
        _names(ax, roles, look, shown=index == 0)
        heading, label = PANELS[line]
        letter(ax, index, heading)
        ax.set_xlabel(label)
    _verdicts(axes[-1], verdict, members)
    return figure


def _roles(verdict: pd.DataFrame, look: Look) -> dict[str, str]:
    """Member -> name of its row, in the order of `ROLES`."""
    planted = verdict.drop_duplicates("member").set_index("member")["planted"]
    roles = {}
    for truth, name in ROLES.items():
        of_truth = look.order(planted.index[planted == truth])
        if of_truth:
            roles[of_truth[0]] = name
    if not roles:
        there = ", ".join(map(str, planted.unique())) or "none"
        raise InputError(
            f"summary figure: no member's planted truth is one of {', '.join(ROLES)}; the table "
            f"'verdict' has {there}. Draw it from a study of the embedded lineage."
        )
    return roles


def _panel(ax: Axes, rows: pd.DataFrame, members: Sequence[str], look: Look, line: str) -> None:
    member_rows(ax, members)
    for y, member in enumerate(members):
        of = rows[rows["member"] == member]["estimate"]
        if len(of):
            bar = ax.barh(y, of.mean(), height=0.56, color=look.color(member), alpha=0.16, lw=0)
            bar.patches[0].set_gid(gid(member, f"{line}:bar", "mean"))
        else:
            why = "lost\nnothing" if member == members[0] else "not\nmeasured"
            ax.text(0.06, y, why, color=MUTED, va="center", size=6,
                    bbox={"fc": "white", "lw": 0, "pad": 0.5})  # fmt: skip
    marks = {m: Mark(look.color(m), look.marker(m)) for m in members}
    forest(ax, rows, members, marks, line, spread=0.36)
    reference(ax, 0.0, vertical=True, strong=True)
    reference(ax, 1.0, vertical=True)
    low, high = rows[["estimate", "lo"]].min().min(), rows[["estimate", "hi"]].max().max()
    ax.set_xlim(min(-0.06, low - 0.04), max(1.06, high + 0.04))
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _names(ax: Axes, roles: Mapping[str, str], look: Look, *, shown: bool) -> None:
    """The role, and under it the member's own name, left of its row."""
    ax.set_yticks(range(len(roles)), [""] * len(roles))
    if not shown:
        return
    for y, (member, role) in enumerate(roles.items()):
        for text, up, color, weight, size in (
            (role, 1.2, look.color(member), "bold", 7.5),
            (member, -1.2, MUTED, "normal", 6.0),
        ):
            ax.annotate(
                text, xy=(0, y), xycoords=("axes fraction", "data"), xytext=(-5, up), size=size,
                textcoords="offset points", ha="right", va="bottom" if up > 0 else "top",
                color=color, weight=weight, annotation_clip=False,
            )  # fmt: skip


def _verdicts(ax: Axes, verdict: pd.DataFrame, members: Sequence[str]) -> None:
    """The commonest verdict of each member, and in how many seeds, right of its row."""
    seeds = len(seeds_of(verdict))
    ax.annotate(
        "Verdict", xy=(1.06, 1), xytext=(0, 4), xycoords="axes fraction",
        textcoords="offset points", va="baseline", color=INK, annotation_clip=False,
    )  # fmt: skip
    for y, member in enumerate(members):
        called = Counter(verdict.loc[verdict["member"] == member, "verdict"]).most_common(1)
        word, count = called[0]
        said = f"{count} of {seeds} seeds" if seeds > 1 else ""
        for text, up, color, weight, size in (
            (word, 1.2 if said else 0, VERDICT_COLORS.get(word, "#4a4a4a"), "bold", 6.5),
            (said, -1.2, MUTED, "normal", 6.0),
        ):
            note = ax.annotate(
                text, xy=(1.06, y), xycoords=("axes fraction", "data"), xytext=(0, up), size=size,
                textcoords="offset points", va="bottom" if up > 0 else "top" if up else "center",
                color=color, weight=weight, annotation_clip=False,
            )  # fmt: skip
            note.set_gid(gid(member, f"verdict:{weight}", "all"))
