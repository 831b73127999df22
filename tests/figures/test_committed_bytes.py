"""The committed figures are those that this code draws from the committed tables, byte by byte."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from interp.figures import FIGURES, draw
from interp.publishing.run import _read
from tests.figures.printed import COMMITTED

STUDIES = sorted(stamp.parent.name for stamp in COMMITTED.glob("*/run.json"))
REDRAWN = {
    "organism": ("verdict", "support", "ablation"),
    "organism_features": ("feature_diff",),
    "objectives": ("signature", "claim_doses", "claim_readout_gain_falls"),
    "reasoning": ("noticed",),
}
"""Some of each kind; all of them would take minutes."""
PINNED = ("matplotlib", "pillow", "numpy")
WITHOUT = {"organism_calibration"}
"""Studies that leave tables alone: they choose cut-offs, and judge nobody."""


def pins() -> dict[str, str]:
    text = (COMMITTED.parent / "constraints.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, flags=re.M))


def other_versions() -> list[str]:
    """What is installed in another version than that with which the figures were drawn."""
    pinned = pins()
    return [
        f"{name} {version(name)}, not {pinned[name]}"
        for name in PINNED
        if version(name) != pinned[name]
    ]


def run_of(study: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((COMMITTED / study / "run.json").read_text(encoding="utf-8"))
    return run


@pytest.mark.parametrize("study", REDRAWN)
def test_committed_figures_are_drawn_again_to_the_byte(study: str, tmp_path: Path) -> None:
    if others := other_versions():
        pytest.skip(f"bytes hold for the pinned versions only; here are {', '.join(others)}")
    folder = COMMITTED / study
    tables = {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}
    drawn = draw(tables, tmp_path, run_of(study), names=REDRAWN[study])
    assert len(drawn) == 2 * len(REDRAWN[study]) + len(tables)
    for path in drawn:
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


@pytest.mark.parametrize("study", STUDIES)
def test_a_run_names_every_figure_that_is_committed_with_it(study: str) -> None:
    there = {p.name for p in (COMMITTED / study).iterdir() if p.suffix in (".pdf", ".png", ".svg")}
    names = run_of(study).get("figures", FIGURES)
    assert there == {f"{name}.{kind}" for name in names for kind in ("pdf", "png")}


def test_every_folder_is_a_run_or_known_to_have_tables_alone() -> None:
    folders = {path.name for path in COMMITTED.iterdir() if path.is_dir()}
    assert folders - set(STUDIES) == WITHOUT
    for study in WITHOUT:
        assert {path.suffix for path in (COMMITTED / study).iterdir()} == {".csv"}
