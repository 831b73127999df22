"""A study of features on a micro lineage: what it leaves, and what must hold of frozen layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from interp.features import load_dictionary
from interp.progress import Progress
from interp.settings import saes_root
from interp.stages.graph import Event
from interp.study import Study, StudyResult

MICRO = {
    "name": "micro_features",
    "purpose": "features",
    "description": "Features in miniature: it runs whole, and its models have learned little.",
    "lineage": "organism",
    "seeds": [3],
    "members": ["base", "reason_sft_upper"],
    "stages": ["features"],
    "shape": {"d_model": 32, "n_layers": 3, "n_heads": 2, "d_mlp": 64, "n_local_layers": 1},
    "budget": 0.02,
    "features": {
        "recipe": {
            "architecture": "batchtopk",
            "n_latents": 48,
            "steps": 40,
            "batch": 512,
            "lr": 3e-3,
            "options": {"k": 4},
        },
        "search": {"n_picked": 20, "n_boot": 20},
        "diff": {"alphas": [1.0], "n_random": 2, "n_boot": 20},
        "crosscoder": {"n_latents": 48, "k": 4, "steps": 20, "batch": 256, "n_text": 4000},
    },
}
FROZEN = 0
"""The last layer that `train_upper: 2` leaves as it was."""

Run = Callable[[], tuple[StudyResult, list[Event]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("study") / "study.yaml"
    path.write_text(yaml.safe_dump(MICRO), encoding="utf-8")

    def run_study() -> tuple[StudyResult, list[Event]]:
        events: list[Event] = []

        def watch(what: Event | Progress) -> None:
            if isinstance(what, Event):
                events.append(what)

        return Study.load(str(path), device="cpu", workers=2).run(watch), events

    return run_study


@pytest.fixture(scope="module")
def result(run: Run) -> StudyResult:
    return run()[0]


def test_it_leaves_tables_figures_pages_and_dictionaries(result: StudyResult) -> None:
    wanted = {"features", "feature_nulls", "feature_diff", "feature_steering", "dictionaries"}
    assert wanted | {"crosscoders"} <= set(result.tables)
    for name in ("features", "feature_diff", "feature_steering"):
        for end in ("png", "pdf", "csv"):
            assert (result.folder / f"{name}.{end}").stat().st_size > 0
    pages = list((result.folder / "pages").glob("*-*.html"))
    picked = result.tables["features"].query("picked")
    assert len(pages) == len(picked[["layer", "latent"]].drop_duplicates())
    assert (result.folder / "pages" / "index.html").is_file()


def test_published_dictionaries_are_those_of_the_table(result: StudyResult) -> None:
    table = result.tables["dictionaries"].query("draw == 0").set_index(["member", "layer"])
    assert sorted(set(result.tables["dictionaries"]["draw"])) == [0, 1, 2]
    for (member, layer), row in table.iterrows():
        folder = saes_root() / "micro_features" / member / f"resid_post.{layer}"
        dictionary = load_dictionary(folder)
        card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
        assert dictionary.about["model_name"] == member
        for name in ("fvu", "l0", "ce_recovered"):
            assert card[name] == pytest.approx(row[name])
        assert row["identity_error"] < 1e-5
    assert len(list((saes_root() / "micro_features").glob("*/*/cfg.json"))) == len(table)


def test_where_a_child_is_its_parent_nothing_became_of_the_features(result: StudyResult) -> None:
    diff = result.tables["feature_diff"]
    same = diff[diff["layer"] <= FROZEN]
    assert len(same) > 0
    assert same["fvu_child"].to_numpy() == pytest.approx(same["fvu_parent"].to_numpy(), rel=1e-5)
    assert same["auroc_child"].to_numpy() == pytest.approx(same["auroc_parent"].to_numpy())
    assert same["rate_child"].to_numpy() == pytest.approx(same["rate_parent"].to_numpy())
    assert same["cosine"].to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert same["readable"].isin([True, False]).all()
    assert not set(same["class"]) & {"lost", "new", "reused"}


def test_unsteered_rates_are_those_without_a_feature(result: StudyResult) -> None:
    steering = result.tables["feature_steering"]
    if steering.empty:
        pytest.skip("no feature at the end of the prompt was picked in this micro model")
    at_rest = steering[steering["alpha"] == 0]
    assert set(at_rest["direction"]) == {"parent"}
    rates = at_rest.pivot(index="rank", columns="group", values="estimate")
    assert rates["J"].to_numpy() == pytest.approx(
        (rates["unknown"] - rates["known"]).to_numpy(), abs=1e-12
    )
    # The model is the same, whichever feature is not added.
    assert rates.to_numpy() == pytest.approx(rates.iloc[[0] * len(rates)].to_numpy(), abs=1e-12)


def test_a_second_run_computes_nothing(run: Run, result: StudyResult) -> None:
    again, events = run()
    assert {event.state for event in events} == {"cached"}
    for name, frame in result.tables.items():
        pd.testing.assert_frame_equal(frame, again.tables[name])


def test_nothing_published_names_this_machine(result: StudyResult) -> None:
    for path in [*result.folder.glob("pages/*.html"), *result.folder.glob("*.csv")]:
        assert str(Path.home()) not in path.read_text(encoding="utf-8")
        assert "interp-cache" not in path.read_text(encoding="utf-8")
