"""Mean differences against numpy and against planted truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from interp.activations import Site
from interp.directions import (
    Direction,
    cosine,
    mean_difference,
    noise_corrected_cosine,
    random_directions,
    split_half_reliability,
)
from interp.errors import InputError

SITE = Site("resid_post", 3)
N, D = 200, 64


def direction_of(acts_ND: Tensor, labels_N: np.ndarray) -> Direction:
    return mean_difference(acts_ND, labels_N, site=SITE, position="last_prompt", source="base")


def planted(truth_D: np.ndarray, noise: float, seed: int) -> tuple[Tensor, np.ndarray]:
    """Two classes that differ by `truth_D`, in white noise."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(N) % 2 == 0
    acts_ND = labels_N[:, None] * truth_D + noise * rng.standard_normal((N, D))
    return torch.from_numpy(acts_ND).float(), labels_N


@settings(max_examples=30, deadline=None)
@given(
    acts_ND=hnp.arrays(np.float32, (8, 5), elements=st.floats(-100, 100, width=32)),
    n_abstain=st.integers(1, 7),
)
def test_the_raw_vector_is_the_difference_of_numpys_means(acts_ND, n_abstain):
    labels_N = np.arange(8) < n_abstain
    expected_D = acts_ND[:n_abstain].astype(np.float64).mean(0)
    expected_D = expected_D - acts_ND[n_abstain:].astype(np.float64).mean(0)
    if not expected_D.any():
        with pytest.raises(InputError, match="same mean"):
            direction_of(torch.from_numpy(acts_ND), labels_N)
        return
    found = direction_of(torch.from_numpy(acts_ND), labels_N)
    assert np.allclose(found.norm * found.vector_D.numpy(), expected_D, rtol=1e-5, atol=1e-5)
    assert float(found.vector_D.norm()) == pytest.approx(1, abs=1e-6)


def test_a_direction_says_where_it_comes_from():
    found = direction_of(torch.eye(4), np.array([True, True, False, False]))
    assert (found.site, found.position, found.source) == (SITE, "last_prompt", "base")
    assert found.how == "mean_difference"


def test_a_small_difference_survives_half_precision():
    acts_ND = torch.full((4000, 2), 1000.0, dtype=torch.float16)
    labels_N = np.arange(4000) < 2000
    acts_ND[:500, 0] += 1.0  # numbers around 1000 are half a unit apart in float16
    assert direction_of(acts_ND, labels_N).norm == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("acts_ND", "labels_N", "message"),
    [
        (torch.ones(3, 2), [True, True, True], "all 3 labels are True"),
        (torch.ones(3, 2), [False, False, False], "all 3 labels are False"),
        (torch.ones(3, 2), [True, False], "one label per activation"),
        (torch.tensor([[1.0], [np.nan]]), [True, False], "row 1 holds NaN"),
        (torch.ones(2, 2), [True, False], "same mean"),
    ],
)
def test_unfit_activations_are_refused(acts_ND, labels_N, message):
    with pytest.raises(InputError, match=message):
        direction_of(acts_ND, np.array(labels_N))


def test_cosine_is_that_of_the_angle_whatever_the_lengths():
    a_D, b_D = torch.tensor([3.0, 0.0]), torch.tensor([-2.0, 2.0])
    assert cosine(a_D, b_D) == pytest.approx(-np.sqrt(0.5))
    assert cosine(a_D, 7 * a_D) == pytest.approx(1.0)
    found = direction_of(*planted(np.ones(D), 0.1, 0))
    assert cosine(found, found.vector_D) == pytest.approx(1.0)
    with pytest.raises(InputError, match="same width"):
        cosine(a_D, torch.ones(3))
    with pytest.raises(InputError, match="zero vector"):
        cosine(a_D, torch.zeros(2))


