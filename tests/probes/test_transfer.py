from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.probes import grouped_folds, rho, transfer_scores
from interp.stats import auroc
from tests.probes.planted import linear

N = 400


def test_an_identical_child_retains_exactly_everything() -> None:
    acts_ND, labels = linear(N, 12, 1.5)
    folds = grouped_folds(np.arange(N), labels, 5, 0)
    parent_N, child_N = transfer_scores(acts_ND, acts_ND.clone(), labels, folds)
    np.testing.assert_array_equal(parent_N, child_N)
    levels = {"entity": np.arange(N)}
    value = rho(parent_N, child_N, labels, levels, seed=0, n_boot=200)
    assert (value.estimate, value.lo, value.hi) == pytest.approx((1, 1, 1))


def test_an_unrelated_rotation_retains_nothing() -> None:
    """In many dimensions a random direction is nearly at right angles to the parent's."""
    retained = []
    for seed in range(8):
        acts_ND, labels = linear(N, 64, 2.0, seed)
        rotation = torch.linalg.qr(
            torch.randn(64, 64, generator=torch.Generator().manual_seed(seed))
        ).Q
        folds = grouped_folds(np.arange(N), labels, 5, 0)
        scores = transfer_scores(acts_ND, acts_ND @ rotation, labels, folds)
        retained.append(rho(*scores, labels, {"entity": np.arange(N)}, seed=0, n_boot=20).estimate)
    assert abs(np.mean(retained)) < 0.15
    assert np.abs(retained).max() < 0.6


def test_probe_and_scaler_are_the_parents() -> None:
    parent_ND, labels = linear(N, 6, 1.0)
    child_ND = 3 * parent_ND.flip(1) + 2
    folds = grouped_folds(np.arange(N), labels, 5, 0)
    _, child_N = transfer_scores(parent_ND, child_ND, labels, folds, c=0.5)
    for fitted, held_out in folds:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, tol=1e-8))
        pipeline.fit(parent_ND[fitted].double().numpy(), labels[fitted])
        expected = pipeline.decision_function(child_ND[held_out].double().numpy())
        np.testing.assert_allclose(child_N[held_out], expected, atol=2e-2)


def test_the_interval_covers_what_is_retained() -> None:
    """Normal scores with the classes delta apart have the AUROC Phi(delta / sqrt 2)."""
    parent_delta, child_delta = 2.0, 1.0
    truth = (norm.cdf(child_delta / np.sqrt(2)) - 0.5) / (norm.cdf(parent_delta / np.sqrt(2)) - 0.5)
    labels, groups = np.repeat([True, False], 150), np.repeat(np.arange(100), 3)
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shared_G = rng.normal(size=100)[groups]  # what makes rows of one entity alike
        parent_N, child_N = (
            delta * labels + np.sqrt(0.5) * shared_G + np.sqrt(0.5) * rng.normal(size=300)
            for delta in (parent_delta, child_delta)
        )
        value = rho(parent_N, child_N, labels, {"entity": groups}, seed=seed, n_boot=100)
        covered += value.lo <= truth <= value.hi
    assert covered >= 33  # 38 expected; more than 3 standard deviations


def test_nothing_can_be_retained_of_what_the_parent_lacks() -> None:
    labels = np.arange(100) % 2 == 0
    parent_N, child_N = np.random.default_rng(0).normal(size=(2, 100))
    value = rho(parent_N, child_N, labels, {"entity": np.arange(100)}, seed=0, n_boot=200)
    assert np.isnan([value.estimate, value.lo, value.hi]).all()


def test_the_best_control_is_where_nothing_is_read() -> None:
    labels, levels = np.repeat([True, False], 100), {"entity": np.arange(200)}
    rng = np.random.default_rng(0)
    parent_N, child_N, surface_N, worse_N = (
        rng.normal(size=200) + delta * labels for delta in (3, 1, 0.5, -1)
    )
    controls = {"surface": surface_N, "random model": worse_N}
    value = rho(parent_N, child_N, labels, levels, controls=controls, seed=0, n_boot=200)
    parent, child, control = (auroc(s, labels) for s in (parent_N, child_N, surface_N))
    assert value.estimate == pytest.approx((child - control) / (parent - control))
    plain = rho(parent_N, child_N, labels, levels, seed=0, n_boot=200)
    assert plain.estimate == pytest.approx((child - 0.5) / (parent - 0.5))
    # A control below chance takes nothing off, and one as good as the parent leaves nothing.
    below = {"random model": worse_N}
    assert rho(parent_N, child_N, labels, levels, controls=below, seed=0, n_boot=200) == plain
    all_of_it = {"surface": parent_N}
    value = rho(parent_N, child_N, labels, levels, controls=all_of_it, seed=0, n_boot=200)
    assert np.isnan(value.estimate)


def test_bad_input_is_refused() -> None:
    acts_ND, labels = linear(40, 4, 1.0)
    folds = grouped_folds(np.arange(40), labels, 4, 0)
    with pytest.raises(InputError, match=r"\(40, 4\) in the parent and \(40, 3\) in the child"):
        transfer_scores(acts_ND, acts_ND[:, :3], labels, folds)
    levels = {"entity": np.arange(40)}
    with pytest.raises(InputError, match="child scores have 39 rows, labels 40"):
        rho(np.zeros(40), np.zeros(39), labels, levels, seed=0)
    with pytest.raises(InputError, match="surface have 3 rows, labels 40"):
        rho(np.zeros(40), np.zeros(40), labels, levels, controls={"surface": np.zeros(3)}, seed=0)
