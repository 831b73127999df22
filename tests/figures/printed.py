"""What a reader of the printed figure sees of its words: which, where, and how large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import BboxBase

from interp.figures.papers import Paper, drawn_for
from interp.figures.registry import FIGURES, all_figures, spec_of
from interp.tables import read_csv
from tests.figures.feature_tables import feature_tables
from tests.figures.reasoning_tables import reasoning_tables
from tests.figures.tables import MEMBERS, study_tables
from tests.figures.test_kinds_figures import KINDS

COMMITTED = Path(__file__).parents[2] / "figures"
FEW = ("base", "reason_sft_upper", "replaced", "never")


@dataclass(frozen=True)
class Word:
    """One text as it is printed; the box is in inches from the lower left corner."""

    text: str
    size: float
    box: BboxBase


def printed(figure: Figure) -> list[Word]:
    """All texts that are seen, in a figure as it is laid out when it is written."""
    figure.draw_without_rendering()
    unseen = {id(text) for ax in figure.axes for text in _unseen(ax)}
    to_inches = figure.dpi_scale_trans.inverted()
    return [
        Word(
            text.get_text(),
            float(text.get_fontsize()),
            # An annotation's own box holds its arrow too.
            Text.get_window_extent(text).transformed(to_inches),
        )
        for text in figure.findobj(Text)
        if isinstance(text, Text)
        and text.get_visible()
        and text.get_text().strip()
        and id(text) not in unseen
    ]


def _unseen(ax: Axes) -> Iterator[Text]:
    if not ax.get_visible():
        yield from (text for text in ax.findobj(Text) if isinstance(text, Text))
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        room = 1e-9 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not ax.axison or not low - room <= tick.get_loc() <= high + room:
                yield from (tick.label1, tick.label2)


def beyond(shown: Sequence[Word], width: float, height: float) -> list[str]:
    """Texts that reach beyond a page of so many inches by more than half a point."""
    room = 0.5 / 72
    return [
        word.text
        for word in shown
        if min(word.box.x0, word.box.y0) < -room
        or word.box.x1 > width + room
        or word.box.y1 > height + room
    ]


def overlapping(shown: Sequence[Word]) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than a point in both directions."""
    room = 1 / 72
    return [
        (a.text, b.text)
        for a, b in combinations(shown, 2)
        if min(a.box.x1, b.box.x1) - max(a.box.x0, b.box.x0) > room
        and min(a.box.y1, b.box.y1) - max(a.box.y0, b.box.y0) > room
    ]


@cache
def tables_of_every_kind() -> Mapping[str, pd.DataFrame]:
    """Small tables that every registered figure can be drawn from.

    Those of training objectives and of the layer claim are the committed ones, of few members.
    """
    committed = {
        path.stem: read_csv(path)
        for study, names in (
            ("objectives", ("signature", "claims", "trajectory", "repairs")),
            ("reasoning", ("layer_curves", "layer_claims", "layer_steps")),
        )
        for path in (COMMITTED / study / f"{name}.csv" for name in names)
    }
    for name in ("trajectory", "repairs"):
        members = committed[name]["member"].unique()[:5]
        committed[name] = committed[name][committed[name]["member"].isin(members)]
    for name, column in (("claims", "against"), ("layer_curves", "target")):
        committed[name] = committed[name].fillna({column: "", "mode": "", "parent": ""})
    committed["layer_steps"] = committed["layer_steps"].fillna({"target": ""})
    few = {name: MEMBERS[name] for name in FEW}
    return (
        feature_tables(n_layers=3)
        | reasoning_tables(members=FEW[:3])
        | committed
        | study_tables(members=few, n_layers=4)
        | {"kinds": KINDS}
    )


def drawn_in(name: str, paper: Paper | None) -> Figure:
    """The named figure in a paper's style."""
    tables, spec = tables_of_every_kind(), spec_of(name)
    with drawn_for(paper):
        return spec.function(*(tables[table] for table in spec.tables))


STUDY = tuple(FIGURES)
OTHER = tuple(
    name
    for name in all_figures()
    # The layer claim is drawn for each strategy by the same function.
    if name not in FIGURES and not name.startswith("layers_")
)


def assert_printable(name: str, style: str) -> None:
    """The figure has the style's width, no word too small, outside the page or over another."""
    paper = Paper.load(style)
    figure = drawn_in(name, paper)
    shown = printed(figure)
    width, height = figure.get_size_inches()
    assert width == paper.width_in
    assert min(word.size for word in shown) >= paper.floor_pt
    assert not beyond(shown, width, height)
    assert not overlapping(shown)
