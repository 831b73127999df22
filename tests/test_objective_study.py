"""A study of objectives on a micro lineage: every kind of member is trained, judged and drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from interp.figures import OBJECTIVE_FIGURES
from interp.stages.graph import Event
from interp.study import Study, StudyResult
from interp.verdict.claims import load_claims

MICRO = {
    "name": "micro_objectives",
    "purpose": "objectives",
    "description": "Objectives in miniature: nobody learns much, and every stage copes with it.",
    "lineage": "organism",
    "seeds": [3],
    "members": [
        *("base", "never", "reason_sft_upper", "replaced", "reason_sft", "stated", "rl_brier"),
        *("few_examples", "lora", "rotated"),
    ],
    "stages": ["confidence", "transfer", "relearn", "objectives"],
    "shape": {"d_model": 32, "n_layers": 3, "n_heads": 2, "d_mlp": 64, "n_local_layers": 1},
    "budget": 0.02,
    "confidence": {"n_boot": 100},
    "transfer": {"n_boot": 20, "n_splits": 2, "n_halvings": 2, "n_unrelated": 5},
    "relearn": {"n_examples": [8], "decisive_n": 8, "n_draws": 1, "steps": 5},
    "objectives": {
        "traced": ["reason_sft", "lora"],
        "snapshots": 3,
        "trajectory": {"n_boot": 20, "n_splits": 2},
        "repaired": ["reason_sft_upper"],
        "repair": {
            "alphas": [0.5],
            "budgets": [0.01],
            "n_neutral": 8,
            "nats": [2.0],
            "shares": [0.1],
            "n_null": 1,
        },
    },
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(yaml.safe_dump(MICRO), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result(path: Path) -> StudyResult:
    return Study.load(str(path), device="cpu", workers=2).run()


def test_every_member_is_judged_and_every_claim_is_called(result: StudyResult) -> None:
    assert set(result.tables["verdict"]["member"]) == set(MICRO["members"])
    claims = result.tables["claims"]
    assert set(claims["claim"]) == {claim.id for claim in load_claims().claims}
    overall = claims[claims["seed"] == "all"]
    assert set(overall["call"]) <= {"holds", "does not hold", "undecided", "not applicable"}
    assert overall["sentence"].str.endswith(".").all()
    # Members that the study leaves out are named, and leave their claims undecided.
    missing = overall[overall["claim"] == "ternary_restores"]
    assert set(missing["call"]) == {"undecided"}
    assert missing["sentence"].str.contains("rl_ternary").all()


def test_a_rotation_changes_nothing_that_is_said(result: StudyResult) -> None:
    behavior = result.tables["behavior"].set_index("member")
    values = [behavior.loc[name, "estimate"].to_numpy() for name in ("base", "rotated")]
    assert values[0] == pytest.approx(values[1], abs=1e-3, nan_ok=True)
    grafts = result.tables["layer_grafts"].query("member == 'rotated'")
    assert grafts["n_lower"].tolist() == [0, 1, 2, 3]


def test_trajectories_begin_with_the_parent_and_end_with_the_child(result: StudyResult) -> None:
    traced = result.tables["trajectory"]
    assert set(traced["member"]) == {"reason_sft", "lora"}
    start = traced[traced["step"] == 0].set_index("measure")
    for measure in ("rho", "cosine", "norm_ratio", "gain"):
        value = start.loc[[measure], "estimate"].dropna()
        assert value.to_numpy() == pytest.approx(1.0), measure
    assert set(traced["step"]) == {0, 1, 2}


def test_figures_tables_and_a_report_with_the_sentences(result: StudyResult) -> None:
    for name in result.run["figures"]:
        for end in ("png", "pdf"):
            assert (result.folder / f"{name}.{end}").stat().st_size > 0
    assert set(OBJECTIVE_FIGURES) == set(result.run["figures"])
    html = (result.folder / "report.html").read_text(encoding="utf-8")
    for sentence in pd.read_csv(result.folder / "claims.csv")["sentence"].dropna():
        assert sentence.split(":")[0] in html


def test_again_nothing_is_computed(path: Path, result: StudyResult) -> None:
    events: list[Event] = []
    again = Study.load(str(path), device="cpu", workers=2).run(
        lambda event: events.append(event) if isinstance(event, Event) else None
    )
    assert {event.state for event in events} == {"cached"}
    assert set(again.tables) == set(result.tables)
