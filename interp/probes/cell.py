"""One cell of the probe table: a layer and a position, with every control beside the estimate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.probes.controls import shuffled_null
from interp.probes.folds import grouped_folds
from interp.probes.linear import Kind, out_of_fold_scores
from interp.stats import auroc, bootstrap


def probe_cell(
    acts_ND: Float[Tensor, "n d"],
    labels: Sequence[bool] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    *,
    n_splits: int,
    n_shuffles: int,
    seed: int,
    mlp: bool,
    n_boot: int = 1000,
) -> list[dict[str, object]]:
    """AUROC of the probes on held-out entities, and of the linear one on shuffled labels.

    Folds and shuffles depend on labels, groups and seed alone, so all cells of one prompt set
    share them.

    Args:
        acts_ND: activations of one site at one position.
        labels: class of each row, one class a group.
        groups: entity of each row.
        n_splits: folds.
        n_shuffles: shuffles of the null.
        seed: of folds, shuffles and bootstrap.
        mlp: whether to fit the MLP too.
        n_boot: resamples of the entities.

    Returns:
        Rows probe, estimate, lo, hi: "linear" and "mlp" with a 95% interval over entities,
        "shuffled" with the null's mean and its 2.5% and 97.5% quantiles.

    Raises:
        InputError: as `grouped_folds`, `out_of_fold_scores` and `shuffled_null`.
    """
    label_N, group_N = np.asarray(labels, dtype=bool), np.asarray(groups)
    folds = grouped_folds(group_N, label_N, n_splits, seed)
    kinds: tuple[Kind, ...] = ("linear", "mlp") if mlp else ("linear",)
    rows: list[dict[str, object]] = []
    for kind in kinds:
        scores_N = out_of_fold_scores(acts_ND, label_N, folds, kind=kind)
        value = bootstrap(
            partial(auroc_of, scores_N, label_N), group_N, n_boot=n_boot, seed=seed, strata=label_N
        )
        rows.append({"probe": kind, "estimate": value.estimate, "lo": value.lo, "hi": value.hi})
    null_P = shuffled_null(acts_ND, label_N, group_N, folds, n_shuffles, seed)
    lo, hi = np.quantile(null_P, [0.025, 0.975])
    shuffled = {"estimate": float(null_P.mean()), "lo": float(lo), "hi": float(hi)}
    return [*rows, {"probe": "shuffled", **shuffled}]


def auroc_of(scores_N: np.ndarray, label_N: np.ndarray, index_M: np.ndarray) -> float:
    """AUROC of the chosen rows, as a bootstrap asks for it."""
    return auroc(scores_N[index_M], label_N[index_M])
