"""Features: where the parent's dictionaries hold one, and what became of it in the children."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.figures.panels import (
    Mark,
    curve,
    dodge,
    forest,
    gid,
    layer_ticks,
    legend_below,
    letter,
    member_rows,
    reference,
)
from interp.figures.probes import ordered_positions
from interp.figures.steering import dose_figure
from interp.figures.style import (
    INK,
    MUTED,
    PAGE_IN,
    Look,
    across,
    new_figure,
    position_label,
    seeds_of,
    styled,
)

BESIDE = {
    "dense_probe_auroc": (Mark(MUTED, "s", "--", filled=False), "linear probe of the whole site"),
    "token_lookup_auroc": (Mark("#c77400", "v", ":", filled=False), "the prompt's tokens alone"),
}
FEATURES = (
    "seed", "member", "layer", "position", "direction", "auroc", "auroc_lo", "auroc_hi",
    "dev_passes", "passes", *BESIDE,
)  # fmt: skip
DIFF = (
    "seed", "member", "direction", "class", "auroc_parent", "auroc_child", "auroc_child_lo",
    "auroc_child_hi", "firing_ratio", "firing_ratio_lo", "firing_ratio_hi", "nu_reconstruction",
    "nu_reconstruction_lo", "nu_reconstruction_hi", "effect_parent", "effect_child",
    "effect_child_lo", "effect_child_hi",
)  # fmt: skip


@styled
def features_figure(features: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw how well the best single latent tells unknown from known, by layer and position.

    Args:
        features: one row a layer, position and direction: the latent that was best on dev, with
            its AUROC on test, its interval, the baselines and whether it passes every filter.
        look: the members' styles (default: those of this table alone).

    Returns:
        A row of panels per member, a column per position. Rings mark latents that pass every
        filter on dev and again on test (in any seed, where there are several).
    """
    look = look or Look.of(features)
    shown = features[features["direction"] == "unknown"]
    members, positions = look.order(shown["member"]), ordered_positions(shown)
    several = len(seeds_of(shown)) > 1
    figure = new_figure(PAGE_IN, (1.15 if several else 1.0) + 1.7 * len(members))
    axes = figure.subplots(len(members), len(positions), sharex=True, sharey=True, squeeze=False)
    layers = sorted(shown["layer"].unique().tolist())
    lowest = shown[["auroc_lo", *BESIDE]].min().min()
    for row, member in enumerate(members):
        for column, position in enumerate(positions):
            ax = axes[row, column]
            here = shown[(shown["member"] == member) & (shown["position"] == position)]
            _by_layer(ax, here, member, position, look)
            layer_ticks(ax, layers)
            ax.set_ylim(min(0.45, lowest - 0.03), 1.03)
            letter(ax, row * len(positions) + column, f"{member}, {position_label(position)}")
        axes[row, 0].set_ylabel("AUROC, unknown against known")
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    best = "best single latent, " + ("mean over seeds" if several else "95% interval")
    rings = "passes all filters" + (" in any seed" if several else "")
    legend_below(
        figure,
        [
            Line2D([], [], color=INK, marker="o", ms=3.2, label=best),
            Line2D([], [], ls="", marker="o", color=INK, mfc="none", ms=6.5, label=rings),
            *(
                Line2D(
                    [], [], color=m.color, marker=m.marker, mfc="white", ls=m.line, ms=3.2, label=t
                )
                for m, t in BESIDE.values()
            ),
        ],
        columns=2 if several else 4,
    )
    return figure


def _by_layer(ax: Axes, here: pd.DataFrame, member: str, position: str, look: Look) -> None:
    reference(ax, 0.5)
    if here.empty:
        return
    for column, (mark, _) in BESIDE.items():
        curve(ax, here, mark, member, f"{position}:{column}", x="layer", value=column, bounds=None)
    mark = Mark(look.color(member), look.marker(member))
    curve(
        ax, here, mark, member, f"{position}:latent", x="layer", value="auroc",
        bounds=("auroc_lo", "auroc_hi"),
    )  # fmt: skip
    passing = here[here["dev_passes"].astype(bool) & here["passes"].astype(bool)]
    at = passing.groupby("layer")["auroc"].mean()
    if len(seeds_of(here)) > 1:
        at = here[here["layer"].isin(at.index)].groupby("layer")["auroc"].mean()
    (rings,) = ax.plot(at.index, at, "o", ms=7, mfc="none", mec=mark.color, mew=0.8, zorder=4)
    rings.set_gid(gid(member, f"{position}:passes", "any"))


