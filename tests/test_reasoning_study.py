"""A study of reasoning on a micro lineage: it runs whole though its models have learned little."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from interp.progress import Progress
from interp.stages.graph import Event
from interp.study import Study, StudyResult

SMALL = {"n_people": 10, "n_boot": 100}
MICRO = {
    "name": "micro_reasoning",
    "purpose": "reasoning",
    "description": "Chains in miniature: most of them never come to an answer.",
    "lineage": "organism",
    "seeds": [3],
    "members": ["base", "never", "reason_sft_upper"],
    "examined": ["base", "reason_sft_upper"],
    "stages": ["transfer", "reasoning"],
    "shape": {"d_model": 32, "n_layers": 3, "n_heads": 2, "d_mlp": 64, "n_local_layers": 1},
    "budget": 0.02,
    "transfer": {"n_boot": 20, "n_splits": 2, "n_halvings": 2, "n_unrelated": 5},
    "reasoning": {
        "chains": {**SMALL, "samples": 2, "budgets": [0, 5], "extensions": [1]},
        "strategies": {"n_people": 10, "n_steered": 10, "n_random": 1, "n_boot": 100},
        "hybrid": {**SMALL, "coefficients": [1.0], "n_draws": 1},
        "compression": {**SMALL, "samples": 1, "factors": [1.0]},
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


def test_it_leaves_tables_and_figures_and_counts_what_it_could_not_ask(result: StudyResult) -> None:
    always = {"budgets", "fast_slow", "strategy_cosines", "strategy_transfer", "strategy_layers"}
    always |= {"compression", "thinking_effect", "layer_curves", "layer_claims", "layer_steps"}
    assert always | {"decoding_rules", "underthinking"} <= set(result.tables)
    assert not [name for name in result.tables if name.startswith("items")]
    left_out = result.tables["excluded_chains"]
    assert (left_out["n"] > 0).all()
    for name in ("budgets", "layers", "strategy_directions", "fast_slow"):
        drawn = name == "budgets" and "early_curve" not in result.tables
        for end in ("png", "pdf"):
            assert drawn or (result.folder / f"{name}.{end}").stat().st_size > 0
    for table in result.tables:
        assert (result.folder / f"{table}.csv").is_file()


def test_blocks_that_were_frozen_did_not_change_and_do_nothing(result: StudyResult) -> None:
    curves = result.tables["layer_curves"].query("member == 'reason_sft_upper'")
    lowest = curves[curves["layer"] == 0].set_index("curve")["estimate"]
    assert lowest["weights"] == lowest["activations"] == 0
    assert (lowest["information"] == 0).all()
    # Its first block, and the embedding with it, are its parent's.
    causal = curves[(curves["curve"] == "causal") & (curves["layer"] == 0)]["estimate"]
    assert causal.to_numpy() == pytest.approx(0.0, abs=1e-7)


def test_a_member_s_claim_is_decided_for_abstention_and_every_strategy(result: StudyResult) -> None:
    claims = result.tables["layer_claims"]
    assert set(claims["member"]) == {"reason_sft_upper"}
    strategies = set(result.tables["strategy_layers"]["strategy"])
    assert len(strategies) == 5
    assert set(claims["target"]) == strategies | {"should_abstain"}
    assert set(claims["verdict"]) <= {"holds", "does not hold", "undecided"}


def test_differences_to_the_parent_are_those_of_the_means(result: StudyResult) -> None:
    table = result.tables["fast_slow"].query("measure == 'A_slow'")
    means = table[table["against"] == ""].set_index(["member", "group"])["estimate"]
    apart = table[table["against"] == "base"].set_index("group")["estimate"]
    assert set(apart.index) == {"known", "problem"}
    for group, difference in apart.items():
        expected = means["reason_sft_upper", group] - means["base", group]
        assert difference == pytest.approx(expected, abs=1e-12)


def test_nothing_changed_nothing_runs(result: StudyResult, path: Path) -> None:
    events: list[Event] = []

    def watch(what: Event | Progress) -> None:
        if isinstance(what, Event):
            events.append(what)

    again = Study.load(str(path), device="cpu", workers=2).run(watch)
    assert {event.state for event in events} == {"cached"}
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
