from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.covariance import ledoit_wolf
from sklearn.model_selection import StratifiedKFold

from interp.errors import InputError
from interp.probes.means import mean_readout
from interp.stats import auroc
from tests.probes.planted import linear


def folds_of(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(StratifiedKFold(4, shuffle=True, random_state=0).split(labels, labels))


def test_plain_is_the_difference_of_means() -> None:
    acts_ND, labels = linear(80, 10, 1.0)
    readout = mean_readout({0: acts_ND}, labels, folds_of(labels), whiten=False)
    for fold, (fitted, held_out) in enumerate(folds_of(labels)):
        acts_MD, label_M = acts_ND[fitted].double().numpy(), labels[fitted]
        first_D, second_D = acts_MD[~label_M].mean(0), acts_MD[label_M].mean(0)
        np.testing.assert_allclose(readout.coef[0, fold], second_D - first_D)
        middle = (acts_ND[held_out].double().numpy() - (first_D + second_D) / 2) @ (
            second_D - first_D
        )
        np.testing.assert_allclose(readout.held_out[fold][0], middle, atol=1e-10)


@pytest.mark.parametrize(("n", "d"), [(80, 12), (40, 70)])
def test_whitening_is_by_ledoit_and_wolfs_covariance(n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    acts_ND, labels = linear(n, d, 2.0)
    acts_ND = acts_ND @ torch.tensor(rng.normal(size=(d, d)), dtype=torch.float32) * 10
    readout = mean_readout({0: acts_ND}, labels, folds_of(labels), whiten=True)
    for fold, (fitted, _) in enumerate(folds_of(labels)):
        acts_MD, label_M = acts_ND[fitted].double().numpy(), labels[fitted]
        z_MD = acts_MD / acts_MD.std(0)
        mean_2D = np.stack([z_MD[~label_M].mean(0), z_MD[label_M].mean(0)])
        covariance_DD, shrinkage = ledoit_wolf(
            z_MD - mean_2D[label_M.astype(int)], assume_centered=True
        )
        expected_D = np.linalg.solve(covariance_DD, mean_2D[1] - mean_2D[0]) / acts_MD.std(0)
        assert readout.shrinkage[0, fold] == pytest.approx(shrinkage)
        np.testing.assert_allclose(readout.coef[0, fold], expected_D, rtol=1e-7, atol=1e-9)


def test_whitening_sees_past_a_massive_dimension() -> None:
    """Two unit normals `delta` apart, seen through one loud column: Phi(delta / sqrt 2) is best."""
    acts_ND, labels = linear(2000, 12, 2.0)
    acts_ND = torch.cat(
        [acts_ND, 1000 * torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))], 1
    )
    scores = {
        whiten: mean_readout({0: acts_ND}, labels, folds_of(labels), whiten=whiten).out_of_fold[0]
        for whiten in (False, True)
    }
    assert auroc(scores[True], labels) == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.02)
    assert auroc(scores[False], labels) < 0.6


def test_equal_activations_read_nothing() -> None:
    labels = np.arange(40) % 2 == 0
    for whiten in (False, True):
        readout = mean_readout(
            {0: torch.full((40, 6), 0.5)}, labels, folds_of(labels), whiten=whiten
        )
        assert not readout.out_of_fold.any()


def test_bad_input_is_refused() -> None:
    acts_ND, labels = linear(40, 4, 1.0)
    broken_ND = acts_ND.clone()
    broken_ND[7, 2] = float("nan")
    cases = [
        (broken_ND, labels, "NaN or Inf in row 7"),
        (acts_ND, np.arange(40) % 3, "3 classes; a difference of means is between two"),
        (acts_ND[:30], labels, r"shape \(30, 4\) for 40 labels"),
    ]
    for acts, classes, message in cases:
        with pytest.raises(InputError, match=message):
            mean_readout({0: acts}, classes, folds_of(labels), whiten=True)
