"""Figures of reasoning strategies: their directions by layer, steering them, and the hybrid."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.figures.panels import (
    Mark,
    curve,
    dodge,
    forest,
    gid,
    legend_below,
    letter,
    member_handles,
    member_rows,
    reference,
)
from interp.figures.reasoning import GROUPS, SHARE
from interp.figures.style import INK, MUTED, PAGE_IN, Look, across, new_figure, styled

COSINES = ("seed", "member", "source_b", "label_a", "label_b", "site", "corrected")
LAYERS = ("seed", "member", "strategy", "layer", "exact", "exact_lo", "exact_hi")
STEERING = (
    "seed", "member", "steered", "coefficient", "kind", "measure", "change", "change_lo",
    "change_hi",
)  # fmt: skip
HYBRID = ("seed", "member", "group", "arm", "accuracy", "accuracy_lo", "accuracy_hi")
"""What the tables must have."""

ARMS = {
    "base": "parent",
    "think": "child",
    "full": "hybrid",
    "bias_only": "bias only",
    "random_timing": "random timing",
    "random_vectors": "random vectors",
    "oracle": "oracle labels",
}
"""Arms of the hybrid in the order and words in which they are drawn."""
ABREAST = 5
"""Children of the hybrid that stand side by side."""
LEAST_IN = 1.05
"""A panel is at least so wide; on narrower pages fewer stand side by side."""


@styled
def directions_figure(
    cosines: pd.DataFrame, layers: pd.DataFrame, *, look: Look | None = None
) -> Figure:
    """Draw how near each strategy's direction is to the parent's, and what it does, by layer.

    Args:
        cosines: columns `COSINES`: table `strategy_cosines` of the study.
        layers: columns `LAYERS`: table `strategy_layers`.
        look: the members' styles (default: those of `layers` alone).
    """
    look = look or Look.of(layers)
    members = look.order(layers["member"])
    strategies = sorted(layers["strategy"].unique())
    shifts = dodge(len(members), 0.4)
    abreast = across(len(strategies), LEAST_IN)
    n_bands = -(-len(strategies) // abreast)
    figure = new_figure(PAGE_IN, 3.9 * n_bands)
    axes = figure.subplots(2 * n_bands, abreast, sharex=True, sharey="row", squeeze=False)
    for ax in axes[-2:, len(strategies) - abreast * (n_bands - 1) :].flat:
        ax.set_visible(False)
    same = cosines["label_a"] == cosines["label_b"]
    pairs = cosines[same & (cosines["source_b"] == cosines["member"])]
    pairs = pairs.assign(layer=pairs["site"].str.rpartition(".")[2].astype(int))
    for index, strategy in enumerate(strategies):
        band, column = divmod(index, abreast)
        near, does = axes[2 * band : 2 * band + 2, column]
        for member, shift in zip(members, shifts, strict=True):
            mark = Mark(look.color(member), look.marker(member))
            rows = pairs[(pairs["label_a"] == strategy) & (pairs["member"] == member)]
            if len(rows):
                curve(near, rows, mark, member, f"{strategy}:cosine", x="layer", shift=shift,
                      value="corrected", bounds=None)  # fmt: skip
            rows = layers[(layers["strategy"] == strategy) & (layers["member"] == member)]
            if len(rows):  # a member that never uses a strategy has no direction of it
                curve(does, rows, mark, member, f"{strategy}:exact", x="layer", shift=shift,
                      value="exact", bounds=("exact_lo", "exact_hi"))  # fmt: skip
        letter(near, index, _heading(strategy))
        letter(does, len(strategies) + index)
        reference(near, 1.0)
        reference(does, 0.0, strong=True)
        does.set_xlabel("layer")
    for band in range(n_bands):
        axes[2 * band, 0].set_ylabel("cosine with the parent's")
        axes[2 * band + 1, 0].set_ylabel("log odds of its first words")
    legend_below(figure, member_handles(members, look), columns=min(6, len(members)))
    return figure


@styled
def strategy_steering_figure(steering: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw how steering a strategy up and down changes its share of the sentences.

    Args:
        steering: columns `STEERING`: table `strategy_steering` of the study.
        look: the members' styles (default: those of this table alone).
    """
    look = look or Look.of(steering)
    members = look.order(steering["member"])
    itself = steering[steering["steered"] == steering["measure"]]
    strategies = sorted(itself["steered"].unique())
    doses = sorted(itself["coefficient"].unique(), reverse=True)  # towards it above away from it
    offsets = dodge(len(doses), 0.34)
    columns = across(len(strategies), LEAST_IN)
    n_rows = -(-len(strategies) // columns)
    figure = new_figure(PAGE_IN, (1.3 + 0.3 * len(members)) * n_rows)
    axes = figure.subplots(n_rows, columns, sharex=True, squeeze=False).ravel()
    for ax in axes[len(strategies) :]:
        ax.set_visible(False)
    for index, (ax, strategy) in enumerate(zip(axes, strategies, strict=False)):
        member_rows(ax, members, labels=index % columns == 0)
        ax.tick_params(axis="x", labelbottom=True)
        reference(ax, 0.0, vertical=True, strong=True)
        rows = itself[itself["steered"] == strategy]
        for dose, offset in zip(doses, offsets, strict=True):
            of = rows[rows["coefficient"] == dose]
            _dose(ax, of, members, f"{strategy}:{dose:g}", float(offset), look)
        letter(ax, index, _heading(strategy))
        ax.set_xlabel("change of share")
        ax.locator_params(axis="x", nbins=3)
    legend = [
        Line2D([], [], ls="", marker="o", color=INK, mfc=face, label=label)
        for face, label in ((INK, "steered towards it"), ("white", "steered away"))
    ]
    null = Patch(color=MUTED, alpha=0.35, lw=0, label="90% of random directions")
    legend_below(figure, [*legend, null], columns=3)
    return figure


@styled
def hybrid_figure(hybrid: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw every arm of the hybrid of each child with its parent.

    Args:
        hybrid: columns `HYBRID`: table `hybrid` of the study.
        look: the members' styles (default: those of this table alone).
    """
    look = look or Look.of(hybrid)
    members = look.order(hybrid["member"])
    arms = [arm for arm in ARMS if arm in set(hybrid["arm"])]
    abreast = across(ABREAST, LEAST_IN)
    blocks = [members[at : at + abreast] for at in range(0, len(members), abreast)]
    figure = new_figure(PAGE_IN, 0.5 + 2 * len(blocks) * (0.7 + 0.19 * len(arms)))
    axes = figure.subplots(2 * len(blocks), len(blocks[0]), squeeze=False)
    for ax in axes[-2:, len(blocks[-1]) :].flat:
        ax.set_visible(False)
    # Rows of these panels are arms, where other forests have members.
    values = hybrid.rename(columns={"member": "child", "arm": "member"}).rename(
        columns={"accuracy": "estimate", "accuracy_lo": "lo", "accuracy_hi": "hi"}
    )
    panels = [
        (2 * block + row, column, child, group)
        for block, children in enumerate(blocks)
        for row, group in enumerate(GROUPS)
        for column, child in enumerate(children)
    ]
    for index, (row, column, child, group) in enumerate(panels):
        ax = axes[row, column]
        member_rows(ax, [ARMS[arm] for arm in arms], labels=column == 0)
        rows = values[(values["child"] == child) & (values["group"] == group)]
        marks = {arm: Mark(look.color(child), look.marker(child)) for arm in arms}
        forest(ax, rows, arms, marks, f"{child}:{group}", spread=0.4)
        ax.set_xlim(*SHARE)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_xlabel("known: right" if group == "known" else "unknown: answers")
        letter(ax, index, child if group == "known" else "")
    return figure


def _heading(strategy: str) -> str:
    """A strategy's name in narrow lines."""
    return strategy.replace("-", "\n").capitalize()


def _dose(
    ax: Axes, rows: pd.DataFrame, members: Sequence[str], series: str, offset: float, look: Look
) -> None:
    """One coefficient: the change with its interval, over the range of random directions."""
    for y, member in enumerate(members):
        of = rows[(rows["kind"] == "random") & (rows["member"] == member)]["change"]
        if of.notna().any():
            low, high = of.quantile(0.05), of.quantile(0.95)
            band = ax.hlines(y + offset, low, high, color=MUTED, lw=4, alpha=0.35, zorder=1)
            band.set_gid(gid(member, f"{series}:random", "all"))
    steered = rows[rows["kind"] == "strategy"]
    named = {"change": "estimate", "change_lo": "lo", "change_hi": "hi"}
    changed = steered[["seed", "member", *named]].rename(columns=named)
    filled = bool((rows["coefficient"] > 0).all())
    marks = {m: Mark(look.color(m), look.marker(m), filled=filled) for m in members}
    forest(ax, changed, members, marks, series, offset=offset, spread=0.22)
