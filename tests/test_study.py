"""A whole study on a micro lineage: what it leaves, what it recomputes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from interp.errors import InputError
from interp.progress import Progress
from interp.publishing import redraw
from interp.settings import cache_root
from interp.stages.graph import Event
from interp.study import Study, StudyResult, studies

MICRO = {
    "name": "micro",
    "purpose": "verdict",
    "description": "The main job in miniature: it runs whole, and its models have learned little.",
    "lineage": "organism",
    "seeds": [3],
    "members": ["base", "never", "reason_sft_upper", "replaced"],
    "shape": {"d_model": 32, "n_layers": 3, "n_heads": 2, "d_mlp": 64, "n_local_layers": 1},
    "budget": 0.02,
    "confidence": {"samples": 2, "n_boot": 100},
    "probe": {"n_splits": 3, "n_shuffles": 20, "n_control_tasks": 1, "n_boot": 50},
    "transfer": {"n_splits": 3, "n_boot": 50, "n_halvings": 5, "n_unrelated": 5},
    "intervention": {"alphas": [1.0, 4.0], "n_random": 3},
    "relearn": {
        "n_examples": [8],
        "decisive_n": 8,
        "n_draws": 1,
        "steps": 4,
        "eval_every": 2,
    },
}
TABLES = {
    "ablation", "abstention", "behavior", "calibration", "curves", "evidence", "graft", "items",
    "majority", "measures", "preservation", "probes", "probes_selected", "relearn", "reliability",
    "risk_coverage", "signal", "steering", "transfer", "verdict",
}  # fmt: skip

Run = Callable[..., tuple[StudyResult, list[Event]]]


def write(folder: Path, **changes: object) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**MICRO, **changes}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("study")

    def run_study(**changes: object) -> tuple[StudyResult, list[Event]]:
        events: list[Event] = []

        def watch(what: Event | Progress) -> None:
            if isinstance(what, Event):
                events.append(what)

        study = Study.load(str(write(folder, **changes)), device="cpu", workers=2)
        return study.run(watch), events

    return run_study


@pytest.fixture(scope="module")
def first(run: Run) -> tuple[StudyResult, list[Event]]:
    return run()


def test_it_leaves_tables_figures_and_a_report(first: tuple[StudyResult, list[Event]]) -> None:
    result, _ = first
    assert set(result.tables) == TABLES
    for name in TABLES - {"items"}:
        assert (result.folder / f"{name}.csv").stat().st_size > 0
    assert (result.folder / "report.html").stat().st_size > 10_000
    assert len(list(result.folder.glob("*.pdf"))) == len(list(result.folder.glob("*.png"))) >= 9
    verdict = pd.read_csv(result.folder / "verdict.csv")
    assert list(verdict.columns) == ["seed", "member", "parent", "planted", "verdict"]
    assert set(verdict["member"]) == set(MICRO["members"])


def test_every_table_says_what_made_it(first: tuple[StudyResult, list[Event]]) -> None:
    from interp.tables import read_table

    result, _ = first
    for name in TABLES:
        frame = read_table(cache_root() / "studies" / "micro" / f"{name}.parquet")
        assert frame.attrs["run"]["run_id"] == result.run["run_id"]
        assert frame.attrs["run"]["config"]["budget"] == 0.02
        assert {"seed", "member"} <= set(frame.columns)


def test_the_child_by_construction_kept_its_lower_layers(
    first: tuple[StudyResult, list[Event]],
) -> None:
    """Below the trained blocks the parent and the child are one model."""
    transfer = first[0].tables["transfer"]
    frozen = transfer[
        (transfer["member"] == "reason_sft_upper")
        & (transfer["layer"] <= 0)
        & (transfer["measure"] == "norm_ratio")
    ]
    assert len(frozen) > 0
    assert frozen["estimate"].to_numpy() == pytest.approx(1.0, abs=1e-6)


def test_graft_curves_end_in_the_two_models(first: tuple[StudyResult, list[Event]]) -> None:
    graft = first[0].tables["graft"]
    of_child = graft[graft["member"] == "replaced"].set_index(["part", "n_layers"])["estimate"]
    assert of_child["lower", 0] == of_child["upper", 0]
    assert of_child["lower", 3] == of_child["upper", 3]


def test_nothing_changed_nothing_runs(run: Run, first: tuple[StudyResult, list[Event]]) -> None:
    again, events = run()
    assert {event.state for event in events} == {"cached"}
    for name, frame in first[0].tables.items():
        pd.testing.assert_frame_equal(frame, again.tables[name])


def test_a_changed_setting_recomputes_what_it_touches(
    run: Run, first: tuple[StudyResult, list[Event]]
) -> None:
    _, events = run(relearn={**MICRO["relearn"], "steps": 6})
    started = {event.label.split()[0] for event in events if event.state == "started"}
    assert started == {"relearn"}


def test_figures_are_redrawn_from_tables_alone_to_the_byte(
    run: Run, first: tuple[StudyResult, list[Event]]
) -> None:
    result, _ = run()
    before = {path.name: path.read_bytes() for path in result.folder.iterdir()}
    for path in result.folder.iterdir():
        if path.suffix in (".pdf", ".png", ".html"):
            path.unlink()
    redraw(result.folder)
    after = {path.name: path.read_bytes() for path in result.folder.iterdir()}
    assert {name for name in before if before[name] != after.get(name)} == set()


def test_a_half_written_checkpoint_is_named(
    run: Run, first: tuple[StudyResult, list[Event]]
) -> None:
    weights = next((cache_root() / "organism" / "seed3").glob("replaced-*/model.safetensors"))
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=r"replaced-\w+/model\.safetensors.*half-written"):
            run(relearn={**MICRO["relearn"], "steps": 7})
    finally:
        weights.write_bytes(whole)


def test_a_deleted_checkpoint_is_trained_again_to_the_same_bytes(
    run: Run, first: tuple[StudyResult, list[Event]]
) -> None:
    import shutil

    folder = next((cache_root() / "organism" / "seed3").glob("reason_sft_upper-*"))
    before = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(folder)
    _, events = run()
    started = [event.label for event in events if event.state == "started"]
    assert started == ["train reason_sft_upper (seed 3)"]
    assert (folder / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"members": ["base", "reson_sft"]},
            r"no member 'reson_sft' \(did you mean 'reason_sft'\?\)",
        ),
        ({"members": ["base", "replaced"]}, "'replaced' needs 'never'; add it to `members`"),
        ({"lineage": "organsm"}, r"did you mean 'organism'"),
        ({"sedes": [1]}, r"unknown key 'sedes' \(did you mean 'seeds'\?\)"),
        ({"relearn": {"step": 3}}, r"unknown key 'relearn.step' \(did you mean 'steps'\?\)"),
        (
            {"objectives": {"traced": ["replacd"]}},
            r"`objectives.traced` names 'replacd'.*'replaced'",
        ),
        ({"objectives": {"repaired": ["lora"]}}, "`objectives.repaired` names 'lora'"),
        (
            {"members": [*MICRO["members"], "rotated"], "objectives": {"traced": ["rotated"]}},
            "'rotated', which takes no step of training",
        ),
        ({"seeds": []}, "'seeds'"),
        ({"seeds": "three"}, "'seeds'"),
        ({"budget": 0}, "'budget'"),
    ],
)
def test_bad_configs_get_one_clear_error(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Study.load(str(write(tmp_path, **changes)), device="cpu")


def test_the_run_file_carries_config_rule_and_versions(
    first: tuple[StudyResult, list[Event]],
) -> None:
    run = json.loads((first[0].folder / "run.json").read_text())
    assert run["config"]["members"] == MICRO["members"]
    assert "cut_gone" in run["rule"]
    assert run["code_version"].startswith("0.1.0+")


@pytest.mark.parametrize("name", [study.name for study in studies()])
def test_every_packaged_study_can_be_planned(name: str) -> None:
    planned = Study.load(name, device="cpu")
    nodes = planned._plan().nodes()
    names = {node.name for node in nodes}
    assert all(need in names for node in nodes for need in node.needs)
    assert len(names) == len(nodes)


def test_a_study_made_for_a_gpu_does_not_start_without_one_unasked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(InputError, match="'objectives_gpu' is made for a GPU and there is none"):
        Study.load("objectives_gpu")
    assert Study.load("objectives_gpu", device="cpu").device == "cpu"
