"""What can be read from the members by layer: probes beside all that they must beat."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.figures.panels import (
    Mark,
    curve,
    gid,
    layer_ticks,
    legend_below,
    letter,
    reference,
    row_label,
)
from interp.figures.style import (
    INK,
    MUTED,
    NULL,
    PAGE_IN,
    Look,
    new_figure,
    position_label,
    seeds_of,
    styled,
)

POSITIONS = ("entity_last", "question_last", "last_prompt")
BESIDE = {
    "random": (Mark("#9a9a9a", "+"), "untrained model, 95% interval"),
    "control": (Mark("#5a5a5a", "x"), "control task (by token)"),
}
"""Controls with a value in every layer: how their thin lines are marked, and names."""
SURFACE = {
    "tokens": (":", "bag of tokens"),
    "length": ((0, (6, 1.5, 1, 1.5)), "length of the prompt"),
}
"""Baselines of the prompt alone, which have no layer: how their lines are dashed, and names."""
# Columns that a table may lack where nothing of the kind was fitted.
OPTIONAL = ("mlp", "mlp_lo", "mlp_hi", "random", "random_lo", "random_hi")
LOWS = ("lo", "null_lo", "mlp_lo", "random_lo", "tokens_lo", "length_lo")
ROW_IN = 0.82
MOST_COLUMNS = 4
"""With more positions and sites than this, sites stand in rows: panels need their width."""
COLUMNS = (
    "target", "site", "layer", "position", "null_lo", "null_hi", "control", "tokens", "tokens_lo",
    "tokens_hi", "length", "length_lo", "length_hi",
)  # fmt: skip
"""What a table must have beside seed, member and the estimate with its interval."""


@styled
def probes_figure(probes: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw held-out AUROC by layer for every member, target and position, with all controls.

    Args:
        probes: one row a cell: columns seed, member, target, site, layer (-1: the embedding),
            position, estimate, lo, hi of the linear probe, null_lo, null_hi, control, and with
            _lo and _hi tokens, length and, where they were fitted, mlp and random.
        look: the members' styles (default: those of this table alone).

    Returns:
        One row of panels per member (and target, if there are several), one column per position
        (and kind of site, if there are several; as rows where columns would be too many).
    """
    look = look or Look.of(probes)
    probes = probes.assign(**{name: float("nan") for name in OPTIONAL if name not in probes})
    positions, sites = ordered_positions(probes), kinds_of(probes)
    wide = len(positions) * len(sites) > MOST_COLUMNS
    down, across = (sites, [""]) if wide else ([""], sites)
    rows = [(*row, site) for row in rows_of(probes, look) for site in down]
    columns = [(position, site) for position in positions for site in across]
    figure = new_figure(PAGE_IN, 1.05 + ROW_IN * len(rows))
    axes = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    layers = sorted(probes["layer"].unique().tolist())
    lowest = probes[["estimate", "control", *LOWS]].min().min()
    for row, (member, target, site_down) in enumerate(rows):
        own = probes[(probes["member"] == member) & (probes["target"] == target)]
        for column, (position, site_across) in enumerate(columns):
            ax, site = axes[row, column], site_down or site_across
            here = of_kind(own[own["position"] == position], site)
            _panel(ax, here, member, f"{position}:{site}:{target}", look)
            layer_ticks(ax, layers)
            # Room for the intervals of the surface baselines.
            ax.set_xlim(right=layers[-1] + 0.45 + 0.05 * (layers[-1] - layers[0] + 1))
            ax.set_ylim(min(0.45, lowest - 0.03), 1.03)
            ax.set_yticks([0.5, 1.0])
        more = (target if probes["target"].nunique() > 1 else "", site_down * (len(sites) > 1))
        name_row(axes[row, 0], member, [word for word in more if word], look)
    _name_columns(axes, [(p, site if len(sites) > 1 else "") for p, site in columns], layers)
    figure.supylabel("AUROC on held-out prompts", size=7)
    legend_below(figure, _handles(probes), columns=4)
    return figure


def ordered_positions(frame: pd.DataFrame) -> list[str]:
    """The positions of a table, the usual ones first."""
    present = frame["position"].unique().tolist()
    return [p for p in POSITIONS if p in present] + sorted(set(present) - set(POSITIONS))


def kinds_of(frame: pd.DataFrame) -> list[str]:
    """The kinds of sites in a table; the embedding is no kind unless it stands alone."""
    return frame.loc[~_embedding(frame), "site"].unique().tolist() or ["resid_pre"]


def of_kind(frame: pd.DataFrame, site: str) -> pd.DataFrame:
    """The rows of one kind of site, and left of them the embedding."""
    return frame[(frame["site"] == site) | _embedding(frame)]


def rows_of(frame: pd.DataFrame, look: Look) -> list[tuple[str, str]]:
    """Each member in display order, with each of its targets."""
    return [
        (member, target)
        for member in look.order(frame["member"])
        for target in frame.loc[frame["member"] == member, "target"].unique()
    ]


def name_row(ax: Axes, member: str, more: Sequence[str], look: Look) -> None:
    """Name the member of a row of panels, and under it what else tells the row from others."""
    row_label(ax, member, look)
    ax.yaxis.label.set_text("\n".join([member, *more]))


def _embedding(frame: pd.DataFrame) -> pd.Series:
    return (frame["site"] == "resid_pre") & (frame["layer"] < 0)


