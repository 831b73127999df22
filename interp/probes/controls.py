"""What a probe's AUROC must beat: labels that mean nothing, and the words of the prompt alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.probes.folds import Fold, check_folds
from interp.probes.linear import DEFAULT_C, out_of_fold_scores
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
    the folds stay as balanced as they are for the true labels. Where groups hold both classes, as
    minimal pairs do, groups of one size trade their labels and rows trade within their group: a
    pair stays a pair. Shuffle i depends on `seed`, i,
    labels, groups and folds alone, never on the activations: cells (layers, positions) given the
    same of these see the same labels in shuffle i. The nulls of several cells, stacked to
    (n_shuffles, n_cells), are therefore draws of the joint null, as `interp.stats.max_t` needs.

    Args:
        acts_ND: one activation a row.
        labels: class of each row.
        groups: entity or minimal pair of each row.
        folds: from `grouped_folds`, the same as for the true labels.
        n_shuffles: number of draws.
        seed: of the draws.
        c: inverse strength of the penalty, the same as for the true labels.

    Raises:
        InputError: `n_shuffles` below 1, a group with rows in two folds, or as
            `out_of_fold_scores`.
    """
    label_N = np.asarray(labels, dtype=bool)
    check_folds(folds, label_N)
    label_NP = shuffled_labels(label_N, np.asarray(groups), folds, n_shuffles, seed)
    return np.array(
        [auroc(out_of_fold_scores(acts_ND, dealt_N, folds, c=c), dealt_N) for dealt_N in label_NP.T]
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
    fold_N = np.empty(len(label_N), dtype=int)
    for number, (_, held_out) in enumerate(folds):
        fold_N[held_out] = number
    fold_G = fold_N[first_G]
    split_N = fold_G[group_of_N] != fold_N
    if split_N.any():
        raise InputError(
            f"shuffled null: the rows of '{group_N[split_N.argmax()]}' differ in their fold; "
            "labels are shuffled over whole groups, so give each group one."
        )
    label_G = label_N[first_G]
    pure = bool((label_G[group_of_N] == label_N).all())
    label_NP = np.empty((len(label_N), n_shuffles), dtype=bool)
    for shuffle in range(n_shuffles):
        rng = np.random.default_rng([seed, shuffle])
        for number in range(len(folds)):
            here = np.flatnonzero(fold_G == number)
            rows = np.flatnonzero(fold_N == number)
            if pure:
                dealt_G = label_G.copy()
                dealt_G[here] = rng.permutation(label_G[here])
                label_NP[rows, shuffle] = dealt_G[group_of_N[rows]]
            else:
                label_NP[rows, shuffle] = _swapped(label_N[rows], group_of_N[rows], rng)
    return label_NP


def _swapped(label_M: np.ndarray, group_M: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels with groups of one size trading theirs, and rows trading within groups."""
    dealt_M = np.empty_like(label_M)
    order = np.argsort(group_M, kind="stable")
    _, first_G, size_G = np.unique(group_M[order], return_index=True, return_counts=True)
    for size in np.unique(size_G):
        rows_GS = order[first_G[size_G == size][:, None] + np.arange(size)]
        dealt_M[rows_GS] = rng.permuted(label_M[rng.permutation(rows_GS)], axis=1)
    return dealt_M


def bag_of_tokens(encoded: Encoded) -> Float[Tensor, "n v"]:
    """How often each token stands in each prompt, over the tokens that stand in any of them.

    Probed like activations, on the same folds, it says what the words of a prompt give away.
    """
    real_BT = encoded.attention_mask_BT.bool()
    present, index = encoded.input_ids_BT[real_BT].unique(return_inverse=True)
    row_of = real_BT.nonzero()[:, 0]
    counts_NV = torch.zeros(len(real_BT), len(present))
    return counts_NV.index_put((row_of, index), torch.ones(len(index)), accumulate=True)
