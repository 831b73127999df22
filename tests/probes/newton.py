"""Logistic regression the slow, sure way: damped Newton with the whole Hessian, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class Exact:
    """Weights on the activations as they were given."""

    coef_CD: np.ndarray
    intercept_C: np.ndarray

    def scores(self, acts_ND: np.ndarray) -> np.ndarray:
        return (acts_ND.astype(float) @ self.coef_CD.T + self.intercept_C).squeeze()


def fit_exactly(
    acts_ND: np.ndarray, class_N: np.ndarray, c: float, weight_N: np.ndarray | None = None
) -> Exact:
    """The optimum of scikit-learn's objective, columns standardised first, to rounding."""
    weight_N = np.ones(len(class_N)) if weight_N is None else np.asarray(weight_N, float)
    scaler = StandardScaler().fit(acts_ND.astype(float), sample_weight=weight_N)
    z_NE = np.column_stack([scaler.transform(acts_ND.astype(float)), np.ones(len(class_N))])
    penalty_E = np.append(np.full(z_NE.shape[1] - 1, 1 / c), 0.0)
    if class_N.max() == 1:
        theta_CE = _binary(z_NE, 2.0 * class_N - 1, penalty_E, weight_N)[None]
    else:
        theta_CE = _multinomial(z_NE, class_N, penalty_E, weight_N)
    coef_CD = theta_CE[:, :-1] / scaler.scale_
    return Exact(coef_CD, theta_CE[:, -1] - coef_CD @ scaler.mean_)


def _binary(z_NE, sign_N, penalty_E, weight_N):
    def value(theta_E):
        return weight_N @ np.logaddexp(0, -sign_N * (z_NE @ theta_E)) + penalty_E @ theta_E**2 / 2

    theta_E = np.zeros(z_NE.shape[1])
    for _ in range(200):
        wrong_N = 1 / (1 + np.exp(np.clip(sign_N * (z_NE @ theta_E), -500, 500)))
        slope_E = z_NE.T @ (-weight_N * sign_N * wrong_N) + penalty_E * theta_E
        curve_N = weight_N * wrong_N * (1 - wrong_N)
        hessian_EE = (z_NE.T * curve_N) @ z_NE + np.diag(penalty_E)
        theta_E, done = _step(value, theta_E, slope_E, hessian_EE)
        if done:
            return theta_E
    raise AssertionError("Newton's method did not converge")


def _multinomial(z_NE, class_N, penalty_E, weight_N):
    n_classes, width = class_N.max() + 1, z_NE.shape[1]
    own_NC = np.eye(n_classes)[class_N]
    ridge = np.tile(penalty_E, n_classes)
    # The biases' common shift is free: a term on their sum pins it to 0 and changes nothing else.
    free = np.tile(np.append(np.zeros(width - 1), 1.0), n_classes)

    def log_prob(theta):
        score_NC = z_NE @ theta.reshape(n_classes, width).T
        score_NC = score_NC - score_NC.max(1, keepdims=True)
        return score_NC - np.log(np.exp(score_NC).sum(1, keepdims=True))

    def value(theta):
        likelihood = (weight_N * (log_prob(theta) * own_NC).sum(1)).sum()
        return -likelihood + ridge @ theta**2 / 2 + (free @ theta) ** 2 / 2

    theta = np.zeros(n_classes * width)
    for _ in range(200):
        prob_NC = np.exp(log_prob(theta))
        slope_CE = (weight_N[:, None] * (prob_NC - own_NC)).T @ z_NE
        slope = slope_CE.ravel() + ridge * theta + free * (free @ theta)
        hessian = np.diag(ridge) + np.outer(free, free)
        for a in range(n_classes):
            for b in range(n_classes):
                block_N = weight_N * prob_NC[:, a] * ((a == b) - prob_NC[:, b])
                rows, columns = (slice(k * width, (k + 1) * width) for k in (a, b))
                hessian[rows, columns] += (z_NE.T * block_N) @ z_NE
        theta, done = _step(value, theta, slope, hessian)
        if done:
            return theta.reshape(n_classes, width)
    raise AssertionError("Newton's method did not converge")


def _step(value, theta, slope, hessian):
    """One Newton step, halved until it goes down; done when it cannot, or is tiny."""
    step = -np.linalg.solve(hessian, slope)
    length, before = 1.0, value(theta)
    while value(theta + length * step) > before + 1e-4 * length * (slope @ step):
        length /= 2
        if length < 1e-8:
            return theta, True
    return theta + length * step, bool(
        np.abs(length * step).max() < 1e-11 * (1 + np.abs(theta).max())
    )
