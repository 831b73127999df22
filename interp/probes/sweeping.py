"""All cells (layers, positions, sites) of one target, with every control beside every estimate."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.probes.control_task import control_tasks, selectivity
from interp.probes.engine.problems import Cell
from interp.probes.familywise import strongest_reader
from interp.probes.folds import Fold, grouped_folds, leave_one_out_folds
from interp.probes.linear import out_of_fold_scores
from interp.probes.nested import CS, Nested, nested_scores, ranks
from interp.probes.solver import solve
from interp.stats import Interval, auroc, hierarchical_bootstrap, weighted_auroc

Levels = Mapping[str, Sequence[object] | np.ndarray]
"""Nested units of each row, by name, from the top: scenario, dataset, pair."""


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep folds, shuffles and resamples.

    Attributes:
        seed: of folds, shuffles, deals and resamples.
        hold_out: a level whose units are held out whole, one a fold ("scenario": leave one
            scenario out); None makes folds of units of the last level.
        n_splits: outer folds, where `hold_out` does not say.
        n_shuffles: label shuffles of the null over all cells.
        n_control_tasks: deals of random labels to types.
        n_boot: resamples of each interval.
        cs: inverse penalties to choose from, inside the folds.
        mlp: whether to fit a nonlinear read-out beside each linear one.
    """

    seed: int
    hold_out: str | None = None
    n_splits: int = 5
    n_shuffles: int = 200
    n_control_tasks: int = 5
    n_boot: int = 2000
    cs: tuple[float, ...] = CS
    mlp: bool = False


@dataclass(frozen=True, eq=False)
class Baseline(Generic[Cell]):
    """Other features of the same rows, probed just like the cells that must beat them.

    Attributes:
        acts: features by key, all of one width.
        key: of the features that belong to a cell; a key that `acts` lacks gives that cell none.
    """

    acts: Mapping[Hashable, Float[Tensor, "n d"]]
    key: Callable[[Cell], Hashable]


def sweep(
    acts: Mapping[Cell, Float[Tensor, "n d"]],
    labels: Sequence[bool] | np.ndarray,
    levels: Levels,
    settings: SweepSettings,
    *,
    types: Mapping[Cell, np.ndarray] | None = None,
    baselines: Mapping[str, Baseline[Cell]] | None = None,
) -> pd.DataFrame:
    """One row a cell, and one for the cell that was chosen inside the folds.

    Args:
        acts: cell -> activations, the same rows in all; read one cell at a time.
        labels: class of each row.
        levels: nested units from the top, such as scenario, dataset and pair; rows of one unit of
            the last level stay in one fold.
        settings: folds, shuffles, resamples.
        types: cell -> type of each row for its control task (the token at the position); a cell
            left out has none.
        baselines: by name, what a probe has to beat: surface features, an untrained model.

    Returns:
        Columns `cell` ("selected" in the last row), `auroc` with `lo` and `hi` (hierarchical
        bootstrap), `ridge` (AUROC of the best ridge probe) with `null_lo` and `null_hi` (95% of
        the same on shuffled labels) and `p_adjusted` (maximum over all cells), `control` (AUROC on
        the control tasks) and `selectivity` with `selectivity_lo` and `selectivity_hi` (NaN without
        a control task), the same three for `mlp` and each baseline (NaN where there is none), `c`
        (median of those chosen), `certified` (share of the fits), `n`, `n_true`.

    Raises:
        InputError: as `grouped_folds`, `leave_one_out_folds`, `solve`, `control_tasks` and
            `hierarchical_bootstrap`.
    """
    at = _Sweep.of(np.asarray(labels, dtype=bool), levels, settings)
    beside = {name: at.baseline(name, one) for name, one in (baselines or {}).items()}
    nested, null = at.nested(acts), at.null(acts)
    rows: list[dict[str, object]] = []
    for number, cell in enumerate(nested.cells):
        value, p = null[cell]
        row = {"cell": cell, **at.interval(nested.scores_KN[number], "auroc", "lo", "hi")}
        row |= {"ridge": value.estimate, "null_lo": value.lo, "null_hi": value.hi}
        row |= {"p_adjusted": p}
        if types is not None and cell in types:
            row |= at.selectivity(acts[cell], nested, number, types[cell])
        if settings.mlp:
            row |= at.mlp(acts[cell])
        for of_cell in beside.values():
            row |= of_cell(cell)
        row |= {"c": float(np.median(nested.c_KF[number]))}
        rows.append(row | {"certified": float(nested.certified_K[number])})
    selected = {"cell": "selected", **at.interval(nested.best_N, "auroc", "lo", "hi")}
    selected |= {"p_adjusted": min(p for _, p in null.values())}
    rows.append(selected | {"certified": float(nested.certified_K.mean())})
    table = pd.DataFrame(rows).assign(n=len(at.label_N), n_true=int(at.label_N.sum()))
    beside_estimate = ["control", *_three("selectivity"), *_three("mlp")]
    beside_estimate += [column for name in beside for column in _three(name)]
    return table.assign(**{name: np.nan for name in beside_estimate if name not in table})


