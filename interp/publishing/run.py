"""What a finished run leaves for people: tables as CSV, figures, and the report."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from interp.errors import InputError
from interp.publishing.asked import asked_of
from interp.tables import read_csv, replacing, write_csv

if TYPE_CHECKING:
    from interp.figures import Paper

UNPUBLISHED = ("items", "projections")
"""Tables too long to stand beside the figures; the cache has them as parquet.

What they say question by question stands in `prompts.json`, as far as it is small.
"""
PACKAGES = ("torch", "transformers", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib")


def is_published(folder: Path, run: Mapping[str, Any]) -> bool:
    """Whether this very run stands in the folder, whole; by which versions is no matter.

    Args:
        folder: of the figures.
        run: what `run.json` says of a run.
    """
    stamp = folder / "run.json"
    if not stamp.exists():
        return False
    there = json.loads(stamp.read_text(encoding="utf-8"))
    return isinstance(there, dict) and _stamp(_bare(there)) == _stamp(_bare(run))


def publish(tables: Mapping[str, pd.DataFrame], folder: Path, run: Mapping[str, Any]) -> None:
    """Writes tables, figures and report, unless this very run already stands there.

    Args:
        tables: tidy tables by name.
        folder: of the run.
        run: as from `interp.tables.run_info`; its `figures` names those to draw (default: those
            of a study that judges). The versions of the packages at work are written down with it.
    """
    if is_published(folder, run):
        return
    stamp = folder / "run.json"
    stamp.unlink(missing_ok=True)
    for ending in (".csv", ".pdf", ".png", ".svg"):  # of an earlier run, which may have left others
        for path in folder.glob(f"*{ending}"):
            path.unlink()
    # As it will be read from its file, so that it draws the same now and later.
    run = json.loads(_stamp({"versions": versions()} | dict(run)))
    for name, frame in tables.items():
        if name not in UNPUBLISHED:
            write_csv(frame, folder / f"{name}.csv")
    write_prompts(tables, folder, run)
    redraw(folder, run)
    stamp.write_text(_stamp(run), encoding="utf-8")


def write_prompts(
    tables: Mapping[str, pd.DataFrame], folder: Path, run: Mapping[str, Any]
) -> Path | None:
    """Writes `prompts.json`, the data of the report's explorer; equal tables give equal bytes.

    Args:
        tables: `items`, and optionally `projections`; without replies an earlier file goes.
        folder: of the run.
        run: the replies are of.

    Returns:
        The file; None where there are no replies.
    """
    from interp.figures.report import PROMPTS
    from interp.figures.report_prompts import prompts_json

    path, items = folder / PROMPTS, tables.get("items")
    if items is None or items.empty:
        path.unlink(missing_ok=True)
        return None
    text = prompts_json(
        items,
        str(run["run_id"]),
        questions=asked_of(run, items),
        projections=tables.get("projections"),
    )
    with replacing(path) as partial:
        partial.write_text(text + "\n", encoding="ascii", newline="\n")
    return path


def redraw(
    folder: Path,
    run: Mapping[str, Any] | None = None,
    *,
    names: Sequence[str] | None = None,
    formats: Sequence[str] = ("pdf", "png"),
    paper: Paper | None = None,
) -> list[Path]:
    """Draws figures and report from the tables in a run's folder; no model is needed.

    Args:
        folder: of the figures.
        run: name and settings of the run; by default those in the folder's `run.json`.
        names: of figures; by default those of the run, and with them its report.
        formats: "pdf", "png", "svg".
        paper: style of a paper, whose figures go into a folder of its name in that of the run.

    Raises:
        InputError: the folder is not one of a finished run, or no such figure or format.
    """
    from interp.figures import FIGURES, draw, write_report

    if run is None:
        stamp = folder / "run.json"
        if not stamp.exists():
            raise InputError(f"{folder} holds no finished study; run `interp study {folder.name}`")
        run = json.loads(stamp.read_text(encoding="utf-8"))
    tables = {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}
    drawn = draw(
        tables,
        folder if paper is None else folder / paper.name,
        run,
        names=names or run.get("figures", tuple(FIGURES)),
        formats=formats,
        paper=paper,
    )
    if names or paper is not None:
        return drawn
    return [*drawn, write_report(tables, folder / "report.html", run, folder)]


def versions() -> dict[str, str]:
    """Of Python and of the packages that numbers hang on, on this machine."""
    return {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written: an empty word is a word, an empty number is missing."""
    frame = read_csv(path)
    words = [
        name
        for name in ("parent", "call", "target", "against", "mode", "position", "sentence", "text")
        if name in frame
    ]
    return frame.assign(**{name: frame[name].fillna("") for name in words})


def _bare(run: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in run.items() if key != "versions"}


def _stamp(run: Mapping[str, Any]) -> str:
    return json.dumps(run, indent=1, sort_keys=True) + "\n"
