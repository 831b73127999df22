"""Cosines between two models' directions against planted truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from interp.directions.agreement import cosine_null, cross_validated_cosine, shuffled_over_groups
from interp.directions.geometry import noise_corrected_cosine, split_half_reliability
from interp.errors import InputError

N, D = 160, 64
LABELS = np.arange(N) % 2 == 0
GROUPS = np.arange(N) // 2  # minimal pairs


def two_models(true_cosine: float, length: float, seed: int) -> tuple[Tensor, Tensor]:
    """Class differences at a planted angle; most of the noise is the prompts', shared by both."""
    rng = np.random.default_rng(seed)
    one, other = np.linalg.qr(rng.normal(size=(D, 2)))[0].T
    child_D = true_cosine * one + np.sqrt(1 - true_cosine**2) * other
    shared = 0.9**0.5 * rng.normal(size=(N, D))
    acts = [
        length * np.outer(LABELS, direction_D) + shared + 0.1**0.5 * rng.normal(size=(N, D))
        for direction_D in (one, child_D)
    ]
    return torch.from_numpy(acts[0]).float(), torch.from_numpy(acts[1]).float()


def plain(parent_ND: Tensor, child_ND: Tensor) -> float:
    p, c = (
        acts[torch.from_numpy(LABELS)].double().mean(0)
        - acts[torch.from_numpy(~LABELS)].double().mean(0)
        for acts in (parent_ND, child_ND)
    )
    return float(p @ c / (p.norm() * c.norm()))


@pytest.mark.parametrize("true_cosine", [0.0, 0.5, 1.0])
def test_the_cosine_of_the_true_directions_is_found_under_shared_noise(true_cosine):
    found, naive, corrected = [], [], []
    for seed in range(40):
        parent_ND, child_ND = two_models(true_cosine, 1.5, seed)
        found.append(
            cross_validated_cosine(parent_ND, child_ND, LABELS, groups=GROUPS, n_splits=20, seed=0)
        )
        naive.append(plain(parent_ND, child_ND))
        reliability = [
            split_half_reliability(acts, LABELS, groups=GROUPS, n_splits=20, seed=0)
            for acts in (parent_ND, child_ND)
        ]
        corrected.append(noise_corrected_cosine(naive[-1], *reliability))
    error = np.std(found) / np.sqrt(len(found))
    assert error < 0.03
    # A ratio of unbiased estimates keeps a small bias, of the order of their relative variance.
    assert abs(np.mean(found) - true_cosine) < 4 * error + 0.02
    # Noise from the same prompts is taken for agreement, and the correction adds to it.
    if true_cosine < 1:
        assert np.mean(naive) > true_cosine + 0.15
    assert np.mean(corrected) > true_cosine + 0.2


def test_nothing_is_said_about_a_direction_that_does_not_repeat():
    undefined = [
        np.isnan(cross_validated_cosine(*two_models(1.0, 0.0, seed), LABELS, n_splits=5, seed=0))
        for seed in range(20)
    ]
    # Each model's product of halves is as often below 0 as above.
    assert sum(undefined) >= 5


def test_the_null_is_that_of_directions_with_no_relation_even_along_few_axes():
    rng = np.random.default_rng(0)
    # All activations vary along three axes: any two directions are far from orthogonal.
    axes = rng.normal(size=(3, D)) * 10
    parent, child = (rng.normal(size=(N, 3)) @ axes + 0.1 * rng.normal(size=(N, D)) for _ in "pc")
    parent_ND, child_ND = torch.from_numpy(parent), torch.from_numpy(child)
    shuffled_NK = shuffled_over_groups(LABELS, GROUPS, 300, seed=0)
    null_K = cosine_null(parent_ND, child_ND, LABELS, shuffled_NK)
    assert np.abs(null_K).mean() > 0.3  # 1 / sqrt(64) = .125 if they filled the space
    by_hand = [
        float(p @ c / np.linalg.norm(p) / np.linalg.norm(c))
        for p in [parent[LABELS].mean(0) - parent[~LABELS].mean(0)]
        for c in [child[of_N].mean(0) - child[~of_N].mean(0) for of_N in shuffled_NK.T]
    ]
    np.testing.assert_allclose(null_K, by_hand)


def test_p_of_an_unrelated_direction_is_uniform_and_of_a_shared_one_small():
    below = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        axes = rng.normal(size=(3, D)) * 10
        acts = [
            torch.from_numpy(rng.normal(size=(N, 3)) @ axes + rng.normal(size=(N, D)))
            for _ in range(2)
        ]
        null_K = cosine_null(*acts, LABELS, shuffled_over_groups(LABELS, GROUPS, 99, seed))
        below.append((1 + (null_K >= plain(*acts)).sum()) / 100)
    assert abs(np.mean(np.array(below) <= 0.5) - 0.5) < 4 * 0.5 / np.sqrt(60)
    assert np.mean(np.array(below) <= 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)
    shared = two_models(0.8, 3.0, 0)
    null_K = cosine_null(*shared, LABELS, shuffled_over_groups(LABELS, GROUPS, 99, 0))
    assert plain(*shared) > null_K.max()


def test_shuffles_keep_pairs_and_groups_together():
    labels = np.array([1, 0, 1, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1], dtype=bool)
    groups = np.array([0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7])
    shuffled_NS = shuffled_over_groups(labels, groups, 200, seed=0)
    for column in shuffled_NS.T:
        assert column[:2].sum() == column[2:4].sum() == 1  # a pair stays one of each
        assert {tuple(column[4:7]), tuple(column[7:10])} == {(True,) * 3, (False,) * 3}
        assert column[10:].sum() == 3
    assert len({tuple(column) for column in shuffled_NS.T}) == 2 * 2 * 2 * 4  # every way there is
    again = shuffled_over_groups(labels, groups, 200, seed=0)
    np.testing.assert_array_equal(again, shuffled_NS)


def test_bad_input_is_refused():
    parent_ND, child_ND = two_models(0.5, 1.0, 0)
    flat_NK = np.stack([LABELS, LABELS | True], axis=1)
    cases = [
        (
            lambda: cross_validated_cosine(parent_ND, child_ND[:, :3], LABELS, n_splits=2, seed=0),
            r"\(160, 64\) in the parent and \(160, 3\) in the child",
        ),
        (lambda: cosine_null(parent_ND, child_ND, LABELS, LABELS), "one column a concept"),
        (lambda: cosine_null(parent_ND, child_ND, LABELS, flat_NK), "concept 1 gives all"),
        (
            lambda: cosine_null(parent_ND, torch.ones(N, D), LABELS, flat_NK[:, :1]),
            "concept 0 makes no difference",
        ),
        (lambda: shuffled_over_groups(LABELS, GROUPS[:-1], 2, 0), "159 groups for 160"),
        (lambda: shuffled_over_groups(LABELS, GROUPS, 0, 0), "n_shuffles is 0"),
    ]
    for run, message in cases:
        with pytest.raises(InputError, match=message):
            run()
