"""The layer claim beside what it is made of: information, change and causal effect by depth."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from interp.figures.panels import Mark, curve, gid, layer_ticks, legend_below, letter, reference
from interp.figures.probes import name_row
from interp.figures.style import (
    INK,
    MUTED,
    NULL,
    PAGE_IN,
    Look,
    new_figure,
    page_in,
    seeds_of,
    styled,
)

CURVES = ("seed", "member", "target", "curve", "layer", "estimate", "lo", "hi", "informative")
CLAIMS = (
    "seed", "member", "target", "verdict", "n_blocks", "margin",
    *(f"{effect}{end}" for effect in ("early", "late") for end in ("", "_lo", "_hi")),
)  # fmt: skip
POINTS = ("member", "target", "curve", "at", "p")
"""What the three tables must have."""

TITLES = (
    "Information lost, 90% interval",
    "Change from the parent",
    "Effect of the child's blocks, J per block",
)
CHANGES = {"weights": Mark(INK, "o"), "activations": Mark("#c77400", "s")}
NAMED = {
    "weights": "weights, relative to the parent's",
    "activations": "activations, 1 \N{MINUS SIGN} CKA",
}
SHOWN = 0.05
"""A step is marked if its p is at most this."""
ROW_IN = 0.95
LEAST_IN = 5.0
"""On a narrower page the verdict stands under the member's name, not beside its panels."""


@styled
def layers_figure(
    curves: pd.DataFrame,
    claims: pd.DataFrame,
    points: pd.DataFrame,
    *,
    target: str | None = None,
    look: Look | None = None,
) -> Figure:
    """Draw the three curves of each child over depth, with the verdict on the layer claim.

    Args:
        curves: as from `interp.verdict.layer_curves.of_pairs`: seed, member, target ("" for what
            has none), curve (information, weights, activations, causal), layer, estimate, lo, hi,
            informative.
        claims: as from `interp.verdict.layer_claim.layer_claims`.
        points: as from `interp.verdict.layer_curves.change_points`.
        target: the one that is drawn; None draws all, below each other.
        look: the members' styles (default: those of the curves alone).

    Returns:
        One row of three panels per child (and target). Effects are in J per block, so that single
        blocks and the bars of as many early and late ones share an axis.
    """
    look = look or Look.of(curves)
    if target is not None:
        claims = claims[claims["target"] == target]
    rows = [
        (member, target)
        for member in look.order(claims["member"])
        for target in claims.loc[claims["member"] == member, "target"].unique()
    ]
    figure = new_figure(PAGE_IN, 0.95 + ROW_IN * len(rows))
    axes = figure.subplots(len(rows), 3, sharex=True, squeeze=False)
    layers = sorted(curves.loc[curves["curve"] == "causal", "layer"].unique().tolist())
    layers = layers or sorted(curves["layer"].unique().tolist())
    several = claims["target"].nunique() > 1
    for (member, of), (lost, moved, effect) in zip(rows, axes, strict=True):
        mine = curves[(curves["member"] == member) & curves["target"].isin(["", of])]
        claim = claims[(claims["member"] == member) & (claims["target"] == of)]
        _information(lost, mine, claim, Mark(look.color(member), look.marker(member)), member)
        _changes(moved, mine, member)
        _effects(effect, mine, claim, Mark(look.color(member), look.marker(member)), member)
        steps = points[(points["member"] == member) & points["target"].isin(["", of])]
        for step in steps[steps["p"] <= SHOWN].itertuples(index=False):
            ax = {"information": lost, "causal": effect}.get(str(step.curve), moved)
            color = CHANGES[step.curve].color if step.curve in CHANGES else look.color(member)
            line = ax.axvline(step.at - 0.5, color=color, lw=0.8, ls=(0, (1, 1.5)), zorder=0.6)
            line.set_gid(gid(member, f"{of}:{step.curve}:step", "mean"))
        for ax in (lost, moved, effect):
            layer_ticks(ax, layers)
        beside = page_in() >= LEAST_IN
        said = [] if beside else [_verdicts(claim)]
        name_row(lost, member, [*([of] if several else []), *said], look)
        if beside:
            effect.annotate(
                _verdicts(claim), xy=(1.03, 0.5), xycoords="axes fraction", va="center",
                annotation_clip=False,
            )  # fmt: skip
    for index, title in enumerate(TITLES):
        letter(axes[0, index], index, title)
        axes[-1, index].set_xlabel("layer")
    # Losses and changes have a scale of their own in each row: those of unrelated weights would
    # flatten all others. Effects are shares of one thing, so theirs is one.
    limits = [ax.get_ylim() for ax in axes[:, 2]]
    for ax in axes[:, 2]:
        ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    legend_below(figure, _handles(curves), columns=2)
    return figure


