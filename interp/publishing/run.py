"""What a finished run leaves for people: tables as CSV, figures and, of a study, the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from interp.errors import InputError
from interp.tables import read_csv, write_csv

UNPUBLISHED = ("items",)
"""Tables too long to stand beside the figures; the cache has them as parquet."""


def is_published(folder: Path, run: Mapping[str, Any]) -> bool:
    """Whether this very run stands in the folder, whole.

    Args:
        folder: of the figures.
        run: what `run.json` says of a run.
    """
    stamp = folder / "run.json"
    return stamp.exists() and stamp.read_text(encoding="utf-8") == _stamp(run)


def publish(tables: Mapping[str, pd.DataFrame], folder: Path, run: Mapping[str, Any]) -> None:
    """Writes tables, figures and report, unless this very run already stands there.

    Args:
        tables: tidy tables by name.
        folder: of the run.
        run: as from `interp.tables.run_info`; its `figures` names those to draw (default: those
            of a study that judges). Who was judged has a report.
    """
    if is_published(folder, run):
        return
    stamp = folder / "run.json"
    stamp.unlink(missing_ok=True)
    for ending in (".csv", ".pdf", ".png"):  # of an earlier run, which may have left others
        for path in folder.glob(f"*{ending}"):
            path.unlink()
    for name, frame in tables.items():
        if name not in UNPUBLISHED:
            write_csv(frame, folder / f"{name}.csv")
    redraw(folder, run)
    stamp.write_text(_stamp(run), encoding="utf-8")


def redraw(folder: Path, run: Mapping[str, Any] | None = None) -> list[Path]:
    """Draws figures and report from the tables in a run's folder; no model is needed.

    Args:
        folder: of the figures.
        run: name and settings of the run; by default those in the folder's `run.json`.

    Raises:
        InputError: the folder is not one of a finished run.
    """
    from interp.figures import FIGURES, draw, write_report

    if run is None:
        stamp = folder / "run.json"
        if not stamp.exists():
            raise InputError(f"{folder} holds no finished study; run `interp study {folder.name}`")
        run = json.loads(stamp.read_text(encoding="utf-8"))
    tables = {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}
    drawn = draw(tables, folder, run, names=run.get("figures", tuple(FIGURES)))
    if "verdict" not in tables:
        return drawn
    return [*drawn, write_report(tables, folder / "report.html", run, folder)]


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written: an empty word is a word, an empty number is missing."""
    frame = read_csv(path)
    words = [
        name
        for name in ("parent", "call", "target", "against", "mode", "position", "sentence", "text")
        if name in frame
    ]
    return frame.assign(**{name: frame[name].fillna("") for name in words})


def _stamp(run: Mapping[str, Any]) -> str:
    return json.dumps(run, indent=1, sort_keys=True) + "\n"
