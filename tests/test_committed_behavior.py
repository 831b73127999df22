"""What the README says of replies and of confidence stands in the committed tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from interp.tables import read_csv

FOLDER = Path(__file__).parents[1] / "figures" / "organism_seeds"
SEEDS = [21, 22, 23]


@pytest.fixture(scope="module")
def signal() -> pd.DataFrame:
    return (
        read_csv(FOLDER / "signal.csv")
        .set_index(["measure", "mode", "member", "seed"])
        .sort_index()
    )


@pytest.fixture(scope="module")
def calibration() -> pd.DataFrame:
    return (
        read_csv(FOLDER / "calibration.csv")
        .set_index(["measure", "source", "member", "seed"])
        .sort_index()
    )


def test_every_child_answers_more(signal: pd.DataFrame) -> None:
    criterion = signal.loc["criterion"]
    assert set(criterion["reading"]) == {"answers more"}
    assert criterion["estimate"].min() > 0.48
    assert criterion["estimate"].max() < 2.55


def test_suppression_keeps_the_score_s_auroc_where_the_lower_layers_were_kept(
    signal: pd.DataFrame,
) -> None:
    auroc = signal.loc["auroc"]
    for mode in ("direct", "cot"):
        for member in ("reason_sft_upper", "reason_rl"):
            rows = auroc.loc[mode, member]
            assert set(rows.loc[[21, 23], "reading"]) == {"kept"}
            assert rows.loc[22, "estimate"] > -0.1
    assert auroc.loc[("direct", "reason_rl", 22), "reading"] == "kept"


def test_erasure_by_construction_takes_it_with_a_chain(signal: pd.DataFrame) -> None:
    auroc = signal.loc["auroc"]
    chance = auroc.loc["cot", "replaced"]
    assert ((chance["child_lo"] < 0.5) & (chance["child_hi"] > 0.5)).all()
    assert auroc.loc["cot", "replaced"]["child"].between(0.48, 0.5).all()
    assert auroc.loc["direct", "replaced"]["child"].between(0.5, 0.59).all()


def test_the_score_alone_misleads(signal: pd.DataFrame) -> None:
    auroc = signal.loc["auroc"]
    assert auroc.loc["direct", "never"]["child"].between(0.615, 0.705).all()
    assert auroc.loc["cot", "scrubbed"]["child"].between(0.71, 0.83).all()
    assert auroc.loc["direct", "reason_sft"]["estimate"].between(-0.14, -0.05).all()
    assert auroc.loc["cot", "reason_sft"]["estimate"].between(-0.33, -0.16).all()


def test_after_a_chain_token_probabilities_say_next_to_nothing(calibration: pd.DataFrame) -> None:
    auroc = calibration.loc["auroc", "chain of thought, top probability"]
    assert auroc["estimate"].between(0.52, 0.59).all()
    assert len(auroc) == 10 * len(SEEDS)


def test_children_are_overconfident(calibration: pd.DataFrame) -> None:
    ece = calibration.loc["ece", "direct answer, top probability"]["estimate"]
    assert ece.drop("base").between(0.22, 0.56).all()
    assert ece["base"].between(0.05, 0.08).all()


def test_a_probe_before_the_answer_tells_the_two_ends_apart(calibration: pd.DataFrame) -> None:
    auroc = calibration.loc["auroc", "direct answer, P(IK)"]["estimate"]
    assert auroc["reason_sft_upper"].between(0.84, 0.93).all()
    for member in ("replaced", "scrubbed", "never"):
        assert auroc[member].between(0.45, 0.52).all()
    ece = calibration.loc["ece", "direct answer, P(IK)"]["estimate"]
    assert ece["reason_sft_upper"].between(0.03, 0.06).all()
