"""What a probe's AUROC must beat: labels that mean nothing, and the words of the prompt alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from interp.errors import InputError
from interp.probes.folds import Fold, check_folds
from interp.probes.linear import DEFAULT_C, as_matrix, fit_linear
from interp.prompts import Encoded
from interp.stats import auroc


def shuffled_null(
    acts_ND: Float[Tensor, "n d"],
    labels: Sequence[bool] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    folds: Sequence[Fold],
    n_shuffles: int,
    seed: int,
    *,
    c: float = DEFAULT_C,
) -> np.ndarray:
    """AUROC of the linear probe when entities swap labels at random, shape (n_shuffles,).

    Labels are dealt anew to the entities of each fold, so all rows of an entity keep one label and
    the folds stay as balanced as they are for the true labels. Shuffle i depends on `seed`, i,
    labels, groups and folds alone, never on the activations: cells (layers, positions) given the
    same of these see the same labels in shuffle i. The nulls of several cells, stacked to
    (n_shuffles, n_cells), are therefore draws of the joint null, as `interp.stats.max_t` needs.

    Args:
        acts_ND: one activation a row.
        labels: class of each row, one class a group.
        groups: entity of each row.
        folds: from `grouped_folds`, the same as for the true labels.
        n_shuffles: number of draws.
        seed: of the draws.
        c: inverse strength of the penalty, the same as for the true labels.

    Raises:
        InputError: `n_shuffles` below 1, a group with rows of both classes or in two folds, or as
            `out_of_fold_scores`.
    """
    label_N = np.asarray(labels, dtype=bool)
    acts = as_matrix(acts_ND, label_N)
    check_folds(folds, label_N)
    label_NP = shuffled_labels(label_N, np.asarray(groups), folds, n_shuffles, seed)
    score_NP = np.empty(label_NP.shape)
    for fitted, held_out in folds:
        scaler = StandardScaler().fit(acts[fitted])
        fit_acts, held_out_acts = scaler.transform(acts[fitted]), scaler.transform(acts[held_out])
        for shuffle in range(n_shuffles):
            read = fit_linear(fit_acts, label_NP[fitted, shuffle], c)
            score_NP[held_out, shuffle] = read(held_out_acts)
    return np.array(
        [auroc(score_NP[:, shuffle], label_NP[:, shuffle]) for shuffle in range(n_shuffles)]
    )


def shuffled_labels(
    label_N: np.ndarray, group_N: np.ndarray, folds: Sequence[Fold], n_shuffles: int, seed: int
) -> np.ndarray:
    """The labels of each shuffle, shape (n, n_shuffles); see `shuffled_null`."""
    if n_shuffles < 1:
        raise InputError(f"shuffled null: n_shuffles is {n_shuffles}; expected at least 1.")
    if len(group_N) != len(label_N):
        raise InputError(
            f"shuffled null: {len(group_N)} groups for {len(label_N)} labels; expected one a row."
        )
    _, first_G, group_of_N = np.unique(group_N, return_index=True, return_inverse=True)
    label_G = label_N[first_G]
    fold_N = np.empty(len(label_N), dtype=int)
    for number, (_, held_out) in enumerate(folds):
        fold_N[held_out] = number
    fold_G = fold_N[first_G]
    for what, group_value, row_value in (("label", label_G, label_N), ("fold", fold_G, fold_N)):
        split_N = group_value[group_of_N] != row_value
        if split_N.any():
            raise InputError(
                f"shuffled null: the rows of '{group_N[split_N.argmax()]}' differ in their {what}; "
                "labels are shuffled over whole groups, so give each group one."
            )
    label_NP = np.empty((len(label_N), n_shuffles), dtype=bool)
    for shuffle in range(n_shuffles):
        rng = np.random.default_rng([seed, shuffle])
        dealt_G = label_G.copy()
        for number in range(len(folds)):
            here = np.flatnonzero(fold_G == number)
            dealt_G[here] = rng.permutation(label_G[here])
        label_NP[:, shuffle] = dealt_G[group_of_N]
    return label_NP


def bag_of_tokens(encoded: Encoded) -> Float[Tensor, "n v"]:
    """How often each token stands in each prompt, over the tokens that stand in any of them.

    Probed like activations, on the same folds, it says what the words of a prompt give away.
    """
    real_BT = encoded.attention_mask_BT.bool()
    present, index = encoded.input_ids_BT[real_BT].unique(return_inverse=True)
    row_of = real_BT.nonzero()[:, 0]
    counts_NV = torch.zeros(len(real_BT), len(present))
    return counts_NV.index_put((row_of, index), torch.ones(len(index)), accumulate=True)
