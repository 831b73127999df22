"""What a figure is made of: its function, its tables, its caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

INTERVAL = ("seed", "member", "estimate", "lo", "hi")
CELL = ("target", "site", "layer", "position")


@dataclass(frozen=True)
class FigureSpec:
    """One figure: what draws it, from which tables, and what it says.

    Attributes:
        title: short heading.
        function: takes the tables' frames in the order of `tables`, and `look`; returns a Figure.
        tables: table name -> columns it must have.
        caption: what is shown, in plain words; true with one seed and with several.
    """

    title: str
    function: Callable[..., Figure]
    tables: Mapping[str, tuple[str, ...]]
    caption: str