@styled
def feature_diff_figure(feature_diff: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw what became of the parent's best feature in every child.

    Args:
        feature_diff: one row a child and feature, the parent's best first; see `DIFF`.
        look: the members' styles (default: those of this table alone).

    Returns:
        Four forest panels with a row per child: the feature's AUROC in the child, read through the
        parent's dictionary; how often it fires on unknown names, over the parent; how much of it
        the child's own dictionary writes; and what it does to the log odds of abstaining. Grey
        bars are the parent's own value. The classes stand at the right.
    """
    look = look or Look.of(feature_diff)
    sought = feature_diff[feature_diff["direction"] == "unknown"]
    first = sought.groupby(["seed", "member"], sort=False).head(1)
    members = look.order(first["member"])
    marks = {m: Mark(look.color(m), look.marker(m)) for m in members}
    columns = across(len(PANELS))
    n_rows = -(-len(PANELS) // columns)
    figure = new_figure(PAGE_IN, (1.0 + 0.34 * len(members)) * n_rows)
    axes = figure.subplots(n_rows, columns, squeeze=False).ravel()
    for index, (ax, panel) in enumerate(zip(axes, PANELS, strict=True)):
        title, unit, value, parents, nothing = panel
        member_rows(ax, members, labels=index % columns == 0)
        table = first.assign(
            estimate=first[value], lo=first[f"{value}_lo"], hi=first[f"{value}_hi"]
        )
        forest(ax, table, members, marks, value)
        reference(ax, nothing, vertical=True)
        if isinstance(parents, float):
            reference(ax, parents, vertical=True, strong=True)
        else:
            _parents(ax, first, members, parents)
        ax.set_xlabel(unit)
        letter(ax, index, title)
    _classes(axes[-1], first, members)
    legend_below(
        figure,
        [
            Line2D([], [], ls="", marker="|", color=MUTED, ms=8, label="in the parent"),
            Line2D([], [], ls="", marker="o", color=INK, label="in the child, 95% interval"),
        ],
        columns=2,
    )
    return figure


PANELS: tuple[tuple[str, str, str, str | float, float], ...] = (
    ("AUROC", "unknown against known", "auroc_child", "auroc_parent", 0.5),
    ("Firing rate", "over the parent's", "firing_ratio", 1.0, 0.0),
    (
        "Share written, \N{GREEK SMALL LETTER NU}",
        "by the child's dictionary",
        "nu_reconstruction",
        1.0,
        0.0,
    ),
    ("Effect", "on log odds of abstaining", "effect_child", "effect_parent", 0.0),
)  # fmt: skip
"""Title, unit, column, the parent's own (a column, or its value by definition), and none at all."""


def _classes(ax: Axes, first: pd.DataFrame, members: list[str]) -> None:
    """The feature's class in every child, right of its row; one a line where seeds differ."""
    several = len(seeds_of(first)) > 1
    ax.annotate(
        "class (seeds)" if several else "class", xy=(1.04, 1), xytext=(0, 4), size=6.5,
        xycoords="axes fraction", textcoords="offset points", va="baseline",
    )  # fmt: skip
    for y, member in enumerate(members):
        counts = first[first["member"] == member]["class"].value_counts()
        ax.annotate(
            "\n".join(f"{c} ({n})" if several else c for c, n in counts.items()), size=6.5,
            xy=(1.04, y), xycoords=("axes fraction", "data"), va="center", annotation_clip=False,
        )  # fmt: skip


def _parents(ax: Axes, first: pd.DataFrame, members: list[str], column: str) -> None:
    """The parent's own values, one a seed."""
    seeds = seeds_of(first)
    for y, member in enumerate(members):
        for seed, shift in zip(seeds, dodge(len(seeds), 0.34), strict=True):
            row = first[(first["member"] == member) & (first["seed"] == seed)]
            (bar,) = ax.plot(row[column], [y + shift] * len(row), "|", color=MUTED, ms=5, mew=1.1)
            bar.set_gid(gid(member, column, seed))


@styled
def feature_steering_figure(feature_steering: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw the dose-response to the parent's feature over other latents of its dictionary.

    Args:
        feature_steering: as for `steering_figure`, with rank, of which 0 is shown: the parent's
            best feature; alpha is in units of its mean value where it fires in the parent.
        look: the members' styles (default: those of this table alone).

    Returns:
        As `steering_figure`.
    """
    return dose_figure(
        feature_steering[feature_steering["rank"] == 0],
        look or Look.of(feature_steering),
        own="the parent's feature",
        null="other latents, same length",
        unit="its value in the parent = 1",
    )
