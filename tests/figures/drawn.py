"""Reads back what a figure holds: points, intervals and bands by the id their artists carry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from interp.figures.registry import FIGURES

Tables = Mapping[str, pd.DataFrame]


def figure_of(name: str, tables: Tables) -> Figure:
    """The named figure of a study's tables."""
    spec = FIGURES[name]
    return spec.function(*(tables[table] for table in spec.tables))


def lines(figure: Figure) -> dict[str, np.ndarray]:
    """Each line's x, y [2, points], by its gid."""
    return {
        str(a.get_gid()): np.array([a.get_xdata(), a.get_ydata()])
        for a in figure.findobj(Line2D)
        if a.get_gid()
    }


def bands(figure: Figure) -> dict[str, np.ndarray]:
    """Outline of each filled band [points, 2], by its gid."""
    return {
        str(a.get_gid()): np.asarray(a.get_paths()[0].vertices)
        for a in figure.findobj(PolyCollection)
        if a.get_gid()
    }


def intervals(figure: Figure, axis: int) -> dict[str, np.ndarray]:
    """Ends lo, hi of each whisker by gid, along the given axis (0: horizontal, 1: vertical)."""
    return {
        str(a.get_gid()): np.array([[s[0][axis], s[1][axis]] for s in a.get_segments()])
        for a in figure.findobj(LineCollection)
        if a.get_gid()
    }


def words(figure: Figure) -> list[str]:
    """Every text in the figure, and every entry of its legends."""
    shown = [text.get_text() for text in figure.findobj(Text)]
    return shown + [str(line.get_label()) for line in figure.findobj(Line2D)]