def test_random_directions_are_unit_repeatable_and_spread_evenly():
    drawn = random_directions(2000, 16, seed=1)
    assert drawn.dtype == torch.float32
    assert torch.allclose(drawn.norm(dim=1), torch.ones(2000), atol=1e-6)
    assert torch.equal(drawn, random_directions(2000, 16, seed=1))
    assert not torch.equal(drawn, random_directions(2000, 16, seed=2))
    # Evenly spread: mean 0 and covariance I/d, each within five standard errors.
    assert drawn.mean(0).abs().max() < 5 / np.sqrt(16 * 2000)
    covariance = drawn.T @ drawn / 2000
    assert (covariance - torch.eye(16) / 16).abs().max() < 5 * np.sqrt(2) / 16 / np.sqrt(2000)


def test_reliability_is_one_without_noise_and_zero_on_noise_alone():
    clean, labels_N = planted(np.ones(D), 0.01, 0)
    assert split_half_reliability(clean, labels_N, n_splits=10, seed=0) > 0.999
    alone = [
        split_half_reliability(*planted(np.zeros(D), 1.0, seed), n_splits=20, seed=0)
        for seed in range(20)
    ]
    # Two independent directions in D dimensions have a cosine of standard deviation 1/sqrt(D).
    assert abs(np.mean(alone)) < 0.1
    assert np.abs(alone).max() < 0.5


def test_reliability_is_the_share_of_the_squared_length_that_is_signal():
    # A difference of means over N/2 and N/2 has noise variance 4/N in each of D dimensions.
    signal, noise = 2.0, 4 * D / N
    truth_D = np.sqrt(signal / D) * np.ones(D)
    found = [
        split_half_reliability(*planted(truth_D, 1.0, seed), n_splits=20, seed=0)
        for seed in range(30)
    ]
    assert np.mean(found) == pytest.approx(signal / (signal + noise), abs=0.03)


def test_reliability_repeats_by_seed():
    acts_ND, labels_N = planted(np.ones(D) / 8, 1.0, 0)
    first, again, other = (
        split_half_reliability(acts_ND, labels_N, n_splits=3, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_noise_shared_within_groups_is_not_reliability():
    # Ten entities a class, no difference between the classes, ten almost equal prompts each.
    rng = np.random.default_rng(0)
    entity_N = np.repeat(np.arange(20), 10)
    acts_ND = torch.from_numpy(rng.standard_normal((20, D))[entity_N]).float()
    acts_ND += 0.1 * torch.from_numpy(rng.standard_normal((N, D))).float()
    labels_N = entity_N % 2 == 0
    alone = split_half_reliability(acts_ND, labels_N, n_splits=20, seed=0)
    grouped = split_half_reliability(acts_ND, labels_N, n_splits=20, seed=0, groups=entity_N)
    assert alone > 0.85
    assert grouped < 0.5


def test_the_corrected_cosine_of_two_noisy_views_of_one_direction_is_one():
    truth_D = np.sqrt(2.0 / D) * np.ones(D)
    observed, corrected = [], []
    for seed in range(40):
        one, other = planted(truth_D, 1.0, 2 * seed), planted(truth_D, 1.0, 2 * seed + 1)
        cos = cosine(direction_of(*one), direction_of(*other))
        reliabilities = [split_half_reliability(*x, n_splits=20, seed=0) for x in (one, other)]
        observed.append(cos)
        corrected.append(noise_corrected_cosine(cos, *reliabilities))
    standard_error = np.std(corrected) / np.sqrt(len(corrected))
    assert np.mean(observed) < 0.7
    assert abs(np.mean(corrected) - 1) < 3 * standard_error + 0.02
    assert standard_error < 0.03


def test_what_cannot_be_halved_or_corrected_is_refused():
    acts_ND, labels_N = planted(np.ones(D), 1.0, 0)
    with pytest.raises(InputError, match="abstain class has too few groups"):
        split_half_reliability(acts_ND[:3], np.array([True, False, False]), n_splits=2, seed=0)
    with pytest.raises(InputError, match="7 groups for 200"):
        split_half_reliability(acts_ND, labels_N, n_splits=2, seed=0, groups=range(7))
    with pytest.raises(InputError, match="both must be above 0"):
        noise_corrected_cosine(0.5, 0.4, -0.1)
