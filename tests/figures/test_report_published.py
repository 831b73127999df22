"""What a run publishes can be drawn again from its folder alone, to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from interp.organism import World, behavior_prompts
from interp.organism.sizes import USUAL
from interp.prompts.words import texts_of
from interp.publishing import is_published, publish, redraw
from interp.publishing import run as publishing
from interp.publishing.asked import asked_of
from tests.figures.reply_tables import answering_items
from tests.figures.tables import RUN, study_tables

RUN_HERE = {**RUN, "config": {"name": "mine"}, "figures": ["verdict"]}


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    members = {"base": (1.0, 0.9, "intact"), "child": (1.0, 0.1, "deselected")}
    return {**study_tables(members=members, n_layers=2), "items": answering_items(8)}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_another_machine_draws_the_same_report(
    tables: dict[str, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tables, tmp_path, RUN_HERE)
    first = files(tmp_path)
    assert "items.csv" not in first
    assert b"Who built the" in first["report.html"]
    assert json.loads(first["run.json"])["versions"] == publishing.versions()
    monkeypatch.setattr(publishing, "versions", lambda: {"Python": "1.0"})
    (tmp_path / "report.html").unlink()
    redraw(tmp_path)
    assert files(tmp_path) == first


def test_the_same_run_of_other_versions_still_stands(
    tables: dict[str, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tables, tmp_path, RUN_HERE)
    first = files(tmp_path)
    monkeypatch.setattr(publishing, "versions", lambda: {"Python": "1.0"})
    assert is_published(tmp_path, RUN_HERE)
    publish(tables, tmp_path, RUN_HERE)
    assert files(tmp_path) == first
    other = {**RUN_HERE, "run_id": "ffffffffffff"}
    assert not is_published(tmp_path, other)
    publish({name: t for name, t in tables.items() if name != "items"}, tmp_path, other)
    # Of the earlier run's replies nothing is left.
    assert "prompts.json" not in files(tmp_path)
    assert b"Who built the" not in (tmp_path / "report.html").read_bytes()


def test_a_run_of_before_versions_were_written_down_is_drawn(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    publish(tables, tmp_path, RUN_HERE)
    stamp = tmp_path / "run.json"
    stamp.write_text(json.dumps(RUN_HERE), encoding="utf-8")
    redraw(tmp_path)
    assert "wrote down no versions" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_run_that_judges_nobody_has_a_report(tmp_path: Path) -> None:
    run: dict[str, Any] = {**RUN_HERE, "figures": [], "seed": 3}
    publish({"items": answering_items(4)}, tmp_path, run)
    assert set(files(tmp_path)) == {"prompts.json", "report.html", "run.json"}


def test_the_lineages_questions_are_those_that_were_asked() -> None:
    prompts = behavior_prompts(World(7, USUAL), "test")
    items = pd.DataFrame({"seed": 7, "prompt_id": prompts.frame["prompt_id"], "mode": "direct"})
    config = {"lineage": "organism", "world": USUAL.model_dump(mode="json")}
    asked = asked_of({"config": config}, items)
    assert [asked[7, name] for name in items["prompt_id"]] == texts_of(prompts)
    assert asked_of({"config": config}, items.assign(question="Who?")) == {}
    assert asked_of({"config": {"models": {}}}, items) == {}
