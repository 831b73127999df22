"""Probes scored on held-out entities: L2 logistic regression, and an MLP to compare it with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from interp.errors import InputError
from interp.probes.engine.problems import name_rows
from interp.probes.folds import Fold, check_folds
from interp.probes.solver import solve

Kind = Literal["linear", "mlp"]
Read = Callable[[np.ndarray], np.ndarray]
"""From standardised activations (n, d) to log odds (n,)."""

DEFAULT_C = 0.1
"""Inverse L2 strength on standardised activations, the same everywhere: nothing is tuned on the
rows that are reported."""
_MLP_SEEDS = (0, 1, 2)


def out_of_fold_scores(
    acts_ND: Float[Tensor, "n d"],
    labels: Sequence[bool] | np.ndarray,
    folds: Sequence[Fold],
    *,
    kind: Kind = "linear",
    c: float = DEFAULT_C,
) -> np.ndarray:
    """Log odds of the label, each row's from the probe of the fold that held the row out.

    Args:
        acts_ND: one activation a row; standardised by the mean and deviation of the fitted rows.
        labels: class of each row.
        folds: from `grouped_folds`.
        kind: "linear", L2-penalised logistic regression; "mlp", one hidden layer of 64 units,
            averaged over three initialisations.
        c: inverse strength of the linear probe's penalty.

    Returns:
        Shape (n,), float64, above 0 for True.

    Raises:
        InputError: rows, labels and folds that do not fit each other, or an activation that is
            not finite.
    """
    label_N = np.asarray(labels, dtype=bool)
    check_acts(acts_ND, label_N)
    check_folds(folds, label_N)
    if kind == "linear":
        return solve({"acts": acts_ND}, label_N, folds, (c,)).out_of_fold[0, 0]
    acts = as_matrix(acts_ND, label_N)
    scores_N = np.empty(len(label_N))
    for fitted, held_out in folds:
        scaler = StandardScaler().fit(acts[fitted])
        read = _fit_mlp(scaler.transform(acts[fitted]), label_N[fitted])
        scores_N[held_out] = read(scaler.transform(acts[held_out]))
    return scores_N


def _fit_mlp(acts: np.ndarray, label_N: np.ndarray) -> Read:
    """Networks of one fold, on standardised activations; their log odds are averaged."""
    acts = acts.astype(np.float32)
    with warnings.catch_warnings():
        # Stopping after a fixed number of iterations is part of this probe.
        warnings.simplefilter("ignore", ConvergenceWarning)
        models = [
            MLPClassifier((64,), solver="lbfgs", alpha=30.0, max_iter=60, random_state=seed).fit(
                acts, label_N
            )
            for seed in _MLP_SEEDS
        ]

    return partial(_mean_logit, models)


def _mean_logit(models: Sequence[MLPClassifier], acts: np.ndarray) -> np.ndarray:
    # From the layers themselves: `predict_log_proba` is -inf where a probability rounds to 0.
    logits = []
    for model in models:
        (into_DH, out_H1), (hidden_H, last_1) = model.coefs_, model.intercepts_
        logits.append((np.maximum(acts @ into_DH + hidden_H, 0) @ out_H1 + last_1)[:, 0])
    return np.mean(logits, axis=0)


def as_matrix(acts_ND: Float[Tensor, "n d"], label_N: np.ndarray) -> np.ndarray:
    """The activations as float64 on the CPU.

    Raises:
        InputError: as `check_acts`.
    """
    check_acts(acts_ND, label_N)
    return acts_ND.detach().cpu().double().numpy()


def check_acts(acts_ND: Float[Tensor, "n d"], label_N: np.ndarray) -> None:
    """Refuses activations that do not fit the labels.

    Raises:
        InputError: not one row a label, or a value that is not finite.
    """
    if len(acts_ND) != len(label_N):
        raise InputError(
            f"probe: activations of {len(acts_ND)} rows for {len(label_N)} labels; expected one "
            "row a label."
        )
    broken_N = ~acts_ND.isfinite().all(1)
    if bool(broken_N.any()):
        raise InputError(
            f"probe: NaN or Inf in the activations of {name_rows(broken_N.cpu().numpy())}; capture "
            "them again in a wider dtype."
        )
