from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from interp.behavior.calibration.reliability import (
    bin_edges,
    calibrated_ece,
    calibration_parts,
    expected_calibration_error,
    reliability_table,
)
from interp.errors import InputError
from interp.stats import hierarchical_bootstrap, weighted_mean

# Hundredths, so that confidences tie and lie on edges.
ANSWERS = st.lists(
    st.tuples(st.integers(0, 100).map(lambda n: n / 100), st.booleans()), min_size=1, max_size=40
)
BINNINGS = pytest.mark.parametrize(
    ("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")]
)


def arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = zip(*rows, strict=True)
    return np.array(confidence), np.array(correct)


def table_of(confidence_N: np.ndarray, correct_N: np.ndarray, **columns: object) -> pd.DataFrame:
    named = {
        "prompt_id": [f"p{row}" for row in range(len(confidence_N))],
        "source": "margin",
        "confidence": confidence_N,
        "correct": correct_N,
    }
    return pd.DataFrame(named | {"entity": named["prompt_id"]} | columns)


@BINNINGS
@given(rows=ANSWERS, n_bins=st.integers(1, 12))
def test_bins_are_sklearns(rows, n_bins, binning, strategy) -> None:
    confidence_N, correct_N = arrays(rows)
    table = reliability_table(
        table_of(confidence_N, correct_N), units=["entity"], n_bins=n_bins, binning=binning
    )
    accuracy, confidence = calibration_curve(
        correct_N, confidence_N, n_bins=n_bins, strategy=strategy
    )
    np.testing.assert_allclose(table["estimate"], accuracy)
    np.testing.assert_allclose(table["confidence"], confidence)
    assert table["n"].sum() == len(rows)
    ece = (table["n"] * (table["estimate"] - table["confidence"]).abs()).sum() / len(rows)
    ours = expected_calibration_error(confidence_N, correct_N, n_bins, binning)
    assert ours == pytest.approx(ece, abs=1e-12)


@BINNINGS
@given(rows=ANSWERS, n_bins=st.integers(1, 12))
def test_edges_hold_their_answers(rows, n_bins, binning, strategy) -> None:
    confidence_N, correct_N = arrays(rows)
    table = reliability_table(
        table_of(confidence_N, correct_N), units=["entity"], n_bins=n_bins, binning=binning
    )
    for row in table.itertuples():
        inside_N = (confidence_N > row.edge_lo) & (confidence_N <= row.edge_hi)
        if row.bin == 0:
            inside_N |= confidence_N == 0
        assert inside_N.sum() == row.n


@given(rows=ANSWERS, n_bins=st.integers(1, 12), binning=st.sampled_from(["width", "mass"]))
def test_the_brier_score_is_the_sum_of_its_parts(rows, n_bins, binning) -> None:
    confidence_N, correct_N = arrays(rows)
    edges = bin_edges(confidence_N, n_bins, binning)
    part = calibration_parts(confidence_N, correct_N, edges)
    total_N = part["reliability"] - part["resolution"] + part["uncertainty"]
    total_N = total_N + part["within_variance"] - part["within_covariance"]
    np.testing.assert_allclose(total_N, part["brier"], atol=1e-12)
    score = brier_score_loss(correct_N, confidence_N, labels=[False, True])
    assert part["brier"].mean() == pytest.approx(score, abs=1e-12)


@given(rows=ANSWERS, n_bins=st.integers(1, 12))
def test_each_part_is_murphys(rows, n_bins) -> None:
    confidence_N, correct_N = arrays(rows)
    edges = bin_edges(confidence_N, n_bins)
    frame = pd.DataFrame({"f": confidence_N, "y": correct_N.astype(float)})
    bins = frame.groupby(pd.cut(frame["f"], edges, include_lowest=True), observed=True)
    size, f, y = bins.size(), bins["f"].mean(), bins["y"].mean()
    n, rate = len(frame), frame["y"].mean()
    spread = frame - bins[["f", "y"]].transform("mean")
    expected = {
        "reliability": (size * (f - y) ** 2).sum() / n,
        "resolution": (size * (y - rate) ** 2).sum() / n,
        "uncertainty": rate * (1 - rate),
        "within_variance": (spread["f"] ** 2).mean(),
        "within_covariance": 2 * (spread["f"] * spread["y"]).mean(),
    }
    parts = calibration_parts(confidence_N, correct_N, edges)
    for name, value in expected.items():
        assert parts[name].mean() == pytest.approx(value, abs=1e-12), name


