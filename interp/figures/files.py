"""Figures as files: PDF for LaTeX, PNG to look at, SVG for the web; the same bytes every time.

PDF embeds its fonts as TrueType (type 42), so that its words can be searched and copied. SVG has
its words as paths: an SVG cannot carry a font without loading one, and the house's is missing on
most machines, where a wider one in its place would run into what stands beside it. Each word's text
stays in the file as a comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from interp.errors import InputError
from interp.figures.style import settings

MAKER = "latent-abstention"
DPI = 200
FORMATS = ("pdf", "png")
"""What a study leaves."""


def _pdf(title: str, run_id: str) -> dict[str, str | None]:
    return {
        "Title": title,
        "Subject": f"run {run_id}",
        "Keywords": run_id,
        "Creator": MAKER,
        "CreationDate": None,
    }


def _png(title: str, run_id: str) -> dict[str, str | None]:
    return {"Title": title, "Run": run_id, "Software": MAKER}


def _svg(title: str, run_id: str) -> dict[str, str | None]:
    # The type would be an address of the web.
    return {
        "Title": title, "Identifier": run_id, "Creator": MAKER, "Date": None, "Type": None,
    }  # fmt: skip


FILES: dict[str, Callable[[str, str], dict[str, str | None]]] = {
    "pdf": _pdf,
    "png": _png,
    "svg": _svg,
}
"""Format -> its metadata, of a figure's title and run id."""


def check_formats(formats: Sequence[str]) -> None:
    """Refuse a format that is not written.

    Raises:
        InputError: names it and those that are.
    """
    for name in formats:
        if name not in FILES:
            raise InputError(f"no figure format '{name}'; there are {', '.join(FILES)}")
    if not formats:
        raise InputError(f"no figure format was given; there are {', '.join(FILES)}")


def save(
    figure: Figure, stem: Path, title: str, run_id: str, *, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write a figure as `<stem>.<format>` (PNG: 200 dpi) with the run id in the metadata.

    Args:
        figure: what is written.
        stem: path without an ending.
        title: of the figure.
        run_id: of the run whose tables it shows.
        formats: of `FILES`.
    """
    paths = [stem.with_suffix(f".{name}") for name in formats]
    with mpl.rc_context(settings()):
        for path, name in zip(paths, formats, strict=True):
            # Written aside and renamed, so that a kill leaves no half figure under the name.
            partial = path.with_name(f".{path.name}.partial")
            figure.savefig(partial, format=name, dpi=DPI, metadata=FILES[name](title, run_id))
            if name == "svg":
                _without_doctype(partial)
            partial.replace(path)
    return paths


def _without_doctype(path: Path) -> None:
    """Take out the address of a document type, which a reader of XML may want to load."""
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"<!DOCTYPE.*?>\s*", "", text, count=1, flags=re.S), encoding="utf-8")
