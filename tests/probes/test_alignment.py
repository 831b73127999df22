"""Maps between models against planted maps, and against the closed forms done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from torch import Tensor

from interp.errors import InputError
from interp.probes import grouped_folds, transfer_scores
from interp.probes.alignment import align
from interp.stats import auroc
from tests.probes.planted import linear


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


def rotation(d: int, seed: int) -> Tensor:
    return torch.linalg.qr(normal(d, d, seed)).Q


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_a_planted_rotation_and_shift_is_recovered(d, seed):
    child_ND = normal(60, d, seed)
    parent_ND = child_ND @ rotation(d, seed + 1) + 5 * normal(1, d, seed + 2)
    found = align(parent_ND, child_ND, kind="orthogonal")
    torch.testing.assert_close(found.apply(child_ND), parent_ND, rtol=0, atol=1e-5)
    fresh_ND = normal(10, d, seed + 3)
    expected = fresh_ND @ rotation(d, seed + 1) + 5 * normal(1, d, seed + 2)
    torch.testing.assert_close(found.apply(fresh_ND), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.matrix_DD @ found.matrix_DD.T, torch.eye(d).double())
    assert found.explained(parent_ND, child_ND) == pytest.approx(1)


def test_the_rotation_is_scipys():
    parent_ND, child_ND = normal(50, 6, 0), normal(50, 6, 1) + normal(50, 6, 0)
    found = align(parent_ND, child_ND, kind="orthogonal")
    theirs, _ = orthogonal_procrustes(
        (child_ND - child_ND.mean(0)).numpy(), (parent_ND - parent_ND.mean(0)).numpy()
    )
    np.testing.assert_allclose(found.matrix_DD.numpy(), theirs, atol=1e-4)


@settings(max_examples=20)
@given(st.integers(2, 10), st.integers(0, 1000))
def test_a_planted_affine_map_is_recovered(d, seed):
    child_ND, matrix_DD = normal(300, d, seed), normal(d, d, seed + 1)
    # Columns of very different size, as residual streams have.
    child_ND = child_ND * torch.logspace(-2, 2, d).double()
    parent_ND = child_ND @ matrix_DD + 3
    found = align(parent_ND, child_ND, kind="affine")
    assert found.explained(parent_ND, child_ND) > 0.9999
    fresh_ND = normal(50, d, seed + 2) * torch.logspace(-2, 2, d).double()
    expected = fresh_ND @ matrix_DD + 3
    error_D = (found.apply(fresh_ND) - expected).square().mean(0) / expected.var(0)
    assert error_D.max() < 1e-3


def test_the_penalty_has_the_least_error_of_leaving_one_out():
    """The closed form against refitting without each row, over the penalties."""
    n, d = 14, 5
    child_ND, noise_ND = normal(n, d, 0), normal(n, d, 1)
    parent_ND = child_ND + 0.5 * child_ND.roll(1, 1) + 0.7 * noise_ND
    found = align(parent_ND, child_ND, kind="affine")
    x = child_ND - child_ND.mean(0)
    scale = x.square().mean(0).sqrt()
    y = parent_ND - parent_ND.mean(0)
    weight = y.square().mean(0).sqrt()
    z, target = (x / scale).numpy(), ((y - x) / weight).numpy()
    size = float((np.linalg.svd(z)[1] ** 2).mean())
    errors, maps = [], []
    for penalty in np.logspace(-6, 4, 21) * size:
        error = 0.0
        for row in range(n):
            # Everything but the scales and the penalty is fitted anew, the means too.
            rest = np.delete(np.arange(n), row)
            mean_z, mean_t = z[rest].mean(0), target[rest].mean(0)
            slope = np.linalg.solve(
                (z[rest] - mean_z).T @ (z[rest] - mean_z) + penalty * np.eye(d),
                (z[rest] - mean_z).T @ (target[rest] - mean_t),
            )
            error += ((target[row] - mean_t - (z[row] - mean_z) @ slope) ** 2).sum()
        errors.append(error)
        maps.append(np.linalg.solve(z.T @ z + penalty * np.eye(d), z.T @ target))
    best = int(np.argmin(errors))
    assert 0 < best < 20
    expected = np.eye(d) + maps[best] * weight.numpy() / scale.numpy()[:, None]
    np.testing.assert_allclose(found.matrix_DD.numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("kind", ["orthogonal", "affine"])
def test_what_neutral_rows_do_not_show_is_left_as_it_is(kind):
    """Twelve neutral rows of forty columns that turn only within the first three."""
    turn = torch.eye(40).double()
    turn[:3, :3] = rotation(3, 0)
    child_ND = normal(12, 40, 1)
    child_ND[:, 3:] = 0
    found = align(child_ND @ turn, child_ND, kind=kind)
    fresh_ND = normal(6, 40, 2)
    torch.testing.assert_close(found.apply(fresh_ND)[:, 3:], fresh_ND[:, 3:], rtol=0, atol=1e-5)
    moved = found.apply(child_ND) - child_ND @ turn
    assert moved.square().mean() < 1e-4


def test_without_a_common_map_an_affine_one_stays_near_zero_shot():
    """Ten rows for thirty columns, and nothing to learn: parent = child + noise."""
    child_ND = normal(10, 30, 0)
    found = align(child_ND + normal(10, 30, 1), child_ND, kind="affine")
    turned = found.matrix_DD - torch.eye(30).double()
    assert turned.norm() < 0.2 * 30**0.5
    free_DD = torch.linalg.pinv(child_ND - child_ND.mean(0)) @ (normal(10, 30, 1))
    assert free_DD.norm() > turned.norm()


def test_alignment_restores_what_a_change_of_basis_hid_from_the_parents_probe():
    parent_ND, labels = linear(400, 16, 2.0)
    turn = rotation(16, 3).float()
    child_ND = parent_ND @ turn
    neutral_ND = normal(200, 16, 4).float()
    folds = grouped_folds(np.arange(400), labels, 5, 0)
    found = align(neutral_ND, neutral_ND @ turn, kind="orthogonal")
    of_parent, zero_shot = (
        auroc(s, labels) for s in transfer_scores(parent_ND, child_ND, labels, folds)
    )
    aligned = transfer_scores(parent_ND, found.apply(child_ND), labels, folds)[1]
    assert of_parent > 0.85
    assert zero_shot < 0.75
    assert auroc(aligned, labels) == pytest.approx(of_parent, abs=1e-3)


def test_alignment_finds_nothing_where_nothing_is():
    """A child without the concept, in another basis: no map from neutral text brings it back."""
    parent_ND, labels = linear(400, 16, 2.0)
    gone_ND = normal(400, 16, 5).float()
    folds = grouped_folds(np.arange(400), labels, 5, 0)
    neutral_ND = normal(200, 16, 4).float()
    for kind in ("orthogonal", "affine"):
        found = align(neutral_ND, neutral_ND @ rotation(16, 3).float(), kind=kind)
        scores = transfer_scores(parent_ND, found.apply(gone_ND), labels, folds)[1]
        assert abs(auroc(scores, labels) - 0.5) < 4 / (12 * 200) ** 0.5  # four standard errors


def test_rows_that_taught_the_map_are_refused_and_dtypes_are_kept():
    child_ND = normal(20, 4, 0).to(torch.bfloat16)
    ids = [f"neutral {row}" for row in range(20)]
    found = align(child_ND, child_ND, kind="affine", neutral_ids=ids)
    assert found.neutral_ids == frozenset(ids)
    assert found.apply(child_ND[:3], ["a", "b", "c"]).dtype == torch.bfloat16
    with pytest.raises(InputError, match=r"1 of the rows to be read .* 'neutral 7'"):
        found.apply(child_ND[:2], ["a", "neutral 7"])


def test_bad_input_is_refused():
    acts_ND = normal(8, 3, 0)
    bad_ND = acts_ND.clone()
    bad_ND[5, 2] = np.nan
    found = align(acts_ND, acts_ND, kind="affine")
    cases = [
        (lambda: align(acts_ND, acts_ND[:, :2], kind="affine"), r"\(8, 3\) in the parent"),
        (lambda: align(acts_ND, acts_ND[:7], kind="affine"), r"\(7, 3\) in the child"),
        (lambda: align(acts_ND[:2], acts_ND[:2], kind="orthogonal"), "2 neutral rows"),
        (lambda: align(acts_ND, bad_ND, kind="affine"), "child's activations of row 5"),
        (lambda: align(torch.ones(8, 3), acts_ND, kind="affine"), "parent's activations are the"),
        (lambda: align(acts_ND, acts_ND, kind="affine", neutral_ids=["a"]), "1 ids for 8 rows"),
        (lambda: found.apply(acts_ND[:, :2]), "width 3"),
        (lambda: found.apply(acts_ND, ["a"]), "1 ids for 8 rows"),
        (lambda: found.explained(acts_ND, acts_ND[:4]), r"\(4, 3\) in the child"),
    ]
    for run, message in cases:
        with pytest.raises(InputError, match=message):
            run()
