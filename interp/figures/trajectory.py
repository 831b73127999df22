"""What training takes away first: behaviour, read-out and representation along its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from interp.figures.panels import gid, legend_below, letter, reference
from interp.figures.style import INK, MUTED, PAGE_IN, Look, across, new_figure, seeds_of, styled

TRAJECTORY = (
    "seed", "member", "parent", "step", "n_steps", "measure", "layer", "position",
    "estimate", "lo", "hi",
)  # fmt: skip
"""What the table must have."""

Series = tuple[str, str, str, str, str]
"""Measure, position ("" for none), what the legend calls it, colour and line."""

_NAME, _END = "entity_last", "last_prompt"
_RHO = "\N{GREEK SMALL LETTER RHO}"
BLUE, ORANGE, GREEN, GREY = "#0077bb", "#cc5500", "#008868", MUTED

ROWS: Sequence[tuple[str, Sequence[Series]]] = (
    (
        "behaviour",
        (
            ("unknown", "", "abstains on unknown names", BLUE, "-"),
            ("known", "", "abstains on known names", ORANGE, "-"),
            ("J", "", "selectivity J", INK, ":"),  # lies on the unknown where none is abstained on
            ("accuracy", "", "right on known names", GREEN, "-"),
        ),
    ),
    (
        "read-out\n(parent = 1)",
        (
            ("gain", _END, "gain, best layer", ORANGE, "-"),
            ("gain_early", _END, "gain, first layer that reads", ORANGE, "--"),
            ("norm_ratio", _END, "norm, end of prompt", BLUE, "-"),
            ("norm_ratio", _NAME, "norm, end of name", BLUE, "--"),
        ),
    ),
    (
        "representation",
        (
            ("rho", _END, f"{_RHO}, end of prompt", GREEN, "-"),
            ("rho", _NAME, f"{_RHO}, end of name", GREEN, "--"),
            ("auroc", _END, "own AUROC, end of prompt", GREY, "-"),
            ("auroc", _NAME, "own AUROC, end of name", GREY, "--"),
        ),
    ),
)

SHARES: Sequence[Series] = (
    ("J", "", "selectivity J", INK, "-"),
    ("gain", _END, "readout gain, best layer", ORANGE, "-"),
    ("gain_early", _END, "readout gain, first layer that reads", ORANGE, "--"),
    ("rho", _END, f"{_RHO}, end of prompt", GREEN, "-"),
    ("rho", _NAME, f"{_RHO}, end of name", GREEN, "--"),
)

WIDEST = (-0.35, 1.75)
"""No axis reaches further: shares of next to nothing would flatten all others."""
LARGEST_GRID = 5
"""Members beside each other; more go into further bands."""
LEAST_IN = 1.05
"""A member's panel is at least so wide."""


