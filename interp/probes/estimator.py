"""The batched solver behind scikit-learn's interface, one fit at a time."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)
from torch import Tensor

from interp.errors import InputError
from interp.probes.solver import MAX_ITER, TOLERANCE, solve


class LogisticProbe(ClassifierMixin, BaseEstimator):
    """L2-regularised logistic regression on standardised columns, multinomial for many classes.

    The same fit as `make_pipeline(StandardScaler(), LogisticRegression(C=C))`, brought to its
    optimum, with weights used in both steps. It clones, searches and stands in pipelines as any
    scikit-learn classifier. For many layers, folds or penalties `interp.probes.solve` does all in
    one go.

    Args:
        C: inverse strength of the penalty on the coefficients of standardised columns.
        tol: largest component of the gradient of the mean loss.
        max_iter: iterations at most, in each precision.

    Attributes:
        classes_: the distinct labels, sorted.
        coef_: on the columns as given, (1, d) for two classes, else (n_classes, d).
        intercept_: (1,) or (n_classes,).
        n_iter_: iterations taken.
        certificate_: `Certificates` of the fit, with scalar arrays.
        n_features_in_: d.
    """

    def __init__(self, C: float = 1.0, *, tol: float = TOLERANCE, max_iter: int = MAX_ITER):
        self.C = C
        self.tol = tol
        self.max_iter = max_iter

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
    ) -> LogisticProbe:
        """Fits on the rows of X; those of weight 0 are left out.

        Args:
            X: activations, (n, d): a tensor, worked on where it lies, or anything array-like.
            y: class of each row.
            sample_weight: of the rows, not negative; all 1 if None.

        Raises:
            ValueError: X or y that scikit-learn's own classifiers refuse, in its words.
            InputError: what `solve` refuses.
        """
        label_N = y.cpu().numpy() if isinstance(y, Tensor) else y
        acts_ND, label_N = self._checked(X, label_N)
        check_classification_targets(label_N)
        if sample_weight is not None:
            weight_N = _check_sample_weight(sample_weight, label_N, dtype=np.float64)
            there = np.flatnonzero(weight_N != 0)
            acts_ND = acts_ND[torch.as_tensor(there, device=acts_ND.device)]
            label_N, sample_weight = label_N[there], weight_N[there]
        every, none = np.arange(len(label_N)), np.arange(0)
        solution = solve(
            {"X": acts_ND},
            label_N,
            [(every, none)],
            [self.C],
            weights=sample_weight,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        self.classes_ = solution.classes
        self.coef_ = np.atleast_2d(solution.coef[0, 0, 0])
        self.intercept_ = np.atleast_1d(solution.intercept[0, 0, 0])
        self.certificate_ = solution.certificates.reshape()
        self.n_iter_ = int(self.certificate_.iterations)
        if not self.certificate_.certified:
            warnings.warn(
                f"LogisticProbe stopped after {self.n_iter_} iterations, before its tolerance; "
                "raise max_iter, or C is too large for classes this separable.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Log odds of the second class, (n,), or a score for each class, (n, n_classes)."""
        check_is_fitted(self)
        acts_ND, _ = self._checked(X)
        coef_CD = torch.as_tensor(self.coef_).to(acts_ND.device)
        score_NC = (acts_ND.double() @ coef_CD.mT).cpu().numpy() + self.intercept_
        return score_NC[:, 0] if len(self.classes_) == 2 else score_NC

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row."""
        score = self.decision_function(X)
        return self.classes_[(score > 0).astype(int) if score.ndim == 1 else score.argmax(1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class, (n, n_classes)."""
        score = self.decision_function(X)
        return np.stack([expit(-score), expit(score)], 1) if score.ndim == 1 else softmax(score, 1)

    def _checked(
        self,
        X: Any,
        labels: Any = None,
    ) -> tuple[Tensor, np.ndarray]:
        """As a tensor, with the labels; where there are labels the width is remembered."""
        fresh = labels is not None
        if not isinstance(X, Tensor):
            y = labels if fresh else "no_validation"
            checked = validate_data(self, X, y, reset=fresh, dtype=(np.float64, np.float32))
            array_ND, labels = checked if fresh else (checked, np.arange(0))
            return torch.as_tensor(np.array(array_ND)), labels
        if X.ndim != 2:
            raise InputError(f"activations: shape {tuple(X.shape)}; expected (n, d).")
        if fresh:
            self.n_features_in_ = X.shape[1]
        elif X.shape[1] != self.n_features_in_:
            raise InputError(
                f"activations: {X.shape[1]} columns for a probe of {self.n_features_in_}; read the "
                "site that it was fitted on."
            )
        return X.detach(), np.arange(0) if labels is None else column_or_1d(labels)
