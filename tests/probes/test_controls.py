from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.probes import (
    bag_of_tokens,
    grouped_folds,
    out_of_fold_scores,
    shuffled_null,
    strongest_reader,
)
from interp.probes.controls import shuffled_labels
from interp.probes.familywise import PENALTIES
from interp.prompts import Encoded
from interp.stats import auroc, max_t
from tests.probes.planted import linear, tensor

GROUPS = np.repeat([f"entity {n}" for n in range(40)], 3)
LABELS = np.repeat(np.arange(40) % 4 == 0, 3)
FOLDS = grouped_folds(GROUPS, LABELS, 5, 0)


def test_shuffled_labels_keep_entities_and_folds_as_they_are() -> None:
    label_NP = shuffled_labels(LABELS, GROUPS, FOLDS, 30, 0)
    assert len({tuple(column) for column in label_NP.T}) > 25
    for column in label_NP.T:
        assert all(len(set(column[group == GROUPS])) == 1 for group in np.unique(GROUPS))
        for _, held_out in FOLDS:
            assert column[held_out].sum() == LABELS[held_out].sum()


def test_shuffled_minimal_pairs_stay_pairs() -> None:
    """A null that tore pairs apart could be told from the truth by what a pair's rows share."""
    pairs = np.repeat(np.arange(40), 2)
    labels = np.tile([True, False], 40)
    labels[-8:] = [True, True, False, False, True, False, False, False]
    groups = np.where(np.arange(80) >= 72, 99, pairs)
    folds = grouped_folds(groups, labels, 4, 0)
    label_NP = shuffled_labels(labels, groups, folds, 200, 0)
    for column in label_NP.T:
        for _, held_out in folds:
            assert column[held_out].sum() == labels[held_out].sum()
        assert (column[:72].reshape(36, 2).sum(1) == 1).all()
        assert column[72:].sum() == labels[72:].sum()
    share_N = label_NP[:72].mean(1)
    assert share_N.min() > 0.35  # of 200 fair draws: 4.2 standard deviations
    assert share_N.max() < 0.65


def test_a_shuffles_labels_are_the_same_in_every_cell() -> None:
    """Two cells with the same content in another basis have the same null, draw by draw."""
    rng = np.random.default_rng(0)
    acts = rng.normal(size=(120, 6))
    here_P = shuffled_null(tensor(acts), LABELS, GROUPS, FOLDS, 12, 0)
    there_P = shuffled_null(tensor(acts[:, ::-1] * 7 + 1), LABELS, GROUPS, FOLDS, 12, 0)
    np.testing.assert_allclose(here_P, there_P, atol=0.01)
    assert here_P.std() > 0.03
    more_P = shuffled_null(tensor(acts), LABELS, GROUPS, FOLDS, 20, 0)
    np.testing.assert_array_equal(more_P[:12], here_P)
    other_P = shuffled_null(tensor(acts), LABELS, GROUPS, FOLDS, 12, 1)
    assert np.abs(other_P - here_P).max() > 0.03


def test_each_draw_is_the_probe_on_that_draws_labels() -> None:
    acts_ND = linear(120, 6, 0.0)[0]
    null_P = shuffled_null(acts_ND, LABELS, GROUPS, FOLDS, 3, 0)
    label_NP = shuffled_labels(LABELS, GROUPS, FOLDS, 3, 0)
    for observed, column in zip(null_P, label_NP.T, strict=True):
        assert observed == auroc(out_of_fold_scores(acts_ND, column, FOLDS), column)


def test_the_best_of_many_cells_is_tested_against_the_best_of_many() -> None:
    """One planted cell among noise is found; no noise cell is, though the best of them is high."""
    planted_ND, labels = linear(160, 8, 2.0)
    rng = np.random.default_rng(5)
    cells = [planted_ND, *(tensor(rng.normal(size=(160, 8))) for _ in range(5))]
    groups = np.arange(160)
    folds = grouped_folds(groups, labels, 5, 0)
    observed_K = np.array(
        [auroc(out_of_fold_scores(acts, labels, folds), labels) for acts in cells]
    )
    null_PK = np.column_stack([shuffled_null(acts, labels, groups, folds, 19, 0) for acts in cells])
    p_K = max_t(observed_K, null_PK)
    assert p_K[0] == pytest.approx(1 / 20)
    assert p_K[1:].min() > 0.1


def test_bag_of_tokens_counts_tokens_and_not_padding() -> None:
    rows = [[5, 5, 9], [9], [2, 5, 2, 2, 0]]
    ids_BT, mask_BT = torch.zeros(3, 5, dtype=torch.long), torch.zeros(3, 5, dtype=torch.long)
    for row, ids in enumerate(rows):
        ids_BT[row, 5 - len(ids) :] = torch.tensor(ids)
        mask_BT[row, 5 - len(ids) :] = 1
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    counts_NV = bag_of_tokens(Encoded(ids_BT, mask_BT, positions_BT, mask_BT.sum(-1)))
    vocabulary = sorted({token for ids in rows for token in ids})
    expected = [[Counter(ids)[token] for token in vocabulary] for ids in rows]
    assert counts_NV.tolist() == expected


def test_bad_input_is_refused() -> None:
    acts_ND = linear(120, 4, 1.0)[0]
    torn = grouped_folds(np.arange(120), LABELS, 5, 0)
    cases = [
        ((acts_ND, LABELS, GROUPS, FOLDS, 0, 0), "n_shuffles is 0"),
        ((acts_ND, LABELS, GROUPS[:-1], FOLDS, 2, 0), "119 groups for 120 labels"),
        ((acts_ND, LABELS, GROUPS, torn, 2, 0), "differ in their fold"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            shuffled_null(*arguments)


@pytest.mark.parametrize("shape", [(120, 8), (120, 300)])
def test_the_strongest_reader_is_the_best_ridge_probe_of_scikit_learn(
    shape: tuple[int, int],
) -> None:
    rng = np.random.default_rng(0)
    acts = rng.normal(size=shape) + 0.4 * np.outer(LABELS, rng.normal(size=shape[1]))
    acts[:, 0] = 5.0  # a column that never varies
    found = strongest_reader({"cell": tensor(acts)}, LABELS, GROUPS, FOLDS, n_shuffles=9, seed=0)
    acts = tensor(acts).double().numpy()
    best = []
    for labels in (LABELS, *shuffled_labels(LABELS, GROUPS, FOLDS, 9, 0).T):
        by_penalty = []
        for penalty in PENALTIES:
            scores = np.empty(120)
            for fitted, held_out in FOLDS:
                model = make_pipeline(StandardScaler(), Ridge(penalty))
                model.fit(acts[fitted], labels[fitted].astype(float))
                scores[held_out] = model.predict(acts[held_out])
            by_penalty.append(auroc(scores, labels))
        best.append(max(by_penalty))
    value, p = found["cell"]
    assert value.estimate == pytest.approx(best[0])
    assert (value.lo, value.hi) == pytest.approx(tuple(np.quantile(best[1:], [0.025, 0.975])))
    assert p == pytest.approx((1 + sum(other >= best[0] for other in best[1:])) / 10)
