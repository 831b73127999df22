"""Is a read-out preserved? Equivalence of child and parent, and the share that is retained."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.figures.panels import (
    Mark,
    dodge,
    gid,
    layer_ticks,
    legend_below,
    letter,
    reference,
)
from interp.figures.probes import kinds_of, name_row, of_kind, ordered_positions, rows_of
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
from interp.figures.transfer import WIDEST_RHO

POSITIONS = ("entity_last", "last_prompt")
"""Drawn where a table has both; otherwise its first two positions."""
MARKS = (Mark(INK, "o"), Mark("#c77400", "s"))
"""Colour and marker of the two positions; those of members are the rows' own."""
KEPT = 0.8
"""The share from which retention is spoken of."""
DIFFERENCE, RHO = ("estimate", "lo", "hi"), ("rho", "rho_lo", "rho_hi")
ROW_IN = 0.82
COLUMNS = (
    "parent", "target", "site", "layer", "position", "selected", "margin", "preserved", *RHO,
)  # fmt: skip
"""What a table must have beside seed, member and the estimate with its interval."""


@styled
def preservation_figure(preservation: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw, by layer, the difference in AUROC with its margin, and the retained share.

    Args:
        preservation: one row a cell of a pair: columns seed, member, parent, target, site, layer
            (-1: the embedding), position, selected, estimate, lo, hi (child minus parent AUROC
            with its 90% interval), margin, preserved, rho, rho_lo, rho_hi.
        look: the members' styles (default: those of this table alone).

    Returns:
        One row of panels per child (and target and kind of site, if there are several): on the
        left the difference, on the right rho. Filled marks are equivalent (in every seed, where
        there are several: then thin lines are seeds, marks their mean, and pale bars reach over
        all their intervals). Points of rho whose interval is wider than `WIDEST_RHO` are left out.
    """
    look = look or Look.of(preservation)
    # A parent beside itself is the same by definition.
    shown = preservation[preservation["member"] != preservation["parent"]]
    if shown.empty:
        return _nothing()
    sites = kinds_of(shown)
    n_targets = shown["target"].nunique()
    rows = [(*row, site) for row in rows_of(shown, look) for site in sites]
    positions = _positions(shown)
    layers = sorted(shown["layer"].unique().tolist())
    figure = new_figure(PAGE_IN, 1.05 + ROW_IN * len(rows))
    axes = figure.subplots(len(rows), 2, sharex=True, sharey="col", squeeze=False)
    for (member, target, site), (difference, share) in zip(rows, axes, strict=True):
        own = shown[(shown["member"] == member) & (shown["target"] == target)]
        _guides(difference, share, float(own["margin"].iloc[0]))
        shifts = dodge(len(positions), 0.4)
        for position, mark, shift in zip(positions, MARKS, shifts, strict=False):
            here = of_kind(own[own["position"] == position], site)
            series = f"{position}:{site}:{target}"
            _points(difference, here, mark, shift, member, series, DIFFERENCE)
            bounded = here[here["rho_hi"] - here["rho_lo"] <= WIDEST_RHO]
            _points(share, bounded, mark, shift, member, f"{series}:rho", RHO)
        for ax in (difference, share):
            layer_ticks(ax, layers)
        more = ([target] if n_targets > 1 else []) + ([site] if len(sites) > 1 else [])
        name_row(difference, member, more, look)
    letter(axes[0, 0], 0, "AUROC minus the parent's, 90% interval")
    letter(axes[0, 1], 1, "Retained above the controls, \N{GREEK SMALL LETTER RHO}, 95% interval")
    for ax in axes[-1]:
        ax.set_xlabel("layer (emb: embedding)" if layers[0] < 0 else "layer")
    legend_below(figure, _handles(positions), columns=3)
    return figure


def _positions(shown: pd.DataFrame) -> list[str]:
    present = ordered_positions(shown)
    return list(POSITIONS) if set(POSITIONS) <= set(present) else present[: len(MARKS)]


def _nothing() -> Figure:
    figure = new_figure(PAGE_IN, 0.6)
    figure.text(0.5, 0.5, "No child with a parent in this run.", ha="center", va="center")
    return figure


def _guides(difference: Axes, share: Axes, margin: float) -> None:
    difference.axhspan(-margin, margin, color=NULL, alpha=0.45, lw=0, zorder=0)
    reference(difference, 0.0, strong=True)
    reference(share, 0.0)
    reference(share, KEPT)
    reference(share, 1.0, strong=True)


def _points(
    ax: Axes,
    cells: pd.DataFrame,
    mark: Mark,
    shift: float,
    member: str,
    series: str,
    columns: tuple[str, str, str],
) -> None:
    """One position over layers: marks with their intervals, and thin lines for several seeds."""
    value, lo, hi = columns
    cells = cells[cells[value].notna()]
    if cells.empty:
        return
    seeds = seeds_of(cells)
    by_layer = cells.groupby("layer", sort=True)
    middle, at = by_layer[value].mean(), by_layer[value].mean().index + shift
    whose = seeds[0] if len(seeds) == 1 else "mean"
    bars = ax.vlines(
        at, by_layer[lo].min(), by_layer[hi].max(), color=mark.color, lw=0.8,
        alpha=1.0 if len(seeds) == 1 else 0.45,
    )  # fmt: skip
    bars.set_gid(gid(member, f"{series}:interval", whose))
    if len(seeds) > 1:
        for seed in seeds:
            rows = cells[cells["seed"] == seed].sort_values("layer")
            (line,) = ax.plot(
                rows["layer"] + shift, rows[value], color=mark.color, lw=0.5, alpha=0.5
            )
            line.set_gid(gid(member, series, seed))
    same = by_layer["preserved"].agg(lambda seen: bool(seen.astype(bool).all())).to_numpy(bool)
    ms = max(2.0, 3.0 * min(1.0, 14 / len(middle)))
    for name, which, face in (("preserved", same, mark.color), ("open", ~same, "white")):
        (points,) = ax.plot(
            at[which], middle[which], mark.marker, color=mark.color, mfc=face, ms=ms, mew=0.7,
            zorder=3,
        )  # fmt: skip
        points.set_gid(gid(member, f"{series}:{name}", whose))
    chosen = by_layer["selected"].agg(lambda seen: bool(seen.astype(bool).any())).to_numpy(bool)
    (rings,) = ax.plot(
        at[chosen], middle[chosen], "o", ms=ms + 3.3, mfc="none", mec=mark.color, mew=0.7, zorder=4
    )
    rings.set_gid(gid(member, f"{series}:selected", whose))


def _handles(positions: list[str]) -> list[Line2D | Patch]:
    """Legend entries: the positions, what filled and ringed mean, and the margin."""
    loose: dict[str, Any] = {"ls": "", "marker": "o", "color": MUTED}
    named = [
        Line2D([], [], ls="", marker=m.marker, color=m.color, ms=3.2, label=position_label(p))
        for p, m in zip(positions, MARKS, strict=False)
    ]
    return [
        *named,
        Line2D([], [], ms=3.2, label="filled: equivalent to parent", **loose),
        Line2D([], [], ms=3.2, mfc="white", mew=0.7, label="open: equivalence not shown", **loose),
        Line2D([], [], ms=6.5, mfc="none", mew=0.7, label="layer chosen on dev", **loose),
        Patch(color=NULL, alpha=0.45, lw=0, label="margin of equivalence"),
    ]
