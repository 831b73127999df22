"""How directions compare: cosine, its reliability and noise correction, and random references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.directions.means import Direction, Labels, check_labelled
from interp.errors import InputError


def cosine(a: Direction | Float[Tensor, " d_a"], b: Direction | Float[Tensor, " d_b"]) -> float:
    """Cosine of the angle between two directions or vectors of the same width, in float64.

    Args:
        a: a direction or vector.
        b: another, of the same width.

    Raises:
        InputError: the widths differ or a vector is zero.
    """
    a_D, b_D = _vector(a), _vector(b)
    if a_D.shape != b_D.shape:
        raise InputError(
            f"cosine of vectors of shapes {tuple(a_D.shape)} and {tuple(b_D.shape)}: expected the "
            "same width, so read both at models of the same d_model."
        )
    norms = float(a_D.norm() * b_D.norm())
    if norms == 0.0:
        raise InputError("cosine of a zero vector is undefined; pass vectors with a length.")
    return float(a_D @ b_D) / norms


def split_half_reliability(
    acts_ND: Float[Tensor, "n d"],
    labels_N: Labels,
    *,
    n_splits: int,
    seed: int,
    groups: Sequence[object] | np.ndarray | None = None,
) -> float:
    """How well the mean-difference direction of these prompts repeats on as many fresh ones.

    Each split halves the prompts at random, within classes, and takes the cosine between the two
    halves' directions. The mean cosine r is stepped up to the full number of prompts by the
    Spearman-Brown formula 2r / (1 + r), because the direction in use comes from all of them.

    Args:
        acts_ND: one activation per prompt.
        labels_N: True where the prompt should be abstained on.
        n_splits: number of random halvings.
        seed: of the halvings.
        groups: prompts of one group (an entity, a minimal pair) stay in one half, so that what
            they share is not mistaken for reliability; each prompt by itself when not given.

    Returns:
        1 for a noiseless direction, about 0 (either sign) for pure noise.

    Raises:
        InputError: as `mean_difference`, or a class that does not reach both halves.
    """
    acts, labels = check_labelled(acts_ND, labels_N)
    group_of_N = _group_index(groups, len(labels))
    halves_SN = _halves(labels, group_of_N, n_splits, np.random.default_rng(seed))
    first_SD = _differences(acts, labels, halves_SN)
    second_SD = _differences(acts, labels, ~halves_SN)
    norms_S = np.linalg.norm(first_SD, axis=1) * np.linalg.norm(second_SD, axis=1)
    half = float(((first_SD * second_SD).sum(1) / norms_S).mean())
    return 2 * half / (1 + half)


def noise_corrected_cosine(observed: float, reliability_a: float, reliability_b: float) -> float:
    """Cosine between the two true directions, freed of the noise in their estimates.

    Noise shortens an observed cosine by the square roots of both reliabilities (Spearman's
    correction for attenuation). The result is an estimate and may pass 1; it is not clipped.

    Args:
        observed: cosine between the two estimated directions.
        reliability_a: `split_half_reliability` of the first.
        reliability_b: `split_half_reliability` of the second.

    Raises:
        InputError: a reliability is not above 0, so that nothing can be corrected.
    """
    if min(reliability_a, reliability_b) <= 0:
        raise InputError(
            f"reliabilities {reliability_a:.3f} and {reliability_b:.3f}: both must be above 0; "
            "a direction that does not repeat on half its own prompts has no cosine to correct."
        )
    return observed / float(np.sqrt(reliability_a * reliability_b))


def random_directions(n: int, d: int, seed: int) -> Float[Tensor, "n d"]:
    """Unit vectors drawn evenly from the sphere, float32, the same for the same seed.

    Args:
        n: how many.
        d: their width.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    normal_ND = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return (normal_ND / normal_ND.norm(dim=1, keepdim=True)).float()


def _vector(of: Direction | Tensor) -> Tensor:
    vector_D = of.vector_D if isinstance(of, Direction) else of
    return vector_D.detach().cpu().double()


def _group_index(groups: Sequence[object] | np.ndarray | None, n: int) -> np.ndarray:
    if groups is None:
        return np.arange(n)
    if len(groups) != n:
        raise InputError(f"{len(groups)} groups for {n} activations: expected one per activation.")
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def _halves(
    labels: np.ndarray, group_of_N: np.ndarray, n_splits: int, rng: np.random.Generator
) -> np.ndarray:
    """Bool (n_splits, n): who is in the first half; groups with the same share of labels part."""
    share_G = np.bincount(group_of_N, labels) / np.bincount(group_of_N)
    first_SG = np.zeros((n_splits, len(share_G)), dtype=bool)
    for share in np.unique(share_G):
        stratum = np.flatnonzero(share_G == share)
        for split in range(n_splits):
            # An odd stratum gives its extra member to either half, not always to the same one.
            size = (len(stratum) + rng.integers(2)) // 2
            first_SG[split, rng.permutation(stratum)[:size]] = True
    halves_SN = first_SG[:, group_of_N]
    for name, members in (("abstain", labels), ("answer", ~labels)):
        in_first_S = halves_SN[:, members].sum(1)
        if (in_first_S == 0).any() or (in_first_S == members.sum()).any():
            raise InputError(
                f"the {name} class has too few groups to stand in both halves of a split; "
                "give at least two groups (four when they mix classes) of each class."
            )
    return halves_SN


def _differences(acts: np.ndarray, labels: np.ndarray, chosen_SN: np.ndarray) -> np.ndarray:
    """Mean difference (n_splits, d) over the chosen rows of each split."""
    positive_SN, negative_SN = chosen_SN & labels, chosen_SN & ~labels
    weights_SN = positive_SN / positive_SN.sum(1, keepdims=True)
    weights_SN = weights_SN - negative_SN / negative_SN.sum(1, keepdims=True)
    return np.asarray(weights_SN @ acts)
