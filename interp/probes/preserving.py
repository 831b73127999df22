"""Preserved means shown to be as good, not failed to be shown worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from interp.errors import InputError
from interp.stats import HierarchicalInterval, hierarchical_bootstrap, tost, weighted_auroc

MARGIN = 0.05
"""The largest loss or gain of AUROC that does not matter."""


@dataclass(frozen=True)
class Preservation:
    """What became of a read-out.

    Attributes:
        difference: AUROC in the child minus AUROC in the parent, with its 90% interval.
        preserved: whether that interval lies within the margin.
    """

    difference: HierarchicalInterval
    preserved: bool


def preservation(
    parent_scores_N: np.ndarray,
    child_scores_N: np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    *,
    margin: float = MARGIN,
    seed: int,
    n_boot: int = 5000,
) -> Preservation:
    """Tests whether two AUROCs on the same rows are equivalent: two one-sided tests at 5%.

    Rows are resampled for both models together, so what makes a prompt hard for both cancels.

    Args:
        parent_scores_N: the parent's held-out scores.
        child_scores_N: the child's, of the same rows.
        labels: class of each row.
        levels: as `interp.stats.hierarchical_bootstrap`, e.g. {"dataset": ..., "pair": ...}.
        margin: largest difference of AUROC that does not matter.
        seed: of the resampling.
        n_boot: resamples.

    Raises:
        InputError: scores and labels not of one length, or as `interp.stats.auroc`,
            `interp.stats.hierarchical_bootstrap` and `interp.stats.tost`.
    """
    label_N = np.asarray(labels, dtype=bool)
    sizes = [len(parent_scores_N), len(child_scores_N), len(label_N)]
    if len(set(sizes)) != 1:
        raise InputError(
            f"preservation: parent scores, child scores and labels have {sizes} rows; expected the "
            "same rows in all three."
        )
    of_parent = weighted_auroc(parent_scores_N, label_N)
    of_child = weighted_auroc(child_scores_N, label_N)

    def difference(weights_BN: np.ndarray) -> np.ndarray:
        return of_child(weights_BN) - of_parent(weights_BN)

    interval = hierarchical_bootstrap(
        difference, levels, n_boot=n_boot, seed=seed, level=0.9, strata=label_N
    )
    return Preservation(interval, tost(interval, margin))