def _panel(ax: Axes, here: pd.DataFrame, member: str, series: str, look: Look) -> None:
    reference(ax, 0.5)
    if here.empty:
        return
    _null_band(ax, here, gid(member, f"{series}:shuffled", "all"))
    for place, name in enumerate(SURFACE):
        _surface(ax, here, member, series, name, place)
    for name in BESIDE:
        known = here[here[name].notna()]
        if len(known):
            _beside(ax, known, member, series, name)
    color, marker = look.color(member), look.marker(member)
    # In deep models marks stand further apart, and never get too small to tell open from filled.
    depth = here["layer"].nunique()
    apart, ms = (0.1, 2.8) if depth <= 14 else (0.2, max(2.8, 1.9 * depth / 14))
    drawn = (
        ("mlp", Mark(color, marker, "--", False), apart, ("mlp_lo", "mlp_hi")),
        ("estimate", Mark(color, marker), -apart, ("lo", "hi")),
    )
    for name, mark, shift, bounds in drawn:
        known = here[here[name].notna()]
        if len(known):
            curve(
                ax, known, mark, member, f"{series}:{name}",
                x="layer", shift=shift, value=name, bounds=bounds, ms=ms,
            )  # fmt: skip


def _null_band(ax: Axes, here: pd.DataFrame, name: str) -> None:
    """The band that holds every seed's null, a little wider than the layers."""
    band = here.groupby("layer").agg(lo=("null_lo", "min"), hi=("null_hi", "max")).sort_index()
    ends = band.iloc[[0, -1]].set_axis([band.index[0] - 0.3, band.index[-1] + 0.3])
    band = pd.concat([band, ends]).sort_index()
    ax.fill_between(
        band.index, band["lo"], band["hi"], color=NULL, alpha=0.5, lw=0, zorder=0, gid=name
    )


def _beside(ax: Axes, known: pd.DataFrame, member: str, series: str, name: str) -> None:
    """A control by layer: each seed's thin line, and the mean of several in front."""
    mark, seeds = BESIDE[name][0], seeds_of(known)
    lines: dict[int | str, pd.Series] = {
        seed: known[known["seed"] == seed].set_index("layer")[name] for seed in seeds
    }
    if len(seeds) > 1:
        lines["mean"] = known.groupby("layer")[name].mean()
    elif f"{name}_lo" in known:
        ax.vlines(
            known["layer"], known[f"{name}_lo"], known[f"{name}_hi"], color=mark.color, lw=0.7,
            alpha=0.55, gid=gid(member, f"{series}:{name}:interval", seeds[0]),
        )  # fmt: skip
    for seed, values in lines.items():
        pale = len(seeds) > 1 and seed != "mean"
        values = values.sort_index()
        (line,) = ax.plot(
            values.index, values, color=mark.color, lw=0.4 if pale else 0.7,
            alpha=0.5 if pale else 1.0, marker="" if pale else mark.marker, mew=0.6,
            ms=2.6 * min(1.0, 14 / len(values)), zorder=1.5,
        )  # fmt: skip
        line.set_gid(gid(member, f"{series}:{name}", seed))


def _surface(ax: Axes, here: pd.DataFrame, member: str, series: str, name: str, place: int) -> None:
    """A baseline of the prompt alone: a line, and at its right end the interval."""
    if here[name].isna().all():
        return
    line = ax.axhline(here[name].mean(), color=MUTED, ls=SURFACE[name][0], lw=0.9, zorder=1)
    line.set_gid(gid(member, f"{series}:{name}", "mean"))
    # Over all seeds, the widest. Placed by the panel's width: layers may be few or many.
    at, lo, hi = 0.968 + 0.02 * place, here[f"{name}_lo"].min(), here[f"{name}_hi"].max()
    bar = ax.vlines(at, lo, hi, color=MUTED, lw=1.4, transform=ax.get_yaxis_transform())
    bar.set_gid(gid(member, f"{series}:{name}:interval", "all"))


def _name_columns(
    axes: np.ndarray, columns: Sequence[tuple[str, str]], layers: Sequence[int]
) -> None:
    """Titles above and axis labels below, broken to the width of a column."""
    room = 84 // len(columns)
    below = "layer (emb: embedding)" if layers[0] < 0 else "layer"
    for column, (position, site) in enumerate(columns):
        where = position_label(position)
        title = f"{site}: {where}" if site else where.capitalize()
        letter(axes[0, column], column, fill(title, room, break_long_words=False))
        axes[-1, column].set_xlabel(fill(below, room, break_long_words=False))
    if len(columns) > MOST_COLUMNS:  # then every other layer must do; all panels share their ticks
        ax = axes[-1, 0]
        ticks = [int(at) for at in ax.get_xticks()]
        shown = [at for at in ticks if at < 0] + [at for at in ticks if at >= 0][1::2]
        ax.set_xticks(shown, ["emb" if at < 0 else str(at) for at in shown])


def _handles(probes: pd.DataFrame) -> list[Line2D | Patch]:
    """Legend entries of what was fitted."""
    marked: dict[str, Any] = {"color": INK, "marker": "o", "ms": 2.8, "mew": 0.7}
    lines = [
        Line2D([], [], label="linear probe, 95% interval", **marked),
        Line2D([], [], label="MLP probe, 95% interval", mfc="white", ls="--", **marked),
    ]
    beside = [
        Line2D([], [], color=m.color, marker=m.marker, ms=2.6, mew=0.6, lw=0.7, label=label)
        for name, (m, label) in BESIDE.items()
        if probes[name].notna().any()
    ]
    surface = [
        Line2D([], [], color=MUTED, lw=0.9, ls=dashes, label=label)
        for dashes, label in SURFACE.values()
    ]
    shuffled = Patch(color=NULL, alpha=0.5, lw=0, label="shuffled labels, 95%")
    return [*lines[: 1 + probes["mlp"].notna().any()], shuffled, *beside, *surface]