@styled
def trajectory_figure(trajectory: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw behaviour, read-out and representation over the steps of each member's training.

    Args:
        trajectory: columns as `TRAJECTORY`; of the measures, unknown, known, J, accuracy, gain,
            norm_ratio, rho and auroc are drawn.
        look: the members' styles (default: those of this table alone).

    Returns:
        A column a member, at most five beside each other, by three rows. Thin lines are seeds, bold
        ones their mean. Dashed guides: in the first row J of the parent, as the start of the run
        has it where training starts from the parent; in the others, as much as the parent.
    """
    look = look or Look.of(trajectory)
    members = look.order(trajectory["member"])
    n_columns = across(min(len(members), LARGEST_GRID), LEAST_IN)
    n_bands = -(-len(members) // n_columns)
    figure = new_figure(PAGE_IN, 0.9 + 3.1 * n_bands)
    axes = figure.subplots(len(ROWS) * n_bands, n_columns, sharey="row", squeeze=False)
    for place in range(n_bands * n_columns):
        band, column = divmod(place, n_columns)
        of_member = axes[band * len(ROWS) : (band + 1) * len(ROWS), column]
        if place >= len(members):
            for ax in of_member:
                ax.set_axis_off()
            continue
        rows = trajectory[trajectory["member"] == members[place]]
        for ax, (name, series) in zip(of_member, ROWS, strict=True):
            _guides(ax, rows, name)
            _draw(ax, rows, members[place], series)
            _step_axis(ax, rows, labelled=ax is of_member[-1])
        letter(of_member[0], place)
        _name(of_member[0], members[place], look)
        if column == 0:
            for ax, (name, _) in zip(of_member, ROWS, strict=True):
                ax.set_ylabel(name)
    for row, ax in enumerate(axes[:, 0]):
        rows_of = ROWS[row % len(ROWS)][1]
        ax.set_ylim(*_limits(trajectory, rows_of))
        ax.yaxis.set_major_locator(MaxNLocator(5))
    # A column a row of panels: legends are filled from the top down.
    handles = [
        handle
        for name, series in ROWS
        for handle in (_heading(name.replace("\n", " ")), *(_handle(one) for one in series))
    ]
    legend_below(figure, handles, columns=len(ROWS))
    return figure


@styled
def readout_first_figure(trajectory: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw what is left of J, of the readout gain and of the representation on one axis a member.

    Args:
        trajectory: columns as `TRAJECTORY`; the measures J, gain and rho are drawn.
        look: the members' styles (default: those of this table alone).

    Returns:
        A panel a member, four beside each other. J is a share of that at the run's first snapshot
        of the same seed. Where a line falls before another one, what it measures goes first. Thin
        lines are seeds, bold ones their mean.
    """
    look = look or Look.of(trajectory)
    shares = _with_retained_j(trajectory)
    members = look.order(shares["member"])
    n_columns = across(min(len(members), 4))
    n_rows = -(-len(members) // n_columns)
    figure = new_figure(PAGE_IN, 0.75 + 1.5 * n_rows)
    axes = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    for place, ax in enumerate(axes.flat):
        if place >= len(members):
            ax.set_axis_off()
            continue
        rows = shares[shares["member"] == members[place]]
        reference(ax, 0.0)
        reference(ax, 1.0, strong=True)
        _draw(ax, rows, members[place], SHARES)
        _step_axis(ax, rows, labelled=True)
        letter(ax, place)
        _name(ax, members[place], look)
    axes[0, 0].set_ylim(*_limits(shares, SHARES))
    for ax in axes[:, 0]:
        ax.set_ylabel("share that is left")
    legend_below(figure, [_handle(one) for one in SHARES], columns=len(SHARES))
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, member: str, series: Sequence[Series]) -> None:
    for measure, position, _, color, style in series:
        mine = rows[(rows["measure"] == measure) & (rows["position"] == position)]
        if mine.empty:
            continue
        name = f"{measure}:{position}" if position else measure
        seeds = seeds_of(mine)
        for seed in seeds:
            one = mine[mine["seed"] == seed].sort_values("step")
            thin: dict[str, Any] = {"lw": 1.1} if len(seeds) == 1 else {"lw": 0.5, "alpha": 0.45}
            (line,) = ax.plot(one["step"], one["estimate"], color=color, ls=style, **thin)
            line.set_gid(gid(member, name, seed))
            if len(seeds) == 1 and np.isfinite(one["lo"]).any():
                band = ax.fill_between(
                    one["step"], one["lo"], one["hi"], color=color, alpha=0.13, lw=0, zorder=0.7
                )
                band.set_gid(gid(member, f"{name}:interval", seed))
        if len(seeds) > 1:
            mean = mine.groupby("step", sort=True)["estimate"].mean()
            (line,) = ax.plot(mean.index, mean, color=color, ls=style, lw=1.3, zorder=3)
            line.set_gid(gid(member, name, "mean"))


def _guides(ax: Axes, rows: pd.DataFrame, name: str) -> None:
    reference(ax, 0.0)
    if name != ROWS[0][0]:
        reference(ax, 1.0, strong=True)
        return
    start = rows[(rows["measure"] == "J") & (rows["step"] == rows["step"].min())]
    reference(ax, float(start["estimate"].mean()), strong=True)


def _step_axis(ax: Axes, rows: pd.DataFrame, *, labelled: bool) -> None:
    """Steps from 0 on, as far apart as their logarithms once past the first after it."""
    steps = sorted(rows["step"].unique().tolist())
    first = steps[1] if len(steps) > 1 else 1
    ax.set_xscale("symlog", linthresh=first, linscale=0.5)
    last = steps[-1]
    middle = min(steps, key=lambda step: abs(np.log(max(step, 1)) - np.log(first * last) / 2))
    shown = sorted({0, first, middle, last})
    ax.set_xticks(shown, [str(step) if labelled else "" for step in shown])
    ax.xaxis.set_minor_locator(NullLocator())
    if labelled:
        ax.set_xlabel("training step")
    ax.set_xlim(-0.12 * first, last * 1.08)


def _limits(trajectory: pd.DataFrame, series: Sequence[Series]) -> tuple[float, float]:
    """From 0 to 1 at the least, as far as estimates reach, and never beyond the widest."""
    measures = [measure for measure, *_ in series]
    drawn = trajectory.loc[trajectory["measure"].isin(measures), "estimate"]
    low = min(-0.05, np.nanmin(drawn, initial=0.0) - 0.04)
    high = max(1.06, np.nanmax(drawn, initial=1.0) + 0.04)
    return max(low, WIDEST[0]), min(high, WIDEST[1])


def _with_retained_j(trajectory: pd.DataFrame) -> pd.DataFrame:
    """The table with J, and its limits, as shares of J at the first snapshot of member and seed."""
    keys = ["seed", "member"]
    of_j = trajectory[trajectory["measure"] == "J"]
    first = of_j.sort_values("step").groupby(keys)["estimate"].first().rename("first")
    by = trajectory.join(first, on=keys)["first"].where(trajectory["measure"] == "J", 1.0)
    values = ["estimate", "lo", "hi"]
    return trajectory.assign(**{name: trajectory[name] / by for name in values})


def _name(ax: Axes, member: str, look: Look) -> None:
    ax.set_title(member, color=look.color(member), weight="bold")


def _handle(series: Series) -> Line2D:
    _, _, label, color, style = series
    return Line2D([], [], color=color, ls=style, lw=1.3, label=label)


def _heading(text: str) -> Line2D:
    return Line2D([], [], ls="", label=text)
