from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.probes import grouped_folds, out_of_fold_scores, shuffled_null
from interp.stats import auroc
from tests.probes.planted import exclusive_or, linear


def test_scores_are_scikit_learns() -> None:
    acts_ND, labels = linear(300, 20, 1.0)
    folds = grouped_folds(np.arange(300), labels, 5, 0)
    pipeline = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10)
    )
    expected = cross_val_predict(
        pipeline, acts_ND.double().numpy(), labels, cv=folds, method="decision_function"
    )
    got = out_of_fold_scores(acts_ND, labels, folds, c=0.3)
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_scores_do_not_depend_on_the_features_units() -> None:
    acts_ND, labels = linear(200, 10, 1.0)
    folds = grouped_folds(np.arange(200), labels, 5, 0)
    scale_D = torch.logspace(-3, 3, 10)
    np.testing.assert_allclose(
        out_of_fold_scores(acts_ND * scale_D + 5, labels, folds),
        out_of_fold_scores(acts_ND, labels, folds),
        atol=2e-2,
    )


@pytest.mark.parametrize("delta", [0.8, 1.5, 2.5])
def test_a_planted_signal_is_read_as_well_as_it_can_be(delta: float) -> None:
    """The best AUROC of two unit normals `delta` apart is Phi(delta / sqrt 2)."""
    acts_ND, labels = linear(3000, 12, delta)
    folds = grouped_folds(np.arange(3000), labels, 5, 0)
    best = norm.cdf(delta / np.sqrt(2))
    assert auroc(out_of_fold_scores(acts_ND, labels, folds), labels) == pytest.approx(
        best, abs=0.02
    )


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_without_a_signal_a_probe_stays_within_the_null(kind: str) -> None:
    acts_ND, labels = linear(240, 24, 0.0, seed=3)
    groups = np.arange(240)
    folds = grouped_folds(groups, labels, 5, 0)
    null_P = shuffled_null(acts_ND, labels, groups, folds, 40, 0)
    observed = auroc(out_of_fold_scores(acts_ND, labels, folds, kind=kind), labels)
    assert null_P.min() <= observed <= null_P.max()


def test_only_the_mlp_reads_exclusive_or() -> None:
    acts_ND, labels = exclusive_or(600, 24, 2.0)
    groups = np.arange(600)
    folds = grouped_folds(groups, labels, 5, 0)
    null_P = shuffled_null(acts_ND, labels, groups, folds, 40, 0)
    linear_auroc = auroc(out_of_fold_scores(acts_ND, labels, folds), labels)
    assert null_P.min() <= linear_auroc <= null_P.max()
    assert auroc(out_of_fold_scores(acts_ND, labels, folds, kind="mlp"), labels) > 0.93


def test_the_mlp_scores_finite_where_classes_lie_far_apart() -> None:
    acts_ND, labels = linear(100, 4, 100.0)
    folds = grouped_folds(np.arange(100), labels, 5, 0)
    scores_N = out_of_fold_scores(acts_ND, labels, folds, kind="mlp")
    assert np.isfinite(scores_N).all()
    assert auroc(scores_N, labels) == 1.0


def test_equal_activations_read_nothing() -> None:
    """A position where the architecture makes all prompts alike."""
    labels = np.arange(100) % 2 == 0
    folds = grouped_folds(np.arange(100), labels, 5, 0)
    scores_N = out_of_fold_scores(torch.full((100, 8), 0.3), labels, folds)
    assert auroc(scores_N, labels) == 0.5


def test_bad_input_is_refused() -> None:
    acts_ND, labels = linear(40, 4, 1.0)
    folds = grouped_folds(np.arange(40), labels, 4, 0)
    broken_ND = acts_ND.clone()
    broken_ND[7, 2] = float("nan")
    cases = [
        ((acts_ND[:30], labels, folds), "30 rows for 40 labels"),
        ((broken_ND, labels, folds), "row 7"),
        ((acts_ND, labels, folds[:3]), "every row must be held out exactly once"),
        ((acts_ND, np.zeros(40, bool), folds), "fold 0 has one class"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            out_of_fold_scores(*arguments)