def _information(
    ax: Axes, mine: pd.DataFrame, claim: pd.DataFrame, mark: Mark, member: str
) -> None:
    margin = float(claim["margin"].iloc[0])
    band = ax.axhspan(-margin, margin, color=NULL, alpha=0.45, lw=0, zorder=0)
    band.set_gid(gid(member, "margin", "all"))
    reference(ax, 0.0, strong=True)
    _early(ax, claim)
    rows = mine[mine["curve"] == "information"]
    if rows.empty:
        return
    by_layer = rows.groupby("layer", sort=True)
    seeds = seeds_of(rows)
    whose = seeds[0] if len(seeds) == 1 else "mean"
    bars = ax.vlines(
        list(by_layer.groups), by_layer["lo"].min(), by_layer["hi"].max(), color=mark.color, lw=0.8,
        alpha=1.0 if len(seeds) == 1 else 0.45,
    )  # fmt: skip
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -2.4 * margin), max(high, 2.4 * margin))  # the margin, at the least
    ax.yaxis.set_major_locator(MaxNLocator(4))
    target = rows["target"].iloc[0]
    bars.set_gid(gid(member, f"{target}:information:interval", whose))
    curve(ax, rows, mark, member, f"{target}:information", x="layer", bounds=None)
    # Where the parent holds nothing in some seed, nothing could be lost.
    empty = by_layer["informative"].agg(lambda held: not held.astype(bool).all())
    (open_marks,) = ax.plot(
        empty.index[empty], by_layer["estimate"].mean()[empty], mark.marker, color=mark.color,
        mfc="white", mew=0.7, ms=3.6, zorder=4,
    )  # fmt: skip
    open_marks.set_gid(gid(member, f"{target}:information:empty", whose))


def _changes(ax: Axes, mine: pd.DataFrame, member: str) -> None:
    for name, mark in CHANGES.items():
        rows = mine[mine["curve"] == name]
        if len(rows):
            curve(ax, rows, mark, member, name, x="layer", bounds=None)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    ax.yaxis.set_major_locator(MaxNLocator(4))


def _effects(ax: Axes, mine: pd.DataFrame, claim: pd.DataFrame, mark: Mark, member: str) -> None:
    reference(ax, 0.0, strong=True)
    rows = mine[mine["curve"] == "causal"]
    known = claim[claim["n_blocks"].notna()]
    if len(known) and len(rows):
        size, top = int(known["n_blocks"].iloc[0]), int(rows["layer"].max())
        for effect, first in (("early", 0), ("late", top - size + 1)):
            span = [first - 0.4, first + size - 0.6]
            low, high = known[f"{effect}_lo"].min() / size, known[f"{effect}_hi"].max() / size
            band = ax.fill_between(span, low, high, color=mark.color, alpha=0.16, lw=0, zorder=1)
            band.set_gid(gid(member, f"{effect}:interval", "all"))
            mean = known[effect].mean() / size
            (bar,) = ax.plot(span, [mean, mean], color=mark.color, lw=1.6, zorder=2)
            bar.set_gid(gid(member, effect, "mean"))
    if len(rows):
        curve(ax, rows, mark, member, f"{rows['target'].iloc[0]}:causal", x="layer", bounds=None)


def _early(ax: Axes, claim: pd.DataFrame) -> None:
    """A guide between the early layers and the others."""
    size = claim["n_blocks"].dropna()
    if len(size):
        reference(ax, float(size.iloc[0]) - 0.5, vertical=True)


def _verdicts(claim: pd.DataFrame) -> str:
    counted = Counter(claim["verdict"])
    if len(claim) == 1:
        return str(claim["verdict"].iloc[0])
    return "\n".join(f"{verdict} {n}/{len(claim)}" for verdict, n in counted.most_common())


def _handles(curves: pd.DataFrame) -> list[Line2D | Patch]:
    loose: dict[str, Any] = {"ls": "", "marker": "o", "color": MUTED}
    changes = [
        Line2D([], [], color=mark.color, marker=mark.marker, ms=3.2, label=NAMED[name])
        for name, mark in CHANGES.items()
        if (curves["curve"] == name).any()
    ]
    return [
        Patch(color=NULL, alpha=0.45, lw=0, label="margin of equivalence"),
        *changes,
        Line2D([], [], color=MUTED, lw=1.6, label="as many early and late blocks, per block"),
        Line2D([], [], color=MUTED, ls=(0, (1, 1.5)), lw=0.8, label="step, p at most .05"),
        Line2D(
            [],
            [],
            ms=3.2,
            mfc="white",
            mew=0.7,
            label="parent holds nothing there (in some seed)",
            **loose,
        ),
    ]
