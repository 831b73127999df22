from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from interp.errors import InputError
from interp.probes.estimator import LogisticProbe
from interp.probes.solver import solve
from tests.probes.planted import linear


def refused_our_way(estimator: object) -> dict[str, str]:
    """Checks of scikit-learn's that hold in substance and not in form."""
    says = "one class is refused as an InputError, in this project's words"
    return {
        "check_sample_weight_equivalence_on_dense_data": "equal to the tolerance, not to 1e-7",
        "check_classifiers_one_label": says,
        "check_classifiers_one_label_sample_weights": says,
        "check_fit2d_1sample": says,
        "check_requires_y_none": "an InputError too",
        "check_do_not_raise_errors_in_init_or_set_params": "annotations are enforced in tests",
    }


@parametrize_with_checks([LogisticProbe()], expected_failed_checks=refused_our_way)
def test_it_is_a_classifier_to_scikit_learn(estimator: LogisticProbe, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_it_is_the_pipeline_it_stands_for() -> None:
    acts_ND, labels = linear(200, 12, 1.0)
    acts_ND = acts_ND * torch.logspace(-2, 3, 12) + 7
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10)
    )
    expected = cross_val_predict(theirs, acts_ND.double(), labels, method="decision_function")
    got = cross_val_predict(LogisticProbe(C=0.3), acts_ND, labels, method="decision_function")
    np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_the_solver(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(90) % n_classes)
    acts_ND = torch.tensor(rng.normal(size=(90, 8)) + labels[:, None])
    probe = LogisticProbe(C=0.1).fit(acts_ND[:60], labels[:60])
    solution = solve({0: acts_ND}, labels, [(np.arange(60), np.arange(60, 90))], [0.1])
    expected = solution.held_out[0][0, 0]
    got = probe.decision_function(acts_ND[60:])
    np.testing.assert_allclose(got, expected, atol=1e-3 * np.abs(expected).max())
    np.testing.assert_allclose(probe.predict_proba(acts_ND).sum(1), 1.0)
    np.testing.assert_array_equal(probe.predict_proba(acts_ND).argmax(1), probe.predict(acts_ND))
    assert probe.coef_.shape == ((1, 8) if n_classes == 2 else (3, 8))


def test_tensors_and_arrays_are_read_alike() -> None:
    acts_ND, labels = linear(80, 6, 1.0)
    of_tensor = LogisticProbe().fit(acts_ND, torch.tensor(labels))
    of_array = LogisticProbe().fit(acts_ND.numpy(), labels)
    np.testing.assert_array_equal(of_tensor.coef_, of_array.coef_)
    np.testing.assert_array_equal(
        of_tensor.decision_function(acts_ND.numpy()), of_array.decision_function(acts_ND)
    )


def test_it_searches_clones_and_scores() -> None:
    acts_ND, labels = linear(120, 6, 3.0)
    search = GridSearchCV(LogisticProbe(), {"C": [1e-3, 1.0]}, scoring="roc_auc").fit(
        acts_ND.numpy(), labels
    )
    assert search.best_score_ > 0.9
    assert clone(LogisticProbe(C=0.2, max_iter=9)).get_params() == {
        "C": 0.2,
        "max_iter": 9,
        "tol": 1e-5,
    }
    pipeline = make_pipeline(StandardScaler(), LogisticProbe())
    assert cross_val_score(pipeline, acts_ND.numpy(), labels).mean() > 0.85


def test_rows_of_weight_zero_are_left_out() -> None:
    acts_ND, labels = linear(80, 6, 1.0)
    weight_N = np.arange(80) % 3 != 0
    np.testing.assert_array_equal(
        LogisticProbe().fit(acts_ND, labels, sample_weight=weight_N.astype(float)).coef_,
        LogisticProbe().fit(acts_ND[torch.tensor(weight_N)], labels[weight_N]).coef_,
    )


def test_stopping_early_warns_and_says_so() -> None:
    acts_ND, labels = linear(80, 60, 1.0)
    with pytest.warns(ConvergenceWarning, match="before its tolerance"):
        probe = LogisticProbe(C=100.0, max_iter=1).fit(acts_ND, labels)
    assert not probe.certificate_.certified


def test_bad_tensors_are_refused() -> None:
    acts_ND, labels = linear(20, 4, 1.0)
    broken_ND = acts_ND.clone()
    broken_ND[3, 1] = float("nan")
    with pytest.raises(InputError, match="NaN or Inf in row 3"):
        LogisticProbe().fit(broken_ND, labels)
    with pytest.raises(InputError, match=r"shape \(20,\); expected"):
        LogisticProbe().fit(acts_ND[:, 0], labels)
    with pytest.raises(InputError, match="3 columns for a probe of 4"):
        LogisticProbe().fit(acts_ND, labels).predict(acts_ND[:, :3])
    with pytest.raises(InputError, match=r"-1.0 in row 2"):
        LogisticProbe().fit(acts_ND, labels, np.where(np.arange(20) == 2, -1.0, 1.0))
