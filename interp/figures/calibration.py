"""Calibration of the members: reliability diagrams and risk-coverage curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from interp.figures.labels import end_labels
from interp.figures.panels import gid, legend_below, letter
from interp.figures.style import (
    FAINT,
    INK,
    MUTED,
    NULL,
    PAGE_IN,
    Look,
    across,
    new_figure,
    seeds_of,
    styled,
)

RELIABILITY = (
    "seed", "member", "source", "bin", "edge_lo", "edge_hi", "n", "confidence", "estimate", "lo",
    "hi",
)  # fmt: skip
RISK_COVERAGE = ("seed", "member", "source", "coverage", "estimate", "lo", "hi")
COLUMNS = 4
LEAST_IN = 2.4  # of a panel with the names at the ends of its lines
# Height of the bars under a diagram that stand for all answers, in units of its axis.
FULL_BAR = 0.25


@styled
def reliability_figure(reliability: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw accuracy over confidence, a panel for each source of confidence and member.

    Args:
        reliability: columns `RELIABILITY`: rows of `interp.behavior.reliability_table` with seed
            and member.
        look: the members' styles (default: those of this table alone).

    Returns:
        Panels in rows of up to four, each source beginning a row. On the diagonal confidence is
        accuracy; below it the member says more than it knows. Bars at the foot are the share of
        answers in each bin.
    """
    look = look or Look.of(reliability)
    sources = list(dict.fromkeys(reliability["source"]))
    short = _without_shared_end(sources)
    panels: list[tuple[str, str] | None] = []
    columns = across(min(COLUMNS, reliability["member"].nunique()))
    for source in sources:
        here = look.order(reliability.loc[reliability["source"] == source, "member"])
        panels += [(source, member) for member in here]
        panels += [None] * (-len(panels) % columns)
    n_rows = len(panels) // columns
    figure = new_figure(PAGE_IN * columns / COLUMNS + 0.4 * (columns < 3), 0.6 + 1.8 * n_rows)
    axes = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    drawn = 0
    for ax, panel in zip(axes.flat, panels, strict=True):
        if panel is None:
            ax.set_axis_off()
            continue
        source, member = panel
        chosen = (reliability["source"] == source) & (reliability["member"] == member)
        _diagram(ax, reliability[chosen], source, member, look)
        letter(ax, drawn, member if len(sources) == 1 else f"{member}\n{short[source]}")
        drawn += 1
    for column in range(columns):
        shown = [row for row in range(n_rows) if panels[row * columns + column]]
        if not shown:
            continue
        axes[shown[-1], column].set_xlabel("confidence")
        axes[shown[-1], column].tick_params(labelbottom=True)
    for ax in axes[:, 0]:
        ax.set_ylabel("accuracy")
    one = len(seeds_of(reliability)) == 1
    label = "answers of a bin, 95% interval" if one else "answers of a bin, all seeds"
    legend_below(
        figure,
        [
            Line2D([], [], color=INK, marker="o", ms=3.2, label=label),
            Line2D([], [], color=MUTED, lw=0.7, ls=(0, (4, 2)), label="calibrated"),
            Patch(color=NULL, lw=0, label=f"share of answers (all: {FULL_BAR:g})"),
        ],
        columns=3 if columns > 2 else 1,
    )
    return figure


def _diagram(ax: Axes, rows: pd.DataFrame, source: str, member: str, look: Look) -> None:
    (guide,) = ax.plot([0, 1], [0, 1], color=MUTED, lw=0.7, ls=(0, (4, 2)), zorder=0.5)
    guide.set_gid(gid(member, f"{source}:calibrated", "all"))
    seeds, color = seeds_of(rows), look.color(member)
    pooled = _pooled(rows)
    ax.bar(
        pooled["edge_lo"], FULL_BAR * pooled["n"] / pooled["n"].sum(), align="edge", color=NULL,
        width=pooled["edge_hi"] - pooled["edge_lo"], edgecolor="white", lw=0.4, zorder=0.6,
        gid=gid(member, f"{source}:share", "all"),
    )  # fmt: skip
    for seed in seeds:
        own = rows[rows["seed"] == seed].sort_values("bin")
        if len(seeds) == 1:
            bars = ax.vlines(own["confidence"], own["lo"], own["hi"], color=color, lw=0.7)
            bars.set_gid(gid(member, f"{source}:interval", seed))
            _line(ax, own, member, look, gid(member, source, seed))
        else:
            (thin,) = ax.plot(own["confidence"], own["estimate"], lw=0.5, alpha=0.5, color=color)
            thin.set_gid(gid(member, source, seed))
    if len(seeds) > 1:
        _line(ax, pooled, member, look, gid(member, source, "mean"))
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([0, 0.5, 1], ["0", "0.5", "1"])


