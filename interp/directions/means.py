"""The difference-of-means direction between prompts to abstain on and prompts to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Site
from interp.errors import InputError

Labels = np.ndarray | Tensor | Sequence[bool]


@dataclass(frozen=True, eq=False)
class Direction:
    """A unit vector at a site, with how it was found.

    Attributes:
        vector_D: unit vector, float32, shape (d_model,).
        norm: length of the raw vector, in units of the residual stream; `norm * vector_D` is it.
        site: where in the model it lives.
        position: the token it was read at, by the name of its rule.
        source: what it was computed from, usually the name of a checkpoint.
        how: the method, e.g. "mean_difference".
    """

    vector_D: Float[Tensor, " d"]
    norm: float
    site: Site
    position: str
    source: str
    how: str


def mean_difference(
    acts_ND: Float[Tensor, "n d"], labels_N: Labels, *, site: Site, position: str, source: str
) -> Direction:
    """Mean activation of the abstain class minus mean activation of the answer class.

    The estimator of Marks and Tegmark (arXiv 2310.06824) and Arditi et al. (arXiv 2406.11717).

    Args:
        acts_ND: one activation per prompt.
        labels_N: True where the prompt should be abstained on.
        site: where the activations were read.
        position: name of the position rule they were read at.
        source: name of the checkpoint they come from.

    Returns:
        The direction; adding `norm * vector_D` moves the answer mean onto the abstain mean.

    Raises:
        InputError: the shapes disagree, a value is not finite, a class is empty, or the two
            means are equal.
    """
    acts, labels = check_labelled(acts_ND, labels_N)
    difference_D = acts[labels].mean(0) - acts[~labels].mean(0)
    norm = float(np.linalg.norm(difference_D))
    if norm == 0.0:
        raise InputError(
            f"mean_difference at {site}, {position}: both classes have the same mean, so there is "
            "no direction; choose a site and position that differ between the prompts."
        )
    unit_D = torch.from_numpy((difference_D / norm).astype(np.float32))
    return Direction(unit_D, norm, site, position, source, "mean_difference")


def check_labelled(acts_ND: Tensor, labels_N: Labels) -> tuple[np.ndarray, np.ndarray]:
    """The activations in float64 and the labels as bool, once they are fit for a difference.

    Means are taken in float64: a mean kept in float16 rounds small differences away.
    """
    acts = acts_ND.detach().cpu().to(torch.float64).numpy()
    labels = np.asarray(labels_N).astype(bool)
    if acts.ndim != 2 or labels.shape != (len(acts),):
        raise InputError(
            f"activations of shape {tuple(acts.shape)} and labels of shape {labels.shape}: "
            "expected (n, d_model) and (n,), one label per activation."
        )
    if not np.isfinite(acts).all():
        bad_row = int(np.flatnonzero(~np.isfinite(acts).all(1))[0])
        raise InputError(f"activation row {bad_row} holds NaN or Inf; capture it again.")
    if labels.all() or not labels.any():
        raise InputError(
            f"all {len(labels)} labels are {bool(labels.all())}: a difference of means needs "
            "prompts to abstain on and prompts to answer."
        )
    return acts, labels