def test_contributions_are_first_order() -> None:
    """Adding a little weight to one answer moves each measure as its contribution says."""
    rng = np.random.default_rng(0)
    confidence_N = rng.uniform(size=60)
    correct_N = rng.random(60) < confidence_N**2
    edges = bin_edges(confidence_N, 5)
    parts = calibration_parts(confidence_N, correct_N, edges)
    copies = 2000  # all answers so often, and one of them once more
    for row in (0, 17, 59):
        again = np.r_[np.tile(np.arange(60), copies), row]
        moved = calibration_parts(confidence_N[again], correct_N[again], edges)
        for name, part_N in parts.items():
            slope = (moved[name].mean() - part_N.mean()) * (60 * copies + 1)
            assert slope == pytest.approx(part_N[row] - part_N.mean(), abs=2e-3), name


def test_a_calibrated_model_lies_within_its_own_limits_and_an_overconfident_one_above() -> None:
    rng = np.random.default_rng(1)
    confidence_N = rng.uniform(size=400)
    edges = bin_edges(confidence_N)
    band = calibrated_ece(confidence_N, edges, seed=0, n_draws=300)
    draws = [
        expected_calibration_error(confidence_N, rng.random(400) < confidence_N) for _ in range(300)
    ]
    assert np.mean(draws) == pytest.approx(band.estimate, abs=0.002)
    inside = np.mean([band.lo <= draw <= band.hi for draw in draws])
    assert 0.9 <= inside <= 0.99
    assert expected_calibration_error(confidence_N, rng.random(400) < confidence_N**2) > band.hi


def test_intervals_cover_the_ece_of_an_overconfident_model() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for seed in range(60):
        confidence_N = rng.choice([0.35, 0.65, 0.95], size=300)
        correct_N = rng.random(300) < confidence_N - 0.15  # ECE is .15 by construction
        part_N = calibration_parts(confidence_N, correct_N, bin_edges(confidence_N))["ece"]
        value = hierarchical_bootstrap(
            weighted_mean(part_N), {"entity": np.arange(300)}, n_boot=200, seed=seed
        )
        covered += value.lo <= 0.15 <= value.hi
    assert 53 <= covered <= 60  # of 60 at 95% a share of 53 or less comes once in 70 runs


def test_limits_are_wilsons_over_units() -> None:
    """Three answers of one entity, all right or all wrong together, are one trial."""
    correct_E = np.array([True, True, False, True, True, False, True])
    once = table_of(np.full(7, 0.75), correct_E)
    thrice = pd.concat([once] * 3)
    for items, n in ((once, 7), (thrice, 21)):
        (row,) = reliability_table(items, units=["entity"]).itertuples()
        wilson = binomtest(5, 7).proportion_ci(method="wilson")
        assert (row.n, row.units, row.bin, row.edge_hi) == (n, 7, 7, 0.8)
        assert (row.lo, row.hi) == pytest.approx((wilson.low, wilson.high), abs=1e-12)


def test_equal_confidences_stay_together() -> None:
    edges = bin_edges(np.array([0.0, 0.0, 0.0, 0.9, 0.9, 1.0]), 3, "mass")
    assert edges.tolist() == [0.0, 0.0, 0.9, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bin_edges(np.array([0.5]), 0), "0 of them"),
        (lambda: bin_edges(np.array([1.5])), r"outside \[0, 1\]"),
        (lambda: bin_edges(np.array([])), "or there is none"),
        (lambda: expected_calibration_error(np.array([0.5]), np.array([1, 0])), "do not fit"),
        (lambda: expected_calibration_error(np.array([0.5]), np.array([2])), "0 and 1"),
    ],
)
def test_bad_input_is_refused(call, message) -> None:
    with pytest.raises(InputError, match=message):
        call()