def _pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """Bins with the answers of all seeds in them: a bin of few says little by itself."""
    sums = rows[["confidence", "estimate"]].mul(rows["n"], axis=0).assign(n=rows["n"])
    sums = sums.groupby(rows["bin"]).sum()
    means = sums[["confidence", "estimate"]].div(sums["n"], axis=0).assign(n=sums["n"])
    edges = rows.groupby("bin").agg({"edge_lo": "min", "edge_hi": "max"})
    return means.join(edges)


def _line(ax: Axes, rows: pd.DataFrame, member: str, look: Look, name: str) -> None:
    (line,) = ax.plot(
        rows["confidence"], rows["estimate"], marker=look.marker(member), ms=3, mew=0.7,
        color=look.color(member), zorder=3, clip_on=False,
    )  # fmt: skip
    line.set_gid(name)


@styled
def risk_coverage_figure(risk_coverage: pd.DataFrame, *, look: Look | None = None) -> Figure:
    """Draw the share of wrong answers over the share of questions answered, the surest first.

    Args:
        risk_coverage: columns `RISK_COVERAGE`: rows of
            `interp.behavior.calibration.selective.risk_coverage_table` with seed and member.
        look: the members' styles (default: those of this table alone).

    Returns:
        A panel for each source of confidence, a line for each member. It ends at the member's error
        rate; confidence that knows nothing would be level at that height.
    """
    look = look or Look.of(risk_coverage)
    sources = list(dict.fromkeys(risk_coverage["source"]))
    columns = across(min(2, len(sources)), LEAST_IN)
    n_rows = -(-len(sources) // columns)
    figure = new_figure(PAGE_IN if columns == 2 else 0.6 * PAGE_IN, 0.8 + 2.2 * n_rows)
    axes = figure.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    top = min(1.02, 1.05 * float(np.nanmax(risk_coverage[["estimate", "hi"]])) + 0.02)
    ends_of: list[tuple[Axes, dict[str, float]]] = []
    for index, (ax, source) in enumerate(zip(axes.flat, sources, strict=False)):
        of_source = risk_coverage[risk_coverage["source"] == source]
        ends: dict[str, float] = {}
        for member in look.order(of_source["member"]):
            rows = of_source[of_source["member"] == member]
            ends[member] = _risks(ax, rows, source, member, look)
        ax.set(xlim=(0, 1.0), ylim=(-0.02, top), xlabel="share of questions answered")
        ax.tick_params(labelbottom=True)
        letter(ax, index, _capital(_words(source)))
        ends_of.append((ax, ends))
    for ax in axes.flat[len(sources) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("share wrong of those answered")
    several = len(seeds_of(risk_coverage)) > 1
    note = "mean over seeds" if several else "95% interval, each coverage by itself"
    key = Line2D([], [], color=MUTED, lw=1.1) if several else Patch(color=FAINT, lw=0)
    key.set_label(note)
    legend_below(figure, [key], columns=1)
    figure.draw_without_rendering()
    for ax, ends in ends_of:
        end_labels(ax, ends, look)
    return figure


def _risks(ax: Axes, rows: pd.DataFrame, source: str, member: str, look: Look) -> float:
    """One member's curve; returns its risk at the right end."""
    seeds, color = seeds_of(rows), look.color(member)
    for seed in seeds:
        own = rows[rows["seed"] == seed].sort_values("coverage")
        if len(seeds) == 1:
            band = ax.fill_between(
                own["coverage"], own["lo"], own["hi"], color=color, alpha=0.12, lw=0, zorder=1
            )
            band.set_gid(gid(member, f"{source}:interval", seed))
        (line,) = ax.plot(
            own["coverage"], own["estimate"], color=color, zorder=3,
            lw=1.1 if len(seeds) == 1 else 0.5, alpha=1 if len(seeds) == 1 else 0.5,
        )  # fmt: skip
        line.set_gid(gid(member, source, seed))
    mean = rows.groupby("coverage", sort=True)["estimate"].mean()
    if len(seeds) > 1:
        (line,) = ax.plot(mean.index, mean, color=color, zorder=3)
        line.set_gid(gid(member, source, "mean"))
    (end,) = ax.plot(
        mean.index[-1:], mean[-1:], look.marker(member), color=color, ms=3.4, zorder=4,
        clip_on=False,
    )  # fmt: skip
    end.set_gid(gid(member, f"{source}:end", "mean"))
    return float(mean.iloc[-1])


def _without_shared_end(sources: Sequence[str]) -> dict[str, str]:
    """Sources in words; "direct, margin" and "chain, margin" differ before their last comma."""
    ends = {source.rpartition(", ")[2] for source in sources}
    shared = len(ends) == 1 and all(", " in source for source in sources)
    return {source: _words(source.rpartition(", ")[0] if shared else source) for source in sources}


def _words(source: str) -> str:
    return source.replace("_", " ")


def _capital(words: str) -> str:
    """The first letter as a capital, all others as they are: P(IK) stays."""
    return words[:1].upper() + words[1:]
