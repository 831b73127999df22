"""Styles of papers: how wide a figure is printed, and in what type.

A figure is drawn at the width at which it is printed, so that LaTeX need not scale it and type has
the size that was chosen. The numbers, and where they come from, are in `papers.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import yaml

from interp.errors import InputError

SERIF = ["STIXGeneral", "DejaVu Serif"]
"""Looks like the Times of these venues, comes with matplotlib, and is embedded like any other."""


@dataclass(frozen=True)
class Paper:
    """The style of one venue.

    Attributes:
        name: as in `papers.yaml`; the folder of figures drawn in it.
        width_in: every figure's width in inches.
        text_pt: size of labels and ticks in points; other text keeps its proportion to them.
        floor_pt: no text is smaller.
        source: where the width comes from.
        serif: type with serifs, as in these venues' text, and not the sans serif of the house.
    """

    name: str
    width_in: float
    text_pt: float
    floor_pt: float
    source: str
    serif: bool = False

    @classmethod
    def load(cls, name: str, *, serif: bool = False) -> Paper:
        """The style of that name.

        Args:
            name: "neurips", "icml-column" and so on.
            serif: type with serifs.

        Raises:
            InputError: there is none; names those that are there.
        """
        known = {paper.name: paper for paper in papers()}
        if name not in known:
            raise InputError(f"no paper style '{name}'; there are {', '.join(known)}")
        return replace(known[name], serif=serif)

    @property
    def rc(self) -> dict[str, Any]:
        """Settings of matplotlib that differ from the house's."""
        return {"font.family": SERIF} if self.serif else {}


@cache
def papers() -> tuple[Paper, ...]:
    """All styles, in the order of `papers.yaml`."""
    text = resources.files("interp.figures").joinpath("papers.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return tuple(
        Paper(name=name, floor_pt=content["floor_pt"], **values)
        for name, values in content["papers"].items()
    )


_ACTIVE: ContextVar[Paper | None] = ContextVar("paper", default=None)


def active() -> Paper | None:
    """The style that figures are drawn in now; None for the house's own."""
    return _ACTIVE.get()


@contextmanager
def drawn_for(paper: Paper | None) -> Iterator[None]:
    """Draw in a paper's style inside this block."""
    token = _ACTIVE.set(paper)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
