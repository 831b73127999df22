"""Fits a figure to a paper's width: sizes of type, titles and labels in lines, fewer ticks.

The figure functions lay out for the house's page. On a narrower one their panels hold, but words
beside and above them run into each other; what is mended here is the same in every figure. The
figure grows in height by the lines that it gains, so that panels keep theirs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from interp.figures.papers import Paper

HOUSE_PT = 7.0
LINE = 1.2
"""Height of a line over its size of type."""
GAP_PT = 3.0
"""Least space between words side by side."""
ROUNDS = 3
"""Breaking words moves panels, which changes the room for words; this often settles."""


def fit(figure: Figure, paper: Paper) -> None:
    """Set type to the paper's sizes and break what does not fit the width; changes the figure."""
    _resize(figure, paper)
    if figure.get_layout_engine() is None:
        return  # laid out by hand, in inches of the page that it was given
    for _ in range(ROUNDS):
        figure.draw_without_rendering()
        broken, lines = _fit_words(figure)
        thinned = _thin_ticks(figure)
        if not broken and not thinned:
            return
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + lines * paper.text_pt * LINE / 72)


def _resize(figure: Figure, paper: Paper) -> None:
    """Text in the same proportions, and never below the floor."""

    def size(points: float) -> float:
        return max(paper.floor_pt, points * paper.text_pt / HOUSE_PT)

    # Ticks are made anew when a figure is drawn, so their sizes are set on their axis.
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            shown = [label.get_fontsize() for label in axis.get_ticklabels()]
            axis.set_tick_params(labelsize=size(shown[0] if shown else HOUSE_PT))
    of_ticks = {
        id(label)
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    of_legends = {id(text) for legend in figure.legends for text in legend.get_texts()}
    for text in figure.findobj(Text):
        if isinstance(text, Text) and id(text) not in of_ticks | of_legends:
            text.set_fontsize(size(text.get_fontsize()))


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
        any_broken |= _broken(ax.yaxis.label, box.height * 1.1, along=1) > 0
    return any_broken, sum(gained.values())


def _room(ax: Axes, shown: Sequence[Axes], figure: Figure) -> tuple[float, float]:
    """From where to where words above and below a panel may reach, in pixels.

    Up to the letter of the next panel on the right; the label is centred, so as far on the left.
    """
    box = ax.get_window_extent()
    letter = 12 * figure.dpi / 72
    right = [
        other.get_window_extent().x0
        for other in shown
        if abs(other.get_window_extent().y1 - box.y1) < 2 and other.get_window_extent().x0 > box.x1
    ]
    end = min(right) - letter if right else figure.bbox.width
    middle = (box.x0 + box.x1) / 2
    return 2 * middle - end, end


def _broken(text: Text, room: float, along: int = 0) -> int:
    """Break a text so that it is at most `room` pixels long; returns the lines it gained."""
    said = text.get_text()
    if not said.strip() or not text.get_visible():
        return 0
    before = said.count("\n") + 1
    length = text.get_window_extent().size[along]
    if length <= room:
        return 0
    longest = max(map(len, said.split("\n")))
    words = " ".join(said.split())
    chars = max(4, int(longest * room / length))
    lines = wrap(words, chars, break_long_words=False, break_on_hyphens=True)
    # Lines of one length look better than a long one over a short one.
    while chars > 4 and len(wrap(words, chars - 1, break_long_words=False)) == len(lines):
        chars -= 1
        lines = wrap(words, chars, break_long_words=False)
    text.set_text("\n".join(lines))
    return max(0, len(lines) - before)


def _thin_ticks(figure: Figure) -> bool:
    """Every other tick of a horizontal axis whose labels run into each other, until none do."""
    thinned = False
    for ax in figure.axes:
        if not ax.get_visible() or not ax.axison:
            continue
        while True:
            ticks = [
                tick
                for tick in ax.xaxis.get_major_ticks()
                if tick.label1.get_visible() and tick.label1.get_text()
            ]
            boxes = [tick.label1.get_window_extent() for tick in ticks]
            gap = GAP_PT / 2 * figure.dpi / 72
            tight = any(a.x1 + gap > b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
            if not tight or len(ticks) < 3:
                break
            kept = ticks[::2]
            ax.set_xticks(
                [float(tick.get_loc()) for tick in kept],
                [tick.label1.get_text() for tick in kept],
            )
            thinned = True
            figure.draw_without_rendering()
    return thinned