@dataclass(frozen=True, eq=False)
class _Sweep:
    """What all cells of a sweep share."""

    label_N: np.ndarray
    group_N: np.ndarray
    folds: list[Fold]
    levels: Levels
    settings: SweepSettings

    @classmethod
    def of(cls, label_N: np.ndarray, levels: Levels, settings: SweepSettings) -> _Sweep:
        """Makes the outer folds."""
        if not levels:
            raise InputError("sweep: no levels; give at least the unit that folds keep together")
        group_N = np.asarray(list(levels.values())[-1])
        if settings.hold_out is None:
            folds = grouped_folds(group_N, label_N, settings.n_splits, settings.seed)
        elif settings.hold_out in levels:
            folds = leave_one_out_folds(levels[settings.hold_out], label_N, group_N)
        else:
            raise InputError(
                f"sweep: no level '{settings.hold_out}' to hold out; the levels are "
                f"{', '.join(levels)}"
            )
        return cls(label_N, group_N, folds, levels, settings)

    def nested(self, acts: Mapping[Cell, Tensor]) -> Nested[Cell]:
        """Held-out scores of every cell."""
        return nested_scores(
            acts,
            self.label_N,
            self.group_N,
            self.folds,
            cs=self.settings.cs,
            seed=self.settings.seed,
        )

    def null(self, acts: Mapping[Cell, Tensor]) -> dict[Cell, tuple[Interval, float]]:
        """The strongest ridge probe of each cell, among shuffled labels."""
        return strongest_reader(
            acts,
            self.label_N,
            self.group_N,
            self.folds,
            n_shuffles=self.settings.n_shuffles,
            seed=self.settings.seed,
        )

    def interval(self, scores_N: np.ndarray, *names: str) -> dict[str, float]:
        """AUROC of held-out scores and its limits, under three names."""
        value = hierarchical_bootstrap(
            weighted_auroc(scores_N, self.label_N),
            self.levels,
            n_boot=self.settings.n_boot,
            seed=self.settings.seed,
            strata=self.label_N,
        )
        return dict(zip(names, (value.estimate, value.lo, value.hi), strict=True))

    def mlp(self, acts_ND: Tensor) -> dict[str, float]:
        """The nonlinear read-out of a cell."""
        scores_N = out_of_fold_scores(acts_ND, self.label_N, self.folds, kind="mlp")
        return self.interval(scores_N, *_three("mlp"))

    def baseline(self, name: str, baseline: Baseline[Cell]) -> Callable[[Cell], dict[str, float]]:
        """The columns of a baseline, for each cell."""
        nested = self.nested(baseline.acts)
        by_key = {
            key: self.interval(scores_N, *_three(name))
            for key, scores_N in zip(nested.cells, nested.scores_KN, strict=True)
        }
        return lambda cell: by_key.get(baseline.key(cell), {})

    def selectivity(
        self, acts_ND: Tensor, nested: Nested[Cell], cell: int, type_N: np.ndarray
    ) -> dict[str, float]:
        """AUROC on control tasks, fitted at the penalties that the task's folds chose."""
        settings = self.settings
        deals = control_tasks(
            type_N, self.label_N, self.folds, n_tasks=settings.n_control_tasks, seed=settings.seed
        )
        control_NK = np.empty(deals.label_NK.shape)
        for task, dealt_N in enumerate(deals.label_NK.T):
            solution = solve({"control": acts_ND}, dealt_N, self.folds, settings.cs)
            for number, (_, held_out) in enumerate(self.folds):
                penalty = solution.cs.index(nested.c_KF[cell, number])
                control_NK[held_out, task] = ranks(solution.held_out[number][0, penalty])
        scores_N = nested.scores_KN[cell]
        value = selectivity(
            scores_N,
            self.label_N,
            control_NK,
            deals,
            self.levels,
            seed=settings.seed,
            n_boot=settings.n_boot,
        )
        limits = dict(zip(_three("selectivity"), (value.estimate, value.lo, value.hi), strict=True))
        return {"control": auroc(scores_N, self.label_N) - value.estimate, **limits}


def _three(name: str) -> list[str]:
    return [name, f"{name}_lo", f"{name}_hi"]
