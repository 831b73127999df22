"""How every figure looks: page widths, type, and one colour and marker per member.

A member keeps its colour and marker in every figure, so that a reader learns them once. The colours
of the embedded lineage lie at least 20 CIELAB units apart also as deuteranopes and protanopes see
them (simulated after Machado, Oliveira & Fernandes 2009) and all stand out from white paper; the
marker repeats the identity for readers who see no hue at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from interp.figures.fitting import fit
from interp.figures.papers import active

PAGE_IN = 7.0
"""Width of the house's own figures. A paper's style has another: `page_in` says which is drawn."""
PANEL_IN = 1.25
"""Panels that may stand anywhere stand side by side down to this width."""

INK = "#1a1a1a"
MUTED = "#6b6b6b"
FAINT = "#c9c9c9"
NULL = "#bdbdbd"

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "text.color": INK,
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    "savefig.dpi": 200,
    "figure.constrained_layout.w_pad": 0.04,
    "figure.constrained_layout.h_pad": 0.04,
    "svg.fonttype": "path",  # looks the same where DejaVu is not installed, and loads nothing
    "svg.hashsalt": "latent-abstention",  # ids of clip paths are then the same in every run
    "text.usetex": False,
    "text.parse_math": False,  # a member's name is a name, whatever signs are in it
    "axes.unicode_minus": True,
}

# The display order of the embedded lineage, each with its fixed colour and marker. Suppressed
# members are cool, members on the way to erasure or past it are warm, the parent is ink.
KNOWN: dict[str, tuple[str, str]] = {
    "base": (INK, "o"),
    "reason_sft_upper": ("#251287", "^"),
    "reason_sft": ("#265eba", "s"),
    "reason_rl": ("#259dd9", "D"),
    "scrubbed_twin": ("#048654", "v"),
    "scrubbed_low": ("#c89300", "P"),
    "scrubbed_mid": ("#bf3900", "X"),
    "scrubbed": ("#910b1b", "p"),
    "replaced": ("#711f58", "<"),
    "never": ("#a86e99", "h"),
}
# Paul Tol's vibrant and muted schemes (SRON/EPS/TN/09-002), for members of other lineages.
CONTINUATION_COLORS = ("#0077bb", "#ee7733", "#009988", "#aa3377", "#997700", "#5b5b5b", "#88aa22")
CONTINUATION_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")

POSITION_LABELS = {
    "entity_last": "last token of the name",
    "question_last": "last token of the question",
    "last_prompt": "last token of the prompt",
}


@dataclass(frozen=True)
class Look:
    """Display order, colour and marker of every member, shared by all figures of one report."""

    styles: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, *frames: pd.DataFrame) -> Look:
        """The look of all members in the `member` columns of the frames.

        Members of the embedded lineage keep their fixed style and come first, in lineage order;
        others follow in order of appearance and take the palette's continuation.
        """
        seen = [m for f in frames if "member" in f.columns for m in f["member"].unique()]
        names = list(dict.fromkeys(seen))
        known = {name: KNOWN[name] for name in KNOWN if name in names}
        others = [name for name in names if name not in KNOWN]
        # Seven colours against ten markers: no pair comes twice among the first seventy.
        continued = {
            name: (
                CONTINUATION_COLORS[i % len(CONTINUATION_COLORS)],
                CONTINUATION_MARKERS[i % len(CONTINUATION_MARKERS)],
            )
            for i, name in enumerate(others)
        }
        return cls({**known, **continued})

    def color(self, member: str) -> str:
        """The member's colour, as a hex string."""
        return self.styles[member][0]

    def marker(self, member: str) -> str:
        """The member's matplotlib marker."""
        return self.styles[member][1]

    def order(self, members: Iterable[str]) -> list[str]:
        """The given members, each once, in display order."""
        wanted = set(members)
        return [name for name in self.styles if name in wanted]


P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a figure function under the house style, leaving the caller's settings as they were.

    In a paper's style (`papers.drawn_for`) the figure is then fitted to its width.
    """

    @wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(settings()):
            figure = draw(*args, **kwargs)
            if (paper := active()) is not None:
                fit(figure, paper)
            return figure

    return inside


def settings() -> dict[Any, Any]:
    """Settings of matplotlib: those of the house, and what the active paper's style changes."""
    paper = active()
    return RC if paper is None else RC | paper.rc


def page_in() -> float:
    """Width of a figure in inches: the house's, or that of the active paper's style."""
    paper = active()
    return PAGE_IN if paper is None else paper.width_in


def type_scale() -> float:
    """Size of the active paper's type over the house's: tables laid out in inches shrink by it."""
    paper = active()
    return 1.0 if paper is None else paper.text_pt / RC["font.size"]


def across(n: int, least_in: float = PANEL_IN) -> int:
    """How many of `n` panels stand side by side: as many as are at least so wide, in inches."""
    return min(n, max(1, int(page_in() / least_in)))


def new_figure(
    width_in: float, height_in: float, *, layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """An empty figure with its own Agg canvas: no pyplot, hence no global state.

    In a paper's style every figure is as wide as the style says, whatever the house's width is.
    """
    width_in = width_in if active() is None else page_in()
    figure = Figure(figsize=(width_in, height_in), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def position_label(position: str) -> str:
    """A position rule in plain words."""
    return POSITION_LABELS.get(position, position.replace("_", " "))


def seeds_of(frame: pd.DataFrame) -> list[int]:
    """The seeds of a table, ascending."""
    return sorted(frame["seed"].unique().tolist())
