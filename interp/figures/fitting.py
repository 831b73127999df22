"""Fits a figure to a paper's width: sizes of type, titles and labels in lines, fewer ticks.

The figure functions lay out for the house's page. On a narrower one their panels hold, but words
beside and above them run into each other; what is mended here is the same in every figure. The
figure grows in height by the lines that it gains, so that panels keep theirs.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from interp.figures.papers import Paper

HOUSE_PT = 7.0
LINE = 1.2
"""Height of a line over its size of type."""
GAP_PT = 3.0
"""Least space between words side by side."""
LETTER_PT = 14.0
"""What a panel's letter takes on its left."""
WIDEST_NAME = 0.2
"""Share of the figure that the name of a row of panels may take."""
EDGE_IN = 0.01
ROUNDS = 3
"""Breaking words moves panels, which changes the room for words; this often settles."""


def fit(figure: Figure, paper: Paper) -> None:
    """Set type to the paper's sizes and break what does not fit the width; changes the figure."""
    _resize(figure, paper)
    if figure.get_layout_engine() is None:
        return  # laid out by hand, in inches of the page that it was given
    for ax in figure.axes:  # first, as panels have no room beside long names
        if ax.yaxis.label.get_rotation() == 0:
            _broken(ax.yaxis.label, figure.bbox.width * WIDEST_NAME, apart=True)
    for _ in range(ROUNDS):
        figure.draw_without_rendering()
        broken, lines = _fit_words(figure)
        thinned = _thin_ticks(figure)
        if not broken and not thinned:
            break
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + lines * paper.text_pt * LINE / 72)
    figure.draw_without_rendering()  # ticks follow the size of their panel, so the layout does
    _hold(figure)


