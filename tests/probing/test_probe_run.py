"""A probe run from a YAML file: what it leaves, what it recomputes, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from interp.errors import InputError
from interp.probing import ProbeRun
from interp.publishing import redraw
from interp.stages import PromptFile
from interp.study import StudyResult
from tests.checkpoints.tiny import N_LAYERS, write_checkpoint
from tests.runs.outcomes import outcomes_of

WORDS = [f"w{i}" for i in range(30)]


def questions(path: Path, n_pairs: int, seed: int) -> Path:
    """Minimal pairs of two scenarios; the unanswerable half ends in "in"."""
    rng = np.random.default_rng(seed)
    rows = []
    for pair in range(n_pairs):
        words = " ".join(rng.choice(WORDS, 4))
        for abstain in (True, False):
            rows.append(
                {
                    "prompt_id": f"{seed}-{pair}-{abstain}",
                    "pair_id": f"{seed}-{pair}",
                    "text": f"{words} {'in' if abstain else 'is'} {rng.choice(WORDS)} ?",
                    "should_abstain": abstain,
                    "scenario": ("stale", "subjective")[pair % 2] if abstain else None,
                    "dataset": f"set{pair % 4}",
                    "meta": {"kind": "abc"[pair % 3]},
                }
            )
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def config(folder: Path, **changes: Any) -> Path:
    content = {
        "name": "tiny",
        "models": {"parent": "parent", "child": {"source": "child", "parent": "parent"}},
        "prompts": "questions.jsonl",
        "dev": "dev.jsonl",
        "neutral": "neutral.jsonl",
        "cells": {"positions": ["last_prompt", "prompt_50%"], "layers": [0, 2]},
        "probe": {
            "n_splits": 3, "n_shuffles": 20, "n_control_tasks": 1, "n_boot": 60, "mlp": False,
            "levels": ["dataset", "pair"],
        },
        "transfer": {
            "n_splits": 3, "n_boot": 60, "n_halvings": 5, "n_unrelated": 5,
            "levels": ["dataset", "pair"],
        },
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return path


RUNS: dict[str, dict[str, Any]] = {
    "first": {},
    "again": {},
    "more": {"targets": ["should_abstain", "meta.kind"]},
    "moved": {"models": {"parent": "parent", "child": {"source": "copy", "parent": "parent"}}},
    "family": {
        "models": {
            "parent": "parent",
            "child": {"source": "child", "parent": "parent"},
            "grandchild": {"source": "child", "parent": "child"},
        }
    },
}
"""In this order, over one cache: what changes against the config of `config`."""
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no such model": ({"models": {"a": "nowhere"}}, "nowhere"),
    "no entity": ({"cells": {"positions": ["entity_last"]}}, "entity"),
    "no such layer": ({"cells": {"layers": [N_LAYERS]}}, str(N_LAYERS)),
    "more folds than pairs": ({"probe": {"n_splits": 25}}, "24 groups"),
    "aligned on what is read": (
        {"neutral": "questions.jsonl"},
        "are among the neutral ones the map was fitted on",
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probing")
    write_checkpoint(folder / "parent", "llama", seed=0)
    write_checkpoint(folder / "child", "llama", seed=0)
    shutil.copytree(folder / "child", folder / "copy")
    for seed, (name, n_pairs) in enumerate((("questions", 24), ("dev", 16), ("neutral", 20))):
        questions(folder / f"{name}.jsonl", n_pairs, seed)
    return folder


@pytest.fixture(scope="module")
def outcomes(home: Path) -> dict[str, Any]:
    """What came of every run, all of them in one process."""
    changes = RUNS | {name: changed for name, (changed, _) in REFUSED.items()}
    paths = {}
    for number, (name, changed) in enumerate(changes.items()):
        path = config(home, **changed)
        paths[name] = str(path.rename(home / f"run{number}.yaml"))
    return outcomes_of(home, paths, "probe")


@pytest.fixture(scope="module")
def first(outcomes: dict[str, Any]) -> StudyResult:
    return StudyResult(outcomes["first"]["tables"], outcomes["first"]["folder"], {})


def started(outcome: dict[str, Any]) -> list[str]:
    return [event.label for event in outcome["events"] if event.state == "started"]


def test_there_is_one_row_a_cell_with_every_control_beside_it(first: StudyResult) -> None:
    probes = first.tables["probes"]
    where = ["member", "target", "site", "layer", "position"]
    assert not probes.duplicated(where).any()
    assert set(probes["member"]) == {"parent", "child"}
    assert set(probes["layer"]) == {-1, 0, 2}
    residual = probes[probes["layer"] >= 0]
    assert set(residual.groupby("position")["layer"].nunique()) == {2}
    for name in ("null_lo", "ridge", "p_adjusted", "random", "tokens", "length", "certified"):
        assert probes[name].notna().all(), name
    assert (probes["certified"] == 1).all()
    assert (probes["n"] == 48).all()
    assert (probes["n_true"] == 24).all()
    # The word that marks the class stands in the prompt; the length says nothing.
    assert (probes["tokens"] > 0.95).all()
    assert probes["length"].eq(0.5).all()
    selected = first.tables["probes_selected"]
    assert len(selected) == 2
    assert selected["estimate"].between(0, 1).all()


def test_a_child_that_is_its_parent_has_kept_everything(first: StudyResult) -> None:
    kept = first.tables["preservation"]
    assert (kept["estimate"] == 0).all()
    assert kept["preserved"].all()
    assert kept.groupby("position")["selected"].sum().eq(1).all()
    read = kept["rho"].notna()
    assert np.allclose(kept.loc[read, "rho"], 1)
    transfer = first.tables["transfer"]
    of = transfer.pivot_table(
        index=["site", "layer", "position"], columns="measure", values="estimate"
    )
    # Half way the two prompts of a pair have not parted yet: there is no direction to compare.
    assert of["cosine"].xs("prompt_50%", level="position").isna().all()
    assert np.allclose(of["cosine"].xs("last_prompt", level="position"), 1)
    assert np.allclose(of["norm_ratio"].xs("last_prompt", level="position"), 1)
    assert np.allclose(of["auroc"], of["back"])
    assert np.allclose(of["cka"], 1)
    # Aligning a model with itself is no change.
    known = of["affine"].notna()
    assert known.any()
    assert np.allclose(of.loc[known, "affine"], of.loc[known, "auroc"], atol=1e-6)
    assert np.allclose(of.loc[known, "orthogonal"], of.loc[known, "auroc"], atol=1e-6)


def test_it_leaves_csv_and_figures_that_can_be_redrawn_without_a_model(first: StudyResult) -> None:
    names = ("probes", "transfer", "preservation")
    for name in names:
        assert (first.folder / f"{name}.pdf").stat().st_size > 1000
        assert (first.folder / f"{name}.csv").stat().st_size > 0
    assert (first.folder / "report.html").exists()
    before = (first.folder / "probes.png").read_bytes()
    (first.folder / "probes.png").unlink()
    redraw(first.folder)
    assert (first.folder / "probes.png").read_bytes() == before


def test_what_is_cached_is_not_computed_and_a_new_target_is_all_that_is(
    outcomes: dict[str, Any], first: StudyResult
) -> None:
    assert not started(outcomes["again"])
    for name, frame in first.tables.items():
        pd.testing.assert_frame_equal(frame, outcomes["again"]["tables"][name])
    labels = started(outcomes["more"])
    assert len(labels) == 3
    assert all("meta.kind" in label for label in labels)
    assert set(outcomes["more"]["tables"]["probes"]["target"]) == {
        "should_abstain", "meta.kind=a", "meta.kind=b", "meta.kind=c",
    }  # fmt: skip


def test_a_grandchild_is_read_with_the_probes_of_all_its_ancestors(
    outcomes: dict[str, Any],
) -> None:
    tables = outcomes["family"]["tables"]
    pairs = tables["transfer"][["parent", "member"]].drop_duplicates()
    assert sorted(map(tuple, pairs.values)) == [("child", "grandchild"), ("parent", "child")]
    beyond = tables["transfer_from_ancestors"][["parent", "member"]].drop_duplicates()
    assert [tuple(row) for row in beyond.values] == [("parent", "grandchild")]
    assert "preservation_from_ancestors" in tables


def test_a_model_in_another_folder_is_the_same_model(outcomes: dict[str, Any]) -> None:
    assert not started(outcomes["moved"])


@pytest.mark.parametrize("name", REFUSED)
def test_what_only_the_models_can_tell_is_one_error(outcomes: dict[str, Any], name: str) -> None:
    assert REFUSED[name][1] in outcomes[name]["error"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": None}, "expected either `models` or `lineage`"),
        ({"lineage": "organism"}, "expected either `models` or `lineage`"),
        ({"models": {"a": {"source": "parent", "parent": "b"}}}, "the parent of 'a' is 'b'"),
        (
            {"models": {"a": {"source": "b", "parent": "b"}, "b": {"source": "a", "parent": "a"}}},
            "'a' descends from itself",
        ),
        ({"prompts": "question.jsonl"}, r"question\.jsonl: cannot be read"),
        ({"targets": ["should_abstian"]}, "did you mean 'should_abstain'"),
        ({"target": ["should_abstain"]}, "unknown key 'target'.*did you mean 'targets'"),
        ({"probe": {"level": ["pair"]}}, r"unknown key 'probe\.level'.*did you mean 'levels'"),
        ({"name": "a/b"}, "'name'"),
        ({"infra": {"cluster": "slrm"}}, r"'infra\.cluster'"),
        ({"infra": {"slurm_partion": "gpu"}}, "did you mean 'slurm_partition'"),
        ({"cluster": "slurm"}, "unknown key 'cluster'"),
    ],
)
def test_a_bad_config_is_refused_before_any_work(
    home: Path, changes: dict[str, Any], message: str
) -> None:
    path = config(home, **changes)
    content = {k: v for k, v in yaml.safe_load(path.read_text()).items() if v is not None}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=f"(?s){message}"):
        ProbeRun.load(str(path), device="cpu")
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        ProbeRun.load(str(home / "nowhere.yaml"))


def test_prompts_that_change_under_a_run_are_noticed(home: Path) -> None:
    path = questions(home / "changing.jsonl", 16, 5)
    planned = PromptFile.of(path)
    assert len(planned.load()) == 32
    questions(path, 16, 6)
    with pytest.raises(InputError, match=r"changing\.jsonl: changed since this work was planned"):
        planned.load()
