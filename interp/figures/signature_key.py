"""What the colours and the letters of the signature mean, below its table."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from interp.figures.calls import VERDICT_COLORS
from interp.figures.style import FAINT, MUTED

DIVERGING = LinearSegmentedColormap.from_list("below_above", ["#d9822b", "#ffffff", "#3d7ebf"])
CODES = {
    "DESELECTED": "D", "ERASED": "E", "REPURPOSED": "R", "ATTENUATED": "A", "NEVER-LATENT": "N",
    "KNOWLEDGE-DRIVEN": "K", "NO-EFFECT": "0", "INCONCLUSIVE": "?", "SUITE NOT VALID": "!",
}  # fmt: skip
PLAIN = "#8a8a8a"
CHIP_IN, KEY_IN = 0.14, 0.46
LINE_IN = 0.13
"""Each further line of the words, and of the chips."""
CHIP_LINE_IN = 0.18
LETTER_IN = 0.05
ABOVE = "above base, by the column's largest distance; second line: lowest to highest seed"
BAR_IN, BEFORE_IN, AFTER_IN = 0.84, 0.55, 0.89


def key_in(words: Mapping[str, str], page: float, x: float) -> float:
    """Height of the key in inches: one line of colours and one of chips, or more on a narrow page.

    Args:
        words: verdict -> its letter.
        page: width of the table in inches.
        x: where the key begins.
    """
    chips = CHIP_LINE_IN * (len(_lines(words, page, x)) - 1)
    return KEY_IN + LINE_IN * (len(_above(page, x)) - 1) + chips


def draw_key(ax: Axes, words: Mapping[str, str], y: float, x: float, page: float) -> None:
    """Draw the bar of colours with its words, and beneath it a chip for each verdict.

    Args:
        ax: in inches, downwards.
        words: verdict -> its letter.
        y: middle of the first line.
        x: where it begins.
        page: where it has to end.
    """
    ax.text(x, y, "below base", size=6, va="center", ha="left", color=MUTED)
    start = x + BEFORE_IN
    for index, step in enumerate(np.linspace(-1, 1, 21)):
        ax.add_patch(Rectangle((start + 0.04 * index, y - 0.045), 0.041, 0.09, lw=0,
                               fc=DIVERGING(0.5 + 0.4 * step)))  # fmt: skip
    ax.add_patch(Rectangle((start, y - 0.045), BAR_IN, 0.09, fill=False, ec=FAINT, lw=0.4))
    above = _above(page, x)
    for row, said in enumerate(above):
        ax.text(start + AFTER_IN, y + LINE_IN * row, said, size=6, va="center", color=MUTED)
    y += LINE_IN * (len(above) - 1)
    for line in _lines(words, page, x):
        at = x
        for word in line:
            ax.add_patch(Rectangle((at, y + 0.13), CHIP_IN, 0.14, lw=0,
                                   fc=VERDICT_COLORS.get(word, PLAIN)))  # fmt: skip
            ax.text(at + CHIP_IN / 2, y + 0.2, words[word], size=6, color="white", weight="bold",
                    ha="center", va="center")  # fmt: skip
            ax.text(at + CHIP_IN + 0.04, y + 0.2, _said(word), size=6, va="center")
            at += _chip_in(word)
        y += CHIP_LINE_IN


def _above(page: float, x: float) -> list[str]:
    return wrap(ABOVE, max(12, int((page - x - BEFORE_IN - AFTER_IN) / (0.93 * LETTER_IN))))


def _lines(words: Mapping[str, str], page: float, x: float) -> list[list[str]]:
    """Verdicts in lines that end on the page."""
    lines: list[list[str]] = [[]]
    for word in words:
        if lines[-1] and x + sum(map(_chip_in, [*lines[-1], word])) > page:
            lines.append([])
        lines[-1].append(word)
    return lines


def _chip_in(word: str) -> float:
    return CHIP_IN + 0.14 + 0.05 * len(_said(word))


def _said(word: str) -> str:
    return word.lower().replace("-", " ")
