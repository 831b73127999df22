"""Control tasks: what they keep, what memory alone reads from them, and the traps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.probes import grouped_folds, out_of_fold_scores
from interp.probes.control_task import ControlTasks, control_tasks, selectivity, token_types
from interp.prompts import Encoded
from interp.stats import auroc
from tests.probes.planted import tensor

N_ENTITIES, N_TYPES = 120, 12
ENTITIES = np.repeat(np.arange(N_ENTITIES), 2)
LABELS = (ENTITIES * 7) % 5 < 2
TYPES = ENTITIES % N_TYPES  # a type is shared by ten entities
FOLDS = grouped_folds(ENTITIES, LABELS, 5, 0)


def held_out(acts, tasks: ControlTasks) -> np.ndarray:
    return np.column_stack(
        [out_of_fold_scores(acts, of_N, FOLDS, c=10.0) for of_N in tasks.label_NK.T]
    )


@given(st.integers(0, 1000))
def test_a_type_has_one_label_wherever_it_stands_and_classes_stay_balanced(seed):
    tasks = control_tasks(TYPES, LABELS, FOLDS, n_tasks=4, seed=seed)
    for of_N in tasks.label_NK.T:
        assert all(len(set(of_N[name == TYPES])) == 1 for name in range(N_TYPES))
        # As near to the task's number of True rows as whole types of 20 rows come.
        assert abs(of_N.sum() - LABELS.sum()) <= 10
    assert tasks.learnable_N.all()
    again = control_tasks(TYPES, LABELS, FOLDS, n_tasks=6, seed=seed)
    np.testing.assert_array_equal(again.label_NK[:, :4], tasks.label_NK)


def test_deals_are_independent_of_each_other_and_of_the_labels():
    tasks = control_tasks(TYPES, LABELS, FOLDS, n_tasks=600, seed=0)
    by_type_TK = tasks.label_NK[: N_TYPES * 2 : 2]
    assert len({tuple(column) for column in by_type_TK.T}) > 400
    # Each type is True in a share of the deals that differs by chance alone: 4 of 12 or 5 of 12.
    share_T = by_type_TK.mean(1)
    assert np.abs(share_T - share_T.mean()).max() < 4 * np.sqrt(0.25 / 600)
    agreement = (tasks.label_NK == LABELS[:, None]).mean()
    shares = tasks.label_NK.mean() * LABELS.mean()
    expected = shares + (1 - tasks.label_NK.mean()) * (1 - LABELS.mean())
    assert agreement == pytest.approx(expected, abs=0.02)


def test_memory_of_types_solves_the_control_and_is_not_selective():
    """Activations that are the type and nothing else."""
    rng = np.random.default_rng(0)
    acts = tensor(rng.normal(size=(N_TYPES, 30))[TYPES] + 0.1 * rng.normal(size=(240, 30)))
    tasks = control_tasks(TYPES, LABELS, FOLDS, n_tasks=3, seed=0)
    scores_NK = held_out(acts, tasks)
    for scores_N, of_N in zip(scores_NK.T, tasks.label_NK.T, strict=True):
        assert auroc(scores_N, of_N) > 0.99
    task_N = out_of_fold_scores(acts, LABELS, FOLDS, c=10.0)
    found = selectivity(task_N, LABELS, scores_NK, tasks, {"entity": ENTITIES}, seed=0)
    assert found.hi < 0
    assert found.estimate == pytest.approx(auroc(task_N, LABELS) - 1, abs=0.01)


def test_a_probe_that_reads_the_concept_and_no_types_is_selective():
    rng = np.random.default_rng(1)
    acts = tensor(rng.normal(size=(240, 10)) + 1.5 * LABELS[:, None])
    tasks = control_tasks(TYPES, LABELS, FOLDS, n_tasks=5, seed=0)
    task_N, scores_NK = out_of_fold_scores(acts, LABELS, FOLDS, c=10.0), held_out(acts, tasks)
    found = selectivity(task_N, LABELS, scores_NK, tasks, {"entity": ENTITIES}, seed=0)
    control = np.mean([auroc(*pair) for pair in zip(scores_NK.T, tasks.label_NK.T, strict=True)])
    assert found.estimate == pytest.approx(auroc(task_N, LABELS) - control)
    assert found.lo > 0.2
    assert found.resampled == "entity"


def test_rows_whose_type_was_not_seen_are_not_scored():
    """Two types stand in one entity each; their folds never fit on them."""
    types = TYPES.copy()
    types[:2], types[2:4] = 100, 101
    tasks = control_tasks(types, LABELS, FOLDS, n_tasks=2, seed=0)
    assert tasks.learnable_N.tolist() == [False] * 4 + [True] * 236
    scores_NK = np.where(tasks.label_NK, 1.0, -1.0)
    scores_NK[:4] *= -1  # wrong where nothing could be known
    found = selectivity(
        LABELS.astype(float), LABELS, scores_NK, tasks, {"entity": ENTITIES}, seed=0, n_boot=50
    )
    assert (found.estimate, found.lo, found.hi) == pytest.approx((0, 0, 0))


def test_types_are_the_last_tokens_of_the_spans_not_of_the_padding():
    ids_BT = torch.tensor([[0, 0, 7, 8, 9], [3, 4, 5, 6, 7]])
    mask_BT = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    encoded = Encoded(ids_BT, mask_BT, (mask_BT.cumsum(-1) - 1).clamp(min=0), mask_BT.sum(-1))
    spans_N2 = torch.tensor([[0, 2], [4, 5]])
    assert token_types(encoded, spans_N2).tolist() == [8, 7]
    with pytest.raises(InputError, match="1 spans for 2 prompts"):
        token_types(encoded, spans_N2[:1])


def test_bad_input_is_refused():
    two_N = np.where(np.arange(240) < 238, 0, 1)  # the second type stands in one entity
    cases = [
        ((TYPES[:-1], LABELS, FOLDS), {}, "239 types for 240 labels"),
        ((TYPES, LABELS, FOLDS), {"n_tasks": 0}, "n_tasks is 0"),
        ((np.zeros(240), LABELS, FOLDS), {}, "every row is of the type"),
        ((ENTITIES, LABELS, FOLDS), {}, "no type is on both sides of a fold"),
        ((two_N, LABELS, FOLDS), {}, "deal 0 gives one label to all of the 238 rows"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(InputError, match=message):
            control_tasks(*arguments, **{"n_tasks": 1, "seed": 0, **options})
    tasks = control_tasks(TYPES, LABELS, FOLDS, n_tasks=2, seed=0)
    levels = {"entity": ENTITIES}
    with pytest.raises(InputError, match=r"control scores \(240, 1\)"):
        selectivity(np.zeros(240), LABELS, np.zeros((240, 1)), tasks, levels, seed=0)
    with pytest.raises(InputError, match="239 scores"):
        selectivity(np.zeros(239), LABELS, np.zeros((240, 2)), tasks, levels, seed=0)
