"""A task that only memory can solve: labels dealt to types at random (Hewitt & Liang)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from interp.errors import InputError
from interp.probes.folds import Fold, check_folds
from interp.prompts import Encoded
from interp.stats import HierarchicalInterval, hierarchical_bootstrap, weighted_auroc


@dataclass(frozen=True, eq=False)
class ControlTasks:
    """Several deals of random labels to types.

    Attributes:
        label_NK: bool, one control task a column; a type has one label in all its rows.
        learnable_N: rows whose type is among the rows that their fold fits on. Only there can a
            probe know the label, so only there is it scored.
    """

    label_NK: np.ndarray
    learnable_N: np.ndarray


def control_tasks(
    types: Sequence[object] | np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    folds: Sequence[Fold],
    *,
    n_tasks: int,
    seed: int,
) -> ControlTasks:
    """Labels given to types at random, the same for a type in fitted and held-out rows.

    Source: Hewitt & Liang 2019 (arXiv 1909.03368), where a type is a word and its label says
    nothing about context, so that a probe gets it right only by remembering the type. Two things
    differ. Types are dealt in random order until as many rows are True as in `labels`, instead of
    each being drawn by itself: the task keeps the classes' balance. And rows whose type no fitted
    row has are left out of the score, instead of lowering it.

    A type must recur in rows of different groups: the token at the position, a part of a name. The
    entity itself will not do where folds hold entities out. No held-out label could then be known,
    and the control would be the shuffled-label null under another name; that is refused. Few types
    make an easy task: a token that is the same in every prompt makes none at all.

    Args:
        types: of each row.
        labels: of the task, one a row; only their balance is used.
        folds: from `grouped_folds`, the same as for the task.
        n_tasks: number of deals.
        seed: of the deals; task k depends on `seed`, k, the types, labels and folds alone.

    Raises:
        InputError: lengths that differ, `n_tasks` below 1, fewer than two types, no type on both
            sides of a fold, or a deal that leaves one class in the rows that can be scored.
    """
    label_N = np.asarray(labels, dtype=bool)
    check_folds(folds, label_N)
    if len(types) != len(label_N):
        raise InputError(
            f"control task: {len(types)} types for {len(label_N)} labels; expected one a row."
        )
    if n_tasks < 1:
        raise InputError(f"control task: n_tasks is {n_tasks}; expected at least 1.")
    names, type_N = np.unique(np.asarray(types), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"control task: every row is of the type {names[0]!r}; give types that differ between "
            "rows, such as the last token of the entity."
        )
    learnable_N = _seen_in_fit(type_N, folds)
    if not learnable_N.any():
        raise InputError(
            "control task: no type is on both sides of a fold, so no held-out label can be known; "
            "give types that recur across the groups that folds keep together."
        )
    label_NK = np.column_stack(
        [
            _deal(type_N, int(label_N.sum()), np.random.default_rng([seed, task]))
            for task in range(n_tasks)
        ]
    )
    scored_NK = label_NK[learnable_N]
    one_class_K = scored_NK.all(0) | ~scored_NK.any(0)
    if one_class_K.any():
        raise InputError(
            f"control task: deal {int(one_class_K.argmax())} gives one label to all of the "
            f"{len(scored_NK)} rows whose type recurs; {len(names)} types are too few or too "
            "unequal, so choose finer ones."
        )
    return ControlTasks(label_NK, learnable_N)


def token_types(encoded: Encoded, spans_N2: Int[Tensor, "n 2"]) -> np.ndarray:
    """The id of the last token of each span, for `control_tasks`.

    Args:
        encoded: the prompts.
        spans_N2: [start, stop) tokens from the start of each prompt, as `interp.prompts.resolve`
            gives them.

    Raises:
        InputError: not one span a prompt.
    """
    if len(spans_N2) != len(encoded.input_ids_BT):
        raise InputError(
            f"token types: {len(spans_N2)} spans for {len(encoded.input_ids_BT)} prompts; expected "
            "one each."
        )
    column_N1 = encoded.columns(spans_N2[:, 1] - 1)[:, None]
    return encoded.input_ids_BT.gather(1, column_N1)[:, 0].numpy()


def selectivity(
    scores_N: np.ndarray,
    labels: Sequence[bool] | np.ndarray,
    control_scores_NK: np.ndarray,
    tasks: ControlTasks,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    *,
    seed: int,
    n_boot: int = 5000,
) -> HierarchicalInterval:
    """AUROC on the task minus mean AUROC on its control tasks (Hewitt & Liang 2019).

    Both come from the same probe, folds and rows, and are resampled together.

    Args:
        scores_N: held-out scores of the task.
        labels: of the task.
        control_scores_NK: held-out scores of each control task, fitted like the task.
        tasks: from `control_tasks`.
        levels: as `interp.stats.hierarchical_bootstrap`.
        seed: of the resampling.
        n_boot: resamples.

    Returns:
        Estimate and 95% interval; near 0 for a probe that only remembers.

    Raises:
        InputError: scores that do not fit the tasks, or as `interp.stats.auroc` and
            `interp.stats.hierarchical_bootstrap`.
    """
    label_N, control_NK = np.asarray(labels, dtype=bool), np.asarray(control_scores_NK)
    if control_NK.shape != tasks.label_NK.shape or len(scores_N) != len(control_NK):
        raise InputError(
            f"selectivity: {len(scores_N)} scores, control scores {control_NK.shape} and control "
            f"tasks {tasks.label_NK.shape}; expected [N], [N, K] and [N, K]."
        )
    seen_N = tasks.learnable_N
    on_task = weighted_auroc(scores_N, label_N)
    on_controls = [
        weighted_auroc(scores[seen_N], of[seen_N])
        for scores, of in zip(control_NK.T, tasks.label_NK.T, strict=True)
    ]

    def difference(weights_BN: np.ndarray) -> np.ndarray:
        seen_BM = weights_BN[:, seen_N]
        return on_task(weights_BN) - np.mean([control(seen_BM) for control in on_controls], axis=0)

    return hierarchical_bootstrap(difference, levels, strata=label_N, seed=seed, n_boot=n_boot)


def _seen_in_fit(type_N: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    seen_N = np.zeros(len(type_N), dtype=bool)
    for fitted, held_out in folds:
        seen_N[held_out] = np.isin(type_N[held_out], type_N[fitted])
    return seen_N


def _deal(type_N: np.ndarray, n_true: int, rng: np.random.Generator) -> np.ndarray:
    """True for types in random order, as long as that brings the True rows nearer to `n_true`."""
    size_T = np.bincount(type_N)
    true_T, n_rows = np.zeros(len(size_T), dtype=bool), 0
    for number in rng.permutation(len(size_T)):
        if abs(n_rows + size_T[number] - n_true) < abs(n_rows - n_true):
            true_T[number] = True
            n_rows += size_T[number]
    return true_T[type_N]
