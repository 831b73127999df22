from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from interp.behavior.calibration.summary import calibration_table

PARTS = {
    "reliability": 1, "resolution": -1, "uncertainty": 1, "within_variance": 1,
    "within_covariance": -1,
}  # fmt: skip


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    """A calibrated source, and one that says 95% whatever happens, silent on every fifth."""
    rng = np.random.default_rng(0)
    n = 600
    chance_N = rng.uniform(0.05, 0.95, n)
    correct_N = rng.random(n) < chance_N
    silent_N = np.arange(n) % 5 == 0
    said_N = np.where(silent_N, np.nan, 0.95)
    shared = {"prompt_id": [f"p{row}" for row in range(n)], "entity": np.arange(n) // 2}
    return pd.concat(
        pd.DataFrame({**shared, "source": name, "confidence": value, "correct": correct_N})
        for name, value in (("top_probability", chance_N), ("verbalised", said_N))
    )


@pytest.fixture(scope="module")
def table(items: pd.DataFrame) -> pd.DataFrame:
    return calibration_table(items, units=["entity"], n_boot=300)


def value(table: pd.DataFrame, source: str, measure: str) -> pd.Series:
    (row,) = table[(table["source"] == source) & (table["measure"] == measure)].to_dict("records")
    return pd.Series(row)


def test_headlines_are_sklearns(items: pd.DataFrame, table: pd.DataFrame) -> None:
    assert not table.duplicated(["source", "measure"]).any()
    for source, rows in items.dropna().groupby("source"):
        correct_N, confidence_N = rows["correct"].to_numpy(), rows["confidence"].to_numpy()
        brier = value(table, source, "brier")
        assert brier["estimate"] == pytest.approx(brier_score_loss(correct_N, confidence_N))
        assert brier["n"] == len(rows)
        auroc = value(table, source, "auroc")["estimate"]
        assert auroc == pytest.approx(roc_auc_score(correct_N, confidence_N))
        total = sum(sign * value(table, source, part)["estimate"] for part, sign in PARTS.items())
        assert total == pytest.approx(brier["estimate"])
        assert value(table, source, "accuracy")["estimate"] == pytest.approx(correct_N.mean())


def test_the_calibrated_source_is_calibrated_and_the_boastful_one_is_not(
    table: pd.DataFrame,
) -> None:
    for measure in ("ece", "ece_mass"):
        ece = value(table, "top_probability", measure)["estimate"]
        band = value(table, "top_probability", f"{measure}_calibrated")
        assert band["lo"] <= ece <= band["hi"]
    accuracy = value(table, "verbalised", "accuracy")["estimate"]
    ece = value(table, "verbalised", "ece")
    assert ece["estimate"] == pytest.approx(0.95 - accuracy)
    assert ece["lo"] > value(table, "verbalised", "ece_calibrated")["hi"]
    over = value(table, "verbalised", "overconfidence")
    assert (over["lo"], over["hi"]) == pytest.approx((ece["lo"], ece["hi"]))
    assert value(table, "verbalised", "auroc")["estimate"] == 0.5
    # One constant confidence selects nothing: risk is the same at every coverage.
    assert value(table, "verbalised", "aurc")["estimate"] == pytest.approx(1 - accuracy)
    assert value(table, "verbalised", "accuracy@0.5")["estimate"] == pytest.approx(accuracy)
    assert value(table, "top_probability", "accuracy@0.5")["lo"] > accuracy


def test_silence_is_counted(table: pd.DataFrame) -> None:
    stated = value(table, "verbalised", "stated")
    assert (stated["estimate"], stated["n"]) == (pytest.approx(0.8), 600)
    assert value(table, "verbalised", "ece")["n"] == 480


def test_intervals_hold_their_estimates(table: pd.DataFrame) -> None:
    low = table["estimate"] - table["lo"]
    high = table["hi"] - table["estimate"]
    assert (low > -1e-9).all()
    assert (high > -1e-9).all()
    assert (table.loc[table["measure"].isin(["ece", "reliability", "resolution"]), "lo"] >= 0).all()
    uncertainty = value(table, "top_probability", "uncertainty")
    assert uncertainty["hi"] > uncertainty["lo"]


def test_asking_an_entity_the_same_again_tells_nothing_new(items: pd.DataFrame) -> None:
    once = calibration_table(items, units=["entity"], n_boot=50)
    twice = calibration_table(pd.concat([items] * 2), units=["entity"], n_boot=50)
    # The area's steps halve and a calibrated model's noise falls; nothing else sees the copies.
    same = ~once["measure"].str.contains("aurc|calibrated")
    pd.testing.assert_frame_equal(
        once[same].drop(columns="n"), twice[same].drop(columns="n"), rtol=1e-7
    )


def test_pairs_stay_together() -> None:
    """Answers of a pair that are right or wrong together tell half as much."""
    rng = np.random.default_rng(4)
    pair_N = np.repeat(np.arange(150), 2)
    items = pd.DataFrame(
        {
            "prompt_id": np.arange(300),
            "pair_id": pair_N,
            "source": "margin",
            "confidence": 0.5,
            "correct": (rng.random(150) < 0.5)[pair_N],
        }
    )
    widths = []
    for unit in ("pair_id", "prompt_id"):
        row = value(calibration_table(items, units=[unit], n_boot=800), "margin", "accuracy")
        widths.append(row["hi"] - row["lo"])
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(2), rel=0.1)


def test_where_all_are_right_nothing_is_ranked(items: pd.DataFrame) -> None:
    right = items[items["correct"]]
    table = calibration_table(right, units=["entity"], n_boot=20)
    auroc = value(table, "top_probability", "auroc")
    assert auroc[["estimate", "lo", "hi"]].isna().all()
    assert value(table, "top_probability", "aurc")["estimate"] == 0


def test_a_source_that_never_speaks_has_one_row(items: pd.DataFrame) -> None:
    silent = items.assign(confidence=None)
    table = calibration_table(silent, units=["entity"], n_boot=20)
    assert table[["measure", "estimate"]].to_numpy().tolist() == [["stated", 0.0]] * 2
