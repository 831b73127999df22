"""What the README says of features stands in the committed tables; the dictionaries load."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from interp.features import load_dictionary
from interp.tables import read_csv

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "figures" / "organism_features"
SAES = ROOT / "saes" / "organism_features"
SEEDS = [21, 22, 23]
SUPPRESSED = ("reason_sft_upper", "reason_sft")


@pytest.fixture(scope="module")
def best() -> pd.DataFrame:
    """The parent's best feature in every seed."""
    picked = read_csv(FOLDER / "features.csv").query("picked and direction == 'unknown'")
    order = ["seed", "dev_passes", "dev_auroc"]
    return picked.sort_values(order, ascending=False).groupby("seed").head(1).set_index("seed")


@pytest.fixture(scope="module")
def diff() -> pd.DataFrame:
    return read_csv(FOLDER / "feature_diff.csv")


def test_one_feature_of_the_parent_passes_every_filter_in_every_seed(best: pd.DataFrame) -> None:
    assert sorted(best.index) == SEEDS
    assert best["dev_passes"].all()
    assert best["passes"].all()
    assert (best["auroc_lo"] > 0.9).all()
    assert (best["frequency_generic"] < 0.02).all()
    assert (best["replicates"] == 2).all()
    assert (best["over_token_lookup_lo"] > 0).all()


def test_where_a_child_was_not_trained_it_has_its_parents_features(diff: pd.DataFrame) -> None:
    """`reason_sft_upper` is its parent below the two upper of six blocks."""
    frozen = diff[(diff["member"] == "reason_sft_upper") & (diff["layer"] <= 3)]
    assert len(frozen) > 0
    assert set(frozen["class"]) == {"shared"}
    assert frozen["firing_ratio"].to_numpy() == pytest.approx(1.0)
    assert frozen["auroc_child"].to_numpy() == pytest.approx(frozen["auroc_parent"].to_numpy())
    assert frozen["cosine"].to_numpy() == pytest.approx(1.0, abs=1e-5)


def test_the_best_feature_is_lost_where_the_ability_was_never_there(diff: pd.DataFrame) -> None:
    first = diff[diff["rank"] == 0].set_index(["member", "seed"])
    assert set(first.loc["replaced", "class"]) == {"lost"}
    assert not first.loc["replaced", "readable"].any()
    assert first.loc["replaced", "auroc_child"].between(0.49, 0.51).all()
    assert set(first.loc["reason_sft_upper", "class"]) == {"shared"}
    scrubbed = first.loc["scrubbed"]
    assert ((scrubbed["auroc_child_lo"] < 0.5) & (scrubbed["auroc_child_hi"] > 0.5)).all()


def test_it_steers_the_suppressed_children_beyond_other_latents() -> None:
    steering = read_csv(FOLDER / "feature_steering.csv").query("rank == 0")
    net = steering.groupby(["member", "seed"])[["net", "net_lo", "net_hi"]].first()
    for member in SUPPRESSED:
        assert (net.loc[member, "net_lo"] > 0.1).all()
    assert (net.loc["replaced", "net"].abs() < 0.01).all()
    assert (net.loc["scrubbed", "net"] < 0.05).all()


@pytest.mark.parametrize("member", ["base", "replaced"])
@pytest.mark.parametrize("layer", [0, 5])
def test_committed_dictionaries_do_what_their_cards_say(member: str, layer: int) -> None:
    folder = SAES / member / f"resid_post.{layer}"
    dictionary = load_dictionary(folder)
    card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
    table = read_csv(FOLDER / "dictionaries.csv").query("draw == 0 and seed == 21")
    # Tables have six digits.
    (row,) = table[(table["member"] == member) & (table["layer"] == layer)].to_dict("records")
    assert dictionary.n_latents == card["n_latents"] == 384
    assert card["fvu"] == pytest.approx(row["fvu"], rel=1e-5)
    assert card["ce_recovered"] == pytest.approx(row["ce_recovered"], rel=1e-5)
