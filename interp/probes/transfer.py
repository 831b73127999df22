"""Does the parent's probe still read the child? Zero-shot transfer and what is retained of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.probes.folds import Fold, check_folds
from interp.probes.linear import DEFAULT_C, as_matrix, check_acts
from interp.probes.solver import solve
from interp.stats import HierarchicalInterval, auroc, hierarchical_bootstrap, weighted_auroc


def transfer_scores(
    parent_acts_ND: Float[Tensor, "n d"],
    child_acts_ND: Float[Tensor, "child_n child_d"],
    labels: Sequence[bool] | np.ndarray,
    folds: Sequence[Fold],
    *,
    c: float = DEFAULT_C,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the parent's probe on held-out rows, in the parent and unchanged in the child.

    Each fold's probe, and its standardisation, come from the parent's activations of the fitted
    rows; the child's activations are only read.

    Args:
        parent_acts_ND: the parent's activations.
        child_acts_ND: the child's, of the same rows at the same site and position.
        labels: class of each row.
        folds: from `grouped_folds`.
        c: inverse strength of the probe's penalty.

    Returns:
        The parent's and the child's log odds, shape (n,) each.

    Raises:
        InputError: the two do not have one shape, or as `out_of_fold_scores`.
    """
    if parent_acts_ND.shape != child_acts_ND.shape:
        raise InputError(
            f"transfer: activations of shape {tuple(parent_acts_ND.shape)} in the parent and "
            f"{tuple(child_acts_ND.shape)} in the child; expected the same rows and width."
        )
    label_N = np.asarray(labels, dtype=bool)
    check_acts(parent_acts_ND, label_N)
    check_folds(folds, label_N)
    solution = solve({"parent": parent_acts_ND}, label_N, folds, (c,))
    read: list[np.ndarray] = []
    for acts in (as_matrix(parent_acts_ND, label_N), as_matrix(child_acts_ND, label_N)):
        scores_N = np.empty(len(label_N))
        for fold, (_, held_out) in enumerate(folds):
            coef_D, intercept = solution.coef[0, fold, 0], solution.intercept[0, fold, 0]
            scores_N[held_out] = acts[held_out] @ coef_D + intercept
        read.append(scores_N)
    return read[0], read[1]


def rho(
    parent_scores_N: np.ndarray,
    child_scores_N: np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    *,
    controls: Mapping[str, np.ndarray] | None = None,
    seed: int,
    n_boot: int = 1000,
) -> HierarchicalInterval:
    """Retention: (AUROC in the child - control) / (AUROC in the parent - control).

    1 if the parent's probe reads the child as well as the parent, 0 if it reads what the control
    reads. All three AUROCs come from the same rows and are resampled together.

    Args:
        parent_scores_N: the parent's scores, from `transfer_scores`.
        child_scores_N: the child's.
        labels: class of each row.
        levels: as `interp.stats.hierarchical_bootstrap`, e.g. {"entity": ...}.
        controls: held-out scores, one for each row, of what a probe must beat (surface features,
            a random model, shuffled labels), by name. The one with the highest AUROC is the
            control; a half is, where none is higher or none is given.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Estimate and 95% interval; all three NaN if the parent's own AUROC is not above the control
        by its interval, so that there is nothing to retain.

    Raises:
        InputError: scores and labels not of one length, or as
            `interp.stats.hierarchical_bootstrap`.
    """
    label_N = np.asarray(labels, dtype=bool)
    controls = {} if controls is None else dict(controls)
    given = {"parent scores": parent_scores_N, "child scores": child_scores_N, **controls}
    for name, scores_N in given.items():
        if len(scores_N) != len(label_N):
            raise InputError(
                f"rho: {name} have {len(scores_N)} rows, labels {len(label_N)}; expected the same "
                "rows in all."
            )
    best = max(controls.values(), key=lambda scores_N: auroc(scores_N, label_N), default=None)
    if best is not None and auroc(best, label_N) <= 0.5:
        best = None
    of_parent, of_child = (
        weighted_auroc(scores_N, label_N) for scores_N in (parent_scores_N, child_scores_N)
    )
    of_control = (lambda w: np.full(len(w), 0.5)) if best is None else weighted_auroc(best, label_N)

    def above(w: np.ndarray) -> np.ndarray:
        return of_parent(w) - of_control(w)

    resample = partial(
        hierarchical_bootstrap, levels=levels, n_boot=n_boot, seed=seed, strata=label_N
    )
    parents = resample(above)
    if not parents.lo > 0:
        return replace(parents, estimate=float("nan"), lo=float("nan"), hi=float("nan"))
    return resample(lambda w: (of_child(w) - of_control(w)) / above(w))
