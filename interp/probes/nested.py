"""Held-out scores whose penalty, and cell, were chosen inside the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from interp.probes.engine.problems import Cell
from interp.probes.folds import Fold, check_apart, grouped_folds
from interp.probes.solver import Solution, solve
from interp.stats import auroc_columns

CS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties that the inner folds choose from, on standardised activations."""


@dataclass(frozen=True, eq=False)
class Nested(Generic[Cell]):
    """Held-out scores whose penalty, and for the last one cell too, inner folds chose.

    Attributes:
        cells: K cells, in the order of the scores.
        scores_KN: of every row in each cell, by the fit that held the row out: its rank among the
            rows held out with it, from 0 to 1, since fits have scales of their own.
        c_KF: the inverse penalty that each outer fold's inner folds chose.
        best_N: the same in the cell that the row's outer fold's inner folds chose.
        chosen_F: that cell, for each outer fold.
        certified_K: share of each cell's fits that are certified as converged.
    """

    cells: tuple[Cell, ...]
    scores_KN: np.ndarray
    c_KF: np.ndarray
    best_N: np.ndarray
    chosen_F: tuple[Cell, ...]
    certified_K: np.ndarray


def nested_scores(
    acts: Mapping[Cell, Float[Tensor, "n d"]],
    labels: Sequence[bool] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    folds: Sequence[Fold],
    *,
    cs: Sequence[float] = CS,
    n_inner: int = 4,
    seed: int,
) -> Nested[Cell]:
    """Fits every cell, fold and penalty in one solve, and lets inner folds choose.

    What chooses never sees the rows that are scored: the fitted rows of each outer fold are split
    again, whole groups together, and the penalty (or cell and penalty) of the highest mean AUROC
    over the inner folds is the one whose outer fit scores the held-out rows.

    Args:
        acts: cell -> activations, the same rows in all.
        labels: class of each row.
        groups: what must stay on one side.
        folds: outer folds, from `grouped_folds`.
        cs: inverse penalties to choose from.
        n_inner: inner folds of each outer fold.
        seed: of the inner folds.

    Raises:
        InputError: a group on both sides of a fold, or as `grouped_folds` and `solve`.
    """
    label_N, group_N = np.asarray(labels, dtype=bool), np.asarray(groups)
    check_apart(folds, group_N)
    inner = [_within(fitted, label_N, group_N, n_inner, seed) for fitted, _ in folds]
    together = [*folds, *(fold for of_one in inner for fold in of_one)]
    solution = solve(acts, label_N, together, cs)
    n_outer = len(folds)
    inner_KFP = np.stack(
        [
            np.mean(
                [
                    _aurocs(solution, n_outer + number * n_inner + place, label_N)
                    for place in range(n_inner)
                ],
                axis=0,
            )
            for number in range(n_outer)
        ],
        axis=1,
    )
    choice_KF = inner_KFP.argmax(2)
    scores_KN = np.empty((len(solution.cells), len(label_N)))
    best_N = np.empty(len(label_N))
    chosen = []
    for number, (_, held_out) in enumerate(folds):
        decisions_KPM = solution.held_out[number]
        for cell, penalty in enumerate(choice_KF[:, number]):
            scores_KN[cell, held_out] = ranks(decisions_KPM[cell, penalty])
        best = int(inner_KFP[:, number].max(1).argmax())
        best_N[held_out] = scores_KN[best, held_out]
        chosen.append(solution.cells[best])
    return Nested(
        solution.cells,
        scores_KN,
        np.asarray(solution.cs)[choice_KF],
        best_N,
        tuple(chosen),
        solution.certificates.certified.mean((1, 2)),
    )


def _within(
    fitted: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, n_inner: int, seed: int
) -> list[Fold]:
    """Folds of an outer fold's fitted rows."""
    inside = grouped_folds(group_N[fitted], label_N[fitted], n_inner, seed)
    return [(fitted[fit], fitted[held_out]) for fit, held_out in inside]


def ranks(scores_M: np.ndarray) -> np.ndarray:
    """Scores of one fold as ranks from 0 to 1: fits have scales of their own."""
    return rankdata(scores_M) / len(scores_M)


def _aurocs(solution: Solution[Cell], fold: int, label_N: np.ndarray) -> np.ndarray:
    """AUROC on a fold's held-out rows, [K, P]."""
    held_out = solution.folds[fold][1]
    decisions_KPM = solution.held_out[fold]
    flat_QM = decisions_KPM.reshape(-1, decisions_KPM.shape[-1])
    return auroc_columns(flat_QM.T, label_N[held_out]).reshape(decisions_KPM.shape[:2])
