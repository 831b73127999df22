"""LEACE against its theorem, against brute optimality, and in batches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from interp.errors import InputError
from interp.probes.erasure import LeaceEraser, LeaceFitter
from interp.stats import auroc


def concept(
    n: int, d: int, n_classes: int = 2, *, seed: int = 0, gap: float = 2.0
) -> tuple[Tensor, np.ndarray]:
    """Correlated normal noise around class means; the first class has twice the rows of others."""
    rng = np.random.default_rng(seed)
    mix_DD, means_KD = rng.normal(size=(d, d)), gap * rng.normal(size=(n_classes, d))
    classes_N = rng.permutation(np.arange(n) % (n_classes + 1) % n_classes)
    return torch.from_numpy(rng.normal(size=(n, d)) @ mix_DD + means_KD[classes_N]), classes_N


def worst_correlation(acts_ND: Tensor, classes_N: np.ndarray) -> float:
    """The largest correlation between any column and any class indicator."""
    acts = acts_ND.double().numpy()
    acts = (acts - acts.mean(0)) / np.maximum(acts.std(0), 1e-9)
    indicator_NK = classes_N[:, None] == np.unique(classes_N)
    return float(np.abs(acts.T @ (indicator_NK - indicator_NK.mean(0))).max() / len(acts))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_on_the_fitted_rows_no_linear_probe_beats_the_majority_class(n_classes):
    acts_ND, classes_N = concept(600, 12, n_classes)
    erased = LeaceEraser.fit(acts_ND, classes_N)(acts_ND)
    assert worst_correlation(acts_ND, classes_N) > 0.1
    assert worst_correlation(erased, classes_N) < 1e-12
    probe = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8)
    before = probe.fit(acts_ND.numpy(), classes_N).score(acts_ND.numpy(), classes_N)
    probe.fit(erased.numpy(), classes_N)
    majority = np.bincount(classes_N).max() / len(classes_N)
    assert before > majority + 0.15
    assert probe.score(erased.numpy(), classes_N) == pytest.approx(majority, abs=1e-9)
    # The best probe is the constant one: its odds are the classes' shares in every row.
    shares_NK = probe.predict_proba(erased.numpy())
    np.testing.assert_allclose(
        shares_NK, np.tile(np.bincount(classes_N) / 600, (600, 1)), atol=1e-4
    )


def test_on_fresh_draws_no_linear_probe_beats_chance_beyond_sampling_noise():
    n_fit, n_fresh = 20_000, 4000
    acts_ND, classes_N = concept(n_fit + 2 * n_fresh, 12)
    fit, train, test = torch.split(torch.arange(len(acts_ND)), [n_fit, n_fresh, n_fresh])
    eraser = LeaceEraser.fit(acts_ND[fit], classes_N[fit])
    probe = LogisticRegression(C=1.0, max_iter=2000)
    found = {}
    for name, acts in (("intact", acts_ND), ("erased", eraser(acts_ND))):
        probe.fit(acts[train].numpy(), classes_N[train])
        scores_N = probe.decision_function(acts[test].numpy())
        found[name] = auroc(scores_N, classes_N[test])
    assert found["intact"] > 0.8
    # Under chance an AUROC over m positive and k negative rows has the variance
    # (m + k + 1) / 12 m k; what the fitting rows misjudge adds d / n_fit of theirs.
    m = int(classes_N[test].sum())
    k = n_fresh - m
    noise = np.sqrt((n_fresh + 1) / (12 * m * k))
    assert abs(found["erased"] - 0.5) < 4 * noise + 0.01


def test_a_probe_fitted_on_the_erased_rows_reads_nothing_from_fresh_ones():
    acts_ND, classes_N = concept(8000, 12)
    eraser = LeaceEraser.fit(acts_ND[:4000], classes_N[:4000])
    probe = LogisticRegression(C=1e6, max_iter=5000, tol=1e-8)
    probe.fit(eraser(acts_ND[:4000]).numpy(), classes_N[:4000])
    fresh = eraser(acts_ND[4000:]).numpy()
    assert probe.decision_function(fresh).std() < 1e-4
    assert (probe.predict(fresh) == np.bincount(classes_N[:4000]).argmax()).all()


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_no_other_affine_map_that_erases_moves_the_rows_less(seed, n_classes):
    """In mean square, by whatever inner product: against random ones of the maps that erase."""
    acts_ND, classes_N = concept(60, 5, n_classes, seed=seed)
    rng = np.random.default_rng(seed)
    eraser = LeaceEraser.fit(acts_ND, classes_N)
    centred_ND = acts_ND - acts_ND.mean(0)
    away_KD = torch.stack([centred_ND[classes_N == k].mean(0) for k in range(n_classes)])
    ours_DD = torch.eye(5).double() - eraser.left_DK @ eraser.right_DK.T
    assert (ours_DD @ away_KD.T).abs().max() < 1e-9
    # Adding any matrix that takes the class means to zero gives every other map that erases.
    null_DD = torch.eye(5).double() - torch.linalg.pinv(away_KD) @ away_KD
    other_DD = ours_DD + torch.from_numpy(rng.normal(size=(5, 5))) * rng.exponential() @ null_DD
    assert (other_DD @ away_KD.T).abs().max() < 1e-8
    root_DD = torch.from_numpy(rng.normal(size=(5, 5)))  # of the inner product

    def moved(map_DD: Tensor) -> float:
        return float(((centred_ND @ map_DD.T - centred_ND) @ root_DD).square().sum())

    assert moved(ours_DD) <= moved(other_DD) * (1 + 1e-9)
    # The projection along the class means erases as well, and moves more.
    naive_DD = torch.eye(5).double() - torch.linalg.pinv(away_KD) @ away_KD
    assert moved(ours_DD) <= moved(naive_DD) * (1 + 1e-9)


def test_the_naive_projection_moves_correlated_rows_much_more():
    rng = np.random.default_rng(0)
    classes_N = np.arange(2000) % 2
    shared_N1 = 10 * rng.normal(size=(2000, 1))  # a massive axis on which the classes differ a bit
    acts = np.concatenate(
        [shared_N1 + classes_N[:, None], shared_N1 + rng.normal(size=(2000, 1))], 1
    )
    acts_ND = torch.from_numpy(acts)
    away_D = acts_ND[classes_N == 1].mean(0) - acts_ND[classes_N == 0].mean(0)
    unit_D = away_D / away_D.norm()
    naive = ((acts_ND - acts_ND.mean(0)) @ unit_D).square().mean()
    ours = (LeaceEraser.fit(acts_ND, classes_N)(acts_ND) - acts_ND).square().sum(1).mean()
    assert ours < 0.2 * naive


@settings(max_examples=20)
@given(st.lists(st.integers(0, 300), max_size=5), st.integers(0, 10))
def test_batches_give_what_all_rows_at_once_give(cuts, seed):
    acts_ND, classes_N = concept(300, 6, 3, seed=seed)
    fitter = LeaceFitter(6, [0, 1, 2])
    edges = [0, *sorted(cuts), 300]
    for start, stop in itertools.pairwise(edges):
        fitter.update(acts_ND[start:stop], classes_N[start:stop])
    streamed, whole = fitter.eraser(), LeaceEraser.fit(acts_ND, classes_N)
    torch.testing.assert_close(streamed(acts_ND), whole(acts_ND), rtol=0, atol=1e-9)


def test_small_differences_far_from_zero_survive_streaming():
    acts_ND, classes_N = concept(2000, 4)
    far_ND = acts_ND + 1e6
    fitter = LeaceFitter(4, [0, 1])
    for batch in torch.split(torch.arange(2000), 7):
        fitter.update(far_ND[batch], classes_N[batch])
    near = LeaceEraser.fit(acts_ND, classes_N)(acts_ND)
    torch.testing.assert_close(fitter.eraser()(far_ND) - 1e6, near, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factors", [[1.0, 1e5, 1e-5, 1.0, 3.0, 1.0], [1e4] * 6])
def test_the_units_of_the_columns_make_no_difference(factors):
    acts_ND, classes_N = concept(500, 6)
    factor_D = torch.tensor(factors).double()
    plain = LeaceEraser.fit(acts_ND, classes_N)(acts_ND)
    scaled = LeaceEraser.fit(acts_ND * factor_D, classes_N)(acts_ND * factor_D)
    torch.testing.assert_close(scaled / factor_D, plain, rtol=0, atol=1e-8)


def test_a_covariance_without_full_rank_is_no_obstacle():
    rng = np.random.default_rng(1)
    low_ND, classes_N = concept(400, 4, 3)
    embedded_ND = low_ND @ torch.from_numpy(rng.normal(size=(4, 20)))
    embedded_ND = torch.cat([embedded_ND, torch.full((400, 1), 7.0)], dim=1)  # and a constant
    eraser = LeaceEraser.fit(embedded_ND, classes_N)
    erased = eraser(embedded_ND)
    assert worst_correlation(erased, classes_N) < 1e-9
    assert eraser.left_DK.shape == (21, 2)  # as many directions as classes, less one
    assert (erased[:, -1] == 7.0).all()
    # Fewer rows than columns: the classes are then separable, and nothing of that is left.
    few_ND, few_N = concept(15, 40)
    assert worst_correlation(LeaceEraser.fit(few_ND, few_N)(few_ND), few_N) < 1e-9


def test_what_is_not_there_is_not_erased():
    acts_ND = concept(100, 5)[0]
    twice_ND = torch.cat([acts_ND, acts_ND])
    eraser = LeaceEraser.fit(twice_ND, np.repeat(["a", "b"], 100))
    assert torch.equal(eraser(twice_ND), twice_ND)
    flat_ND = torch.ones(10, 3)
    assert torch.equal(LeaceEraser.fit(flat_ND, np.arange(10) % 2)(flat_ND), flat_ND)


def test_half_precision_in_half_precision_out_and_fitted_in_full():
    acts_ND, classes_N = concept(4000, 8)
    half_ND = (acts_ND + 20).to(torch.bfloat16)
    eraser = LeaceEraser.fit(half_ND, classes_N)
    erased = eraser(half_ND)
    assert erased.dtype == torch.bfloat16
    assert worst_correlation(eraser(half_ND.double()), classes_N) < 1e-12
    # Rounding the erased rows to 8 bits gives noise, no class difference to speak of.
    assert worst_correlation(erased, classes_N) < 0.005 < worst_correlation(half_ND, classes_N)


def test_any_leading_axes_and_any_names_of_classes():
    acts_ND, classes_N = concept(60, 4, 3)
    names = [("stale", "unknown", "false premise")[k] for k in classes_N]
    eraser = LeaceEraser.fit(acts_ND, names)
    by_number = LeaceEraser.fit(acts_ND, torch.from_numpy(classes_N))
    torch.testing.assert_close(eraser(acts_ND), by_number(acts_ND))
    folded = eraser(acts_ND.reshape(3, 20, 4))
    torch.testing.assert_close(folded.reshape(60, 4), eraser(acts_ND))


def test_bad_input_is_refused():
    acts_ND, classes_N = concept(20, 3)
    bad_ND = acts_ND.clone()
    bad_ND[4, 1] = np.nan
    cases = [
        (lambda: LeaceEraser.fit(acts_ND, np.zeros(20)), "at least two"),
        (lambda: LeaceFitter(3, ["a", "a"]), "each named once"),
        (lambda: LeaceEraser.fit(acts_ND, classes_N[:-1]), "19 classes for 20 rows"),
        (lambda: LeaceEraser.fit(bad_ND, classes_N), "row 4"),
        (lambda: LeaceFitter(4, [0, 1]).update(acts_ND, classes_N), r"shape \(20, 3\)"),
        (lambda: LeaceFitter(3, [0, 2]).update(acts_ND, classes_N), "of the class 1"),
        (lambda: LeaceFitter(3, [0, 1, 2]).update(acts_ND, classes_N).eraser(), "of the class 2"),
        (lambda: LeaceFitter(3, [0, 1]).eraser(), "no row of the class 0"),
        (lambda: LeaceEraser.fit(acts_ND, classes_N)(acts_ND[:, :2]), "width 2"),
    ]
    for run, message in cases:
        with pytest.raises(InputError, match=message):
            run()
