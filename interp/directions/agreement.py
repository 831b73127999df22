"""Do two models hold one direction for a concept? Cosines free of noise, and their null."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.directions.geometry import _differences, _group_index, _halves
from interp.directions.means import Labels, check_labelled
from interp.errors import InputError


def cross_validated_cosine(
    parent_ND: Float[Tensor, "n d"],
    child_ND: Float[Tensor, "child_n child_d"],
    labels_N: Labels,
    *,
    n_splits: int,
    seed: int,
    groups: Sequence[object] | np.ndarray | None = None,
) -> float:
    """Cosine between two models' true mean-difference directions, read on the same prompts.

    Both directions err in the same way, since both come from the same prompts: their plain cosine
    is drawn to 1 by the noise they share, and dividing by reliabilities (`noise_corrected_cosine`,
    made for directions from different prompts) drives it further up. Here the prompts are halved
    again and again. Only products of one half's direction with the other half's are taken, in
    which no noise is shared: <p, c> / sqrt(<p, p'> <c, c'>), each product averaged over the splits.
    The averages are unbiased (as the cross-validated distance of Walther et al. 2016).

    Args:
        parent_ND: one activation a prompt.
        child_ND: the other model's, of the same prompts and width.
        labels_N: True where the prompt should be abstained on.
        n_splits: number of random halvings.
        seed: of the halvings.
        groups: prompts of one group stay in one half; each prompt by itself when not given.

    Returns:
        An estimate that may pass 1; NaN if a model's direction does not repeat between halves (its
        own product is not above 0), so that there is nothing to compare.

    Raises:
        InputError: shapes differ, or as `split_half_reliability`.
    """
    parent, child, labels = _both(parent_ND, child_ND, labels_N)
    rng = np.random.default_rng(seed)
    halves_SN = _halves(labels, _group_index(groups, len(labels)), n_splits, rng)
    one_p, two_p, one_c, two_c = (
        _differences(acts, labels, chosen)
        for acts in (parent, child)
        for chosen in (halves_SN, ~halves_SN)
    )
    between = ((one_p * two_c).sum() + (two_p * one_c).sum()) / 2
    within = float((one_p * two_p).sum()), float((one_c * two_c).sum())
    if min(within) <= 0:
        return float("nan")
    return float(between / np.sqrt(within[0] * within[1]))


def cosine_null(
    parent_ND: Float[Tensor, "n d"],
    child_ND: Float[Tensor, "child_n child_d"],
    labels_N: Labels,
    unrelated_NK: np.ndarray,
) -> np.ndarray:
    """Cosines of the parent's direction with the child's directions of unrelated concepts.

    Activations that vary mostly along a few axes make any two directions alike; the observed
    cosine says something only where it stands out from these.

    Args:
        parent_ND: one activation a prompt.
        child_ND: the child's, of the same prompts and width.
        labels_N: of the concept in question.
        unrelated_NK: bool, labels of another concept in each column: `shuffled_over_groups`, or
            labels of what has nothing to do with it (length, sentiment).

    Returns:
        Float array [K]. The p of an observed cosine is (1 + those that reach it) / (1 + K).

    Raises:
        InputError: shapes differ, or a concept (the message says which) whose labels do not fit,
            are all alike or make no difference.
    """
    parent, child, labels = _both(parent_ND, child_ND, labels_N)
    unrelated_KN = np.asarray(unrelated_NK, dtype=bool).T
    if unrelated_KN.ndim != 2 or unrelated_KN.shape[1:] != labels.shape:
        raise InputError(
            f"cosine null: unrelated labels of shape {np.shape(unrelated_NK)} for {len(labels)} "
            "activations; expected one column a concept, [N, K]."
        )
    one_class_K = unrelated_KN.all(1) | ~unrelated_KN.any(1)
    if one_class_K.any():
        raise InputError(
            f"cosine null: concept {int(one_class_K.argmax())} gives all prompts one label; leave "
            "it out."
        )
    everything_KN = np.ones_like(unrelated_KN)
    parent_D = _differences(parent, labels, everything_KN[:1])[0]
    child_KD = np.concatenate(
        [_differences(child, row_N, everything_KN[:1]) for row_N in unrelated_KN]
    )
    norm_K = np.linalg.norm(child_KD, axis=1) * np.linalg.norm(parent_D)
    if not norm_K.all():
        raise InputError(
            f"cosine null: concept {int((norm_K == 0).argmax())} makes no difference to the child, "
            "or the labels none to the parent; choose another site or position."
        )
    return child_KD @ parent_D / norm_K


def shuffled_over_groups(
    labels_N: Labels, groups: Sequence[object] | np.ndarray, n_shuffles: int, seed: int
) -> np.ndarray:
    """Labels dealt anew to whole groups, bool [N, n_shuffles].

    Groups swap the labels of their rows with groups of as many rows, pattern by pattern, so that
    the classes stay as large as they are and a minimal pair stays a pair.

    Args:
        labels_N: class of each row.
        groups: of each row.
        n_shuffles: number of deals.
        seed: of the deals.

    Raises:
        InputError: not one group a label, or `n_shuffles` below 1.
    """
    labels = np.asarray(labels_N).astype(bool)
    group_N = _group_index(groups, len(labels))
    if n_shuffles < 1:
        raise InputError(f"shuffled labels: n_shuffles is {n_shuffles}; expected at least 1.")
    order = np.argsort(group_N, kind="stable")
    size_G = np.bincount(group_N)
    first_G = np.cumsum(size_G) - size_G
    rng = np.random.default_rng(seed)
    shuffled_NS = np.empty((len(labels), n_shuffles), dtype=bool)
    for size in np.unique(size_G):
        rows_GM = order[first_G[size_G == size][:, None] + np.arange(size)]
        for shuffle in range(n_shuffles):
            dealt_GM = rng.permuted(labels[rng.permutation(rows_GM)], axis=1)
            shuffled_NS[rows_GM, shuffle] = dealt_GM
    return shuffled_NS


def _both(
    parent_ND: Tensor, child_ND: Tensor, labels_N: Labels
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if parent_ND.shape != child_ND.shape:
        raise InputError(
            f"activations of shape {tuple(parent_ND.shape)} in the parent and "
            f"{tuple(child_ND.shape)} in the child; expected the same prompts and width."
        )
    parent, labels = check_labelled(parent_ND, labels_N)
    return parent, check_labelled(child_ND, labels_N)[0], labels