def _resize(figure: Figure, paper: Paper) -> None:
    """Text in the same proportions, and never below the floor."""

    def size(text: Text) -> float:
        return max(paper.floor_pt, float(text.get_fontsize()) * paper.text_pt / HOUSE_PT)

    # Ticks are made anew when a figure is drawn, so their sizes are set on their axis.
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            shown = axis.get_ticklabels()
            axis.set_tick_params(labelsize=size(shown[0] if shown else axis.label))
    of_ticks = {
        id(label)
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    of_legends = {id(text) for legend in figure.legends for text in legend.get_texts()}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in of_ticks | of_legends:
            text.set_fontsize(size(text))


def _fit_words(figure: Figure) -> tuple[bool, int]:
    """Titles and labels of axes in as many lines as their room asks for.

    Returns:
        Whether any was broken, and how many lines the figure gained from top to bottom.
    """
    any_broken = False
    shown = [ax for ax in figure.axes if ax.get_visible() and ax.axison]
    gained: dict[tuple[int, str], int] = defaultdict(int)
    for ax in shown:
        box = ax.get_window_extent()
        row = round(box.y1)
        start, end = _room(ax, shown, figure)
        pad = GAP_PT * figure.dpi / 72
        for name, text, room in (
            ("title", ax._left_title, end - box.x0 - pad),  # type: ignore[attr-defined]
            ("label", ax.xaxis.label, end - start - pad),
        ):
            key = (row, name)
            before = text.get_text()
            gained[key] = max(gained[key], _broken(text, room))
            any_broken |= text.get_text() != before
        if ax.yaxis.label.get_rotation() != 0:
            any_broken |= _broken(ax.yaxis.label, box.height * 1.1, along=1) > 0
    return any_broken, sum(gained.values())


def _room(ax: Axes, shown: Sequence[Axes], figure: Figure) -> tuple[float, float]:
    """From where to where words above and below a panel may reach, in pixels.

    Up to the letter of the next panel on the right; the label is centred, so as far on the left.
    """
    box = ax.get_window_extent()
    letter = LETTER_PT * figure.dpi / 72
    right = [
        other.get_window_extent().x0
        for other in shown
        if abs(other.get_window_extent().y1 - box.y1) < 2 and other.get_window_extent().x0 > box.x1
    ]
    beside = [text.get_window_extent() for text in ax.texts if text.get_text().strip()]
    ends = [box_of.x0 - letter / 4 for box_of in beside if box_of.x0 >= box.x1]
    end = min([figure.bbox.width, *ends, *(x0 - letter for x0 in right)])
    middle = (box.x0 + box.x1) / 2
    return 2 * middle - end, end


def _broken(text: Text, room: float, along: int = 0, *, apart: bool = False) -> int:
    """Break a text so that it is at most `room` pixels long; returns the lines it gained.

    Its lines are broken anew together, or `apart` where each of them says something else.
    """
    said = text.get_text()
    if not said.strip() or not text.get_visible():
        return 0
    before = said.count("\n") + 1
    length = text.get_window_extent().size[along]
    if length <= room:
        return 0
    longest = max(map(len, said.split("\n")))
    chars = max(4, int(longest * room / length))
    if apart:
        lines = [line for part in said.split("\n") for line in lines_of(part, chars)]
    else:
        lines = lines_of(said, chars)
        # Lines of one length look better than a long one over a short one.
        while chars > 4 and len(lines_of(said, chars - 1)) == len(lines):
            chars -= 1
        lines = lines_of(said, chars)
    text.set_text("\n".join(lines))
    return max(0, len(lines) - before)


def lines_of(said: str, chars: int) -> list[str]:
    """Words in lines of at most so many characters, where no part between breaks is longer.

    Breaks are at spaces and, as members are called so, after the underscores of a name.
    """
    lines: list[str] = []
    for word in said.split():
        joint = " "
        for part in re.findall(r"[^_]*_+|[^_]+", word):
            if lines and len(lines[-1]) + len(joint) + len(part) <= chars:
                lines[-1] += joint + part
            else:
                lines.append(part)
            joint = ""
    return lines


def _thin_ticks(figure: Figure) -> bool:
    """Every other tick of an axis whose labels run into each other, until none do."""
    thinned = False
    shown = [ax for ax in figure.axes if ax.get_visible() and ax.axison]
    axes = [axis for ax in shown for axis in (ax.xaxis, ax.yaxis)]
    while True:
        # Axes that share their ticks are thinned once.
        crowded = {
            id(axis.major): (axis, ticks)
            for axis in axes
            if _crowded(ticks := _labelled(axis), axis is axis.axes.xaxis)
        }
        if not crowded:
            return thinned
        thinned = True
        for axis, ticks in crowded.values():
            axis.set_ticks(
                [float(tick.get_loc()) for tick in ticks[::2]],
                labels=[tick.label1.get_text() for tick in ticks[::2]],
            )
        figure.draw_without_rendering()


def _labelled(axis: Axis) -> list[Tick]:
    low, high = sorted(axis.get_view_interval())
    room = 1e-9 * (high - low)
    return [
        tick
        for tick in axis.get_major_ticks()
        if tick.label1.get_visible()
        and tick.label1.get_text()
        and low - room <= tick.get_loc() <= high + room
    ]


def _crowded(ticks: Sequence[Tick], flat: bool) -> bool:
    """Whether labels of an axis are nearer than they may be; two are never too many."""
    boxes = [tick.label1.get_window_extent() for tick in ticks]
    if len(boxes) < 3:
        return False
    figure = ticks[0].get_figure(root=True)
    assert figure is not None
    gap = GAP_PT / 2 * figure.dpi / 72 if flat else 0.0
    ends = sorted((box.x0, box.x1) if flat else (box.y0, box.y1) for box in boxes)
    return any(end + gap > start for (_, end), (start, _) in pairwise(ends))


def _hold(figure: Figure) -> None:
    """Make room at the edges for what reaches beyond them, such as the label of a last tick."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    left, low = (max(0.0, -end + EDGE_IN) if end < 0 else 0.0 for end in (box.x0, box.y0))
    right = max(0.0, box.x1 - width + EDGE_IN) if box.x1 > width else 0.0
    top = max(0.0, box.y1 - height + EDGE_IN) if box.y1 > height else 0.0
    if left or low or right or top:
        engine.set(
            rect=(left / width, low / height,
                  1 - (left + right) / width, 1 - (low + top) / height)
        )  # fmt: skip
        figure.draw_without_rendering()
