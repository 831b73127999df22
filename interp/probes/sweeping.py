"""All cells (layers, positions, sites) of one target, with every control beside every estimate."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from interp.errors import InputError
from interp.probes.control_task import ControlTasks, control_tasks, selectivity
from interp.probes.familywise import strongest_reader
from interp.probes.folds import Fold, grouped_folds
from interp.probes.solver import Solution, solve
from interp.stats import auroc_columns, hierarchical_bootstrap, weighted_auroc

Cell = TypeVar("Cell", bound=Hashable)

CS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse penalties that the inner folds choose from, on standardised activations."""


@dataclass(frozen=True, eq=False)
class Nested(Generic[Cell]):
    """Held-out scores whose penalty, and for the last one cell too, inner folds chose.

    Attributes:
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
        InputError: as `grouped_folds` and `solve`.
    """
    label_N, group_N = np.asarray(labels, dtype=bool), np.asarray(groups)
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
            scores_KN[cell, held_out] = _ranks(decisions_KPM[cell, penalty])
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


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep folds, shuffles and resamples.

    Attributes:
        seed: of folds, shuffles, deals and resamples.
        n_splits: outer folds.
        n_shuffles: label shuffles of the null over all cells.
        n_control_tasks: deals of random labels to types.
        n_boot: resamples of each interval.
        cs: inverse penalties to choose from, inside the folds.
    """

    seed: int
    n_splits: int = 5
    n_shuffles: int = 200
    n_control_tasks: int = 5
    n_boot: int = 2000
    cs: tuple[float, ...] = CS


def sweep(
    acts: Mapping[Cell, Float[Tensor, "n d"]],
    labels: Sequence[bool] | np.ndarray,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    settings: SweepSettings,
    *,
    types: Mapping[Cell, np.ndarray] | None = None,
) -> pd.DataFrame:
    """One row a cell, and one for the cell that was chosen inside the folds.

    Args:
        acts: cell -> activations, the same rows in all.
        labels: class of each row.
        levels: nested units from the top, such as scenario, dataset and pair; rows of one unit of
            the last level stay in one fold.
        settings: folds, shuffles, resamples.
        types: cell -> type of each row for its control task (the token at the position); a cell
            left out has none.

    Returns:
        Columns `cell` ("selected" in the last row), `auroc` with `lo` and `hi` (hierarchical
        bootstrap), `null_lo` and `null_hi` (95% of the best ridge probe's AUROC on shuffled
        labels), `p_adjusted` (maximum over all cells), `selectivity` with `selectivity_lo` and
        `selectivity_hi` (NaN without a control task), `c` (median of those chosen), `certified`
        (share of the fits), `n`, `n_true`.

    Raises:
        InputError: as `grouped_folds`, `solve`, `control_tasks` and `hierarchical_bootstrap`.
    """
    label_N = np.asarray(labels, dtype=bool)
    if not levels:
        raise InputError("sweep: no levels; give at least the unit that folds keep together")
    group_N = np.asarray(list(levels.values())[-1])
    folds = grouped_folds(group_N, label_N, settings.n_splits, settings.seed)
    nested = nested_scores(acts, label_N, group_N, folds, cs=settings.cs, seed=settings.seed)
    null = strongest_reader(
        acts, label_N, group_N, folds, n_shuffles=settings.n_shuffles, seed=settings.seed
    )
    rows: list[dict[str, object]] = []
    for number, cell in enumerate(nested.cells):
        value, p = null[cell]
        row = {"cell": cell, **_interval(nested.scores_KN[number], label_N, levels, settings)}
        row |= {"null_lo": value.lo, "null_hi": value.hi, "p_adjusted": p}
        if types is not None and cell in types:
            deals = control_tasks(
                types[cell], label_N, folds, n_tasks=settings.n_control_tasks, seed=settings.seed
            )
            row |= _selectivity(acts[cell], nested, number, deals, label_N, levels, folds, settings)
        row |= {"c": float(np.median(nested.c_KF[number]))}
        rows.append(row | {"certified": float(nested.certified_K[number])})
    selected = {"cell": "selected", **_interval(nested.best_N, label_N, levels, settings)}
    selected |= {"p_adjusted": min(p for _, p in null.values())}
    rows.append(selected | {"certified": float(nested.certified_K.mean())})
    return pd.DataFrame(rows).assign(n=len(label_N), n_true=int(label_N.sum()))


def _within(
    fitted: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, n_inner: int, seed: int
) -> list[Fold]:
    """Folds of an outer fold's fitted rows."""
    inside = grouped_folds(group_N[fitted], label_N[fitted], n_inner, seed)
    return [(fitted[fit], fitted[held_out]) for fit, held_out in inside]


def _ranks(scores_M: np.ndarray) -> np.ndarray:
    return rankdata(scores_M) / len(scores_M)


def _aurocs(solution: Solution[Cell], fold: int, label_N: np.ndarray) -> np.ndarray:
    """AUROC on a fold's held-out rows, [K, P]."""
    held_out = solution.folds[fold][1]
    decisions_KPM = solution.held_out[fold]
    flat_QM = decisions_KPM.reshape(-1, decisions_KPM.shape[-1])
    return auroc_columns(flat_QM.T, label_N[held_out]).reshape(decisions_KPM.shape[:2])


def _interval(
    scores_N: np.ndarray,
    label_N: np.ndarray,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    settings: SweepSettings,
) -> dict[str, float]:
    value = hierarchical_bootstrap(
        weighted_auroc(scores_N, label_N),
        levels,
        n_boot=settings.n_boot,
        seed=settings.seed,
        strata=label_N,
    )
    return {"auroc": value.estimate, "lo": value.lo, "hi": value.hi}


def _selectivity(
    acts_ND: Tensor,
    nested: Nested[Cell],
    cell: int,
    deals: ControlTasks,
    label_N: np.ndarray,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    folds: Sequence[Fold],
    settings: SweepSettings,
) -> dict[str, float]:
    """AUROC above that on control tasks, fitted at the penalties that the task's folds chose."""
    control_NK = np.empty(deals.label_NK.shape)
    for task, dealt_N in enumerate(deals.label_NK.T):
        solution = solve({cell: acts_ND}, dealt_N, folds, settings.cs)
        for number, (_, held_out) in enumerate(folds):
            penalty = solution.cs.index(nested.c_KF[cell, number])
            control_NK[held_out, task] = _ranks(solution.held_out[number][0, penalty])
    value = selectivity(
        nested.scores_KN[cell],
        label_N,
        control_NK,
        deals,
        levels,
        seed=settings.seed,
        n_boot=settings.n_boot,
    )
    return {
        "selectivity": value.estimate,
        "selectivity_lo": value.lo,
        "selectivity_hi": value.hi,
    }
