"""How the parent's read-out carries over: zero-shot transfer and the geometry of the direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from interp.figures.panels import (
    Mark,
    curve,
    dodge,
    gid,
    layer_ticks,
    legend_below,
    letter,
    member_handles,
    reference,
)
from interp.figures.probes import POSITIONS
from interp.figures.style import INK, PAGE_IN, Look, new_figure, position_label, styled

# Measure -> axis label, and the widest limits its axis may take.
MEASURES = {
    "rho": ("transfer \N{GREEK SMALL LETTER RHO}\n(parent = 1)", (-0.6, 1.6)),
    "cosine": ("cosine with the\nparent's direction", (-1.05, 1.05)),
    "norm_ratio": ("norm over the\nparent's norm", (-0.1, 3.0)),
}
# An interval of rho wider than this says that the parent itself reads nothing there.
WIDEST_RHO = 1.0


@styled
def transfer_figure(transfer: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw transfer of the parent's probe, cosine and norm ratio by layer, a column a position.

    Args:
        transfer: columns seed, member, parent, target, site (the residual stream is drawn),
            position, layer, measure (rho, cosine, norm_ratio; others are left to the table),
            estimate, lo, hi, selected.
        look: the members' styles (default: those of this table alone).

    Returns:
        Three rows (measures; as many again for each further target) by one column per position. The
        layer chosen on the parent's development split is ringed. Where the parent itself reads
        nothing rho is a ratio of two noises: points whose interval is wider than `WIDEST_RHO` are
        left out, as the caption says.
    """
    look = look or Look.of(transfer)
    members = look.order(transfer["member"])
    present = transfer["position"].unique().tolist()
    positions = [p for p in POSITIONS if p in present] + sorted(set(present) - set(POSITIONS))
    transfer = transfer[transfer["site"].isin(["resid_pre", "resid_post"])]
    layers = sorted(transfer["layer"].unique().tolist())
    targets = transfer["target"].unique().tolist()
    blocks = [(target, measure) for target in targets for measure in MEASURES]
    figure = new_figure(PAGE_IN, 0.8 + 1.6 * len(blocks))
    axes = figure.subplots(len(blocks), len(positions), sharex=True, sharey="row", squeeze=False)
    wide = (transfer["measure"] == "rho") & (transfer["hi"] - transfer["lo"] > WIDEST_RHO)
    shown = transfer[np.isfinite(transfer["estimate"]) & ~wide]
    for row, (target, measure) in enumerate(blocks):
        label, widest = MEASURES[measure]
        of_row = shown[(shown["target"] == target) & (shown["measure"] == measure)]
        low, high = _limits(of_row, widest)
        for column, position in enumerate(positions):
            ax = axes[row, column]
            here = of_row[of_row["position"] == position]
            reference(ax, 0.0)
            reference(ax, 1.0, strong=True)
            shifts = dodge(len(members), 0.5)
            for member, shift in zip(members, shifts, strict=True):
                _member(ax, here[here["member"] == member], member, measure, look, shift)
            layer_ticks(ax, layers)
            ax.set_ylim(low, high)
            title = position_label(position).capitalize() if row == 0 else ""
            letter(ax, row * len(positions) + column, title)
        axes[row, 0].set_ylabel(label if len(targets) == 1 else f"{target}\n{label}")
    for ax in axes[-1]:
        ax.set_xlabel("layer (emb: embedding)")
    ring = Line2D([], [], ls="", marker="o", ms=7, mfc="none", mec=INK, label="layer chosen on dev")
    handles = [*member_handles(members, look), ring]
    legend_below(figure, handles, columns=min(5, len(handles)))
    return figure


def _limits(rows: pd.DataFrame, widest: tuple[float, float]) -> tuple[float, float]:
    """Limits that hold all estimates, intervals and both guides, but never more than the widest."""
    drawn = rows[["estimate", "lo", "hi"]].to_numpy(dtype=float)
    low = min(-0.08, np.nanmin(drawn, initial=0.0) - 0.03)
    high = max(1.08, np.nanmax(drawn, initial=1.0) + 0.03)
    return max(low, widest[0]), min(high, widest[1])


def _member(
    ax: Axes, rows: pd.DataFrame, member: str, measure: str, look: Look, shift: float
) -> None:
    if rows.empty:
        return
    mark = Mark(look.color(member), look.marker(member))
    position = rows["position"].iloc[0]
    curve(ax, rows, mark, member, f"{position}:{measure}", x="layer", shift=shift, ms=2.6)
    chosen = rows[rows["selected"].astype(bool)]
    if measure == "rho" and len(chosen):
        # Several seeds: around the mean of those that chose the layer, which is the curve's own
        # point when they agree.
        at = chosen.groupby("layer", sort=True)["estimate"].mean()
        (ring,) = ax.plot(
            at.index + shift, at, "o", ms=6.5, mfc="none",
            mec=mark.color, mew=0.8, zorder=4,
        )  # fmt: skip
        ring.set_gid(gid(member, f"{position}:{measure}:selected", "all"))
