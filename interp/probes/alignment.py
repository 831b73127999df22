"""Maps from a child's activations to its parent's, fitted on neutral text alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError

Kind = Literal["orthogonal", "affine"]

_RIDGE = torch.logspace(-6, 4, 21, dtype=torch.float64)
"""Penalties of the affine map, in units of the mean square of the singular values."""
_PULL = 1e-6
"""How strongly undecided parts of a rotation are drawn to the identity, against the rest."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """The map x -> (x - child_mean) matrix + parent_mean, from child to parent.

    Attributes:
        kind: "orthogonal" or "affine".
        child_mean_D: mean of the child's neutral activations, float64.
        parent_mean_D: mean of the parent's, float64.
        matrix_DD: acts on row vectors from the right, float64.
        neutral_ids: of the rows it was fitted on; empty if none were given.
    """

    kind: Kind
    child_mean_D: Float[Tensor, " d"]
    parent_mean_D: Float[Tensor, " d"]
    matrix_DD: Float[Tensor, "d d"]
    neutral_ids: frozenset[str]

    def apply(
        self, child_ND: Float[Tensor, "n child_d"], ids: Sequence[str] | None = None
    ) -> Float[Tensor, "n child_d"]:
        """The child's activations as the parent would hold them, in their own dtype.

        The parent's probe then reads them: `transfer_scores(parent_ND, alignment.apply(child_ND))`.

        Args:
            child_ND: at the site and position of the neutral ones.
            ids: prompt ids of the rows, to make sure that none of them taught the map.

        Raises:
            InputError: another width, not one id a row, or a row that the map was fitted on.
        """
        _check_width("child", child_ND, len(self.child_mean_D))
        if ids is not None and len(ids) != len(child_ND):
            raise InputError(
                f"alignment: {len(ids)} ids for {len(child_ND)} rows; expected one a row."
            )
        shared = [name for name in ids or () if name in self.neutral_ids]
        if shared:
            raise InputError(
                f"alignment: {len(shared)} of the rows to be read are among the neutral ones the "
                f"map was fitted on, {shared[0]!r} for one; fit it on other text."
            )
        centred_ND = child_ND.detach().cpu().double() - self.child_mean_D
        return (centred_ND @ self.matrix_DD + self.parent_mean_D).to(child_ND.dtype)

    def explained(
        self, parent_ND: Float[Tensor, "n d"], child_ND: Float[Tensor, "child_n child_d"]
    ) -> float:
        """Share of the parent's variance that the mapped child accounts for, column by column.

        1 where every column is met exactly, 0 where the columns' means do as well. On neutral rows
        that were held out it says how far the map itself can be trusted.

        Args:
            parent_ND: the parent's activations.
            child_ND: the child's, of the same rows.

        Raises:
            InputError: as `align`.
        """
        parent, child = _checked(parent_ND, child_ND)
        left_ND = parent - self.apply(child)
        total_D = (parent - parent.mean(0)).square().sum(0)
        varies_D = total_D > 0
        return 1 - float((left_ND.square().sum(0)[varies_D] / total_D[varies_D]).mean())


def align(
    parent_ND: Float[Tensor, "n d"],
    child_ND: Float[Tensor, "child_n child_d"],
    *,
    kind: Kind,
    neutral_ids: Sequence[str] | None = None,
) -> Alignment:
    """Fits the map on neutral rows: text that has nothing to do with what is read afterwards.

    - "orthogonal": the rotation (reflections allowed) that brings the centred child nearest to the
      centred parent (Procrustes; Schönemann 1966). It keeps all distances, so it can undo a change
      of basis but cannot make anything readable that the child does not hold. Large columns weigh
      most. Directions in which the neutral rows do not vary, as when they are fewer than d, are not
      turned.
    - "affine": ridge regression of what parent and child differ in on the child's standardised
      activations, so that the penalty shrinks the map to the identity, which is zero-shot transfer,
      never to nothing. Its penalty has the least squared error of leave-one-out on the neutral
      rows, every column weighted by its variance (closed form; Golub, Heath & Wahba 1979). With
      few rows for the width it therefore stays near the identity.

    Args:
        parent_ND: the parent's activations on the neutral rows.
        child_ND: the child's, of the same rows at the same site and position.
        kind: of map.
        neutral_ids: prompt ids of the rows; with them, `Alignment.apply` refuses those rows.

    Raises:
        InputError: not two matrices of one shape, fewer than three rows, rows that are all alike,
            a value that is not finite, or not one id a row.
    """
    parent, child = _checked(parent_ND, child_ND)
    if neutral_ids is not None and len(neutral_ids) != len(child):
        raise InputError(
            f"alignment: {len(neutral_ids)} ids for {len(child)} rows; expected one a row."
        )
    if len(child) < 3:
        raise InputError(
            f"alignment: {len(child)} neutral rows; expected at least 3, and better more than the "
            f"width of {child.shape[1]}."
        )
    parent_mean_D, child_mean_D = parent.mean(0), child.mean(0)
    parent, child = parent - parent_mean_D, child - child_mean_D
    for name, acts in (("parent", parent), ("child", child)):
        if not acts.any():
            raise InputError(
                f"alignment: the {name}'s activations are the same in all neutral rows; choose a "
                "position whose token or context differs between them."
            )
    fit = _rotation if kind == "orthogonal" else _ridge
    ids = frozenset(neutral_ids or ())
    return Alignment(kind, child_mean_D, parent_mean_D, fit(parent, child), ids)


def _rotation(parent_ND: Tensor, child_ND: Tensor) -> Tensor:
    cross_DD = child_ND.T @ parent_ND
    pull = _PULL * float(torch.linalg.matrix_norm(cross_DD, 2))
    left_DD, _, right_DD = torch.linalg.svd(cross_DD + pull * torch.eye(len(cross_DD)))
    return left_DD @ right_DD


def _ridge(parent_ND: Tensor, child_ND: Tensor) -> Tensor:
    """The matrix of the affine map, with the penalty that leaving one row out prefers."""
    scale_D, weight_D = _deviation(child_ND), _deviation(parent_ND)
    left_NR, size_R, right_RD = torch.linalg.svd(child_ND / scale_D, full_matrices=False)
    target_ND = (parent_ND - child_ND) / weight_D
    along_RD = left_NR.T @ target_ND

    def left_out_error(penalty: float) -> float:
        kept_R = size_R.square() / (size_R.square() + penalty)
        residual_ND = target_ND - left_NR @ (kept_R[:, None] * along_RD)
        # The mean is fitted too: it takes 1/n of each row's leverage.
        leverage_N = left_NR.square() @ kept_R + 1 / len(child_ND)
        return float((residual_ND / (1 - leverage_N)[:, None]).square().sum())

    penalty = min((_RIDGE * size_R.square().mean()).tolist(), key=left_out_error)
    shrink_R = size_R / (size_R.square() + penalty)
    turn_DD = right_RD.T @ (shrink_R[:, None] * along_RD)
    return torch.eye(len(scale_D)) + turn_DD * weight_D / scale_D[:, None]


def _deviation(centred_ND: Tensor) -> Tensor:
    deviation_D = centred_ND.square().mean(0).sqrt()
    return torch.where(deviation_D > 0, deviation_D, 1.0)


def _checked(parent_ND: Tensor, child_ND: Tensor) -> tuple[Tensor, Tensor]:
    if parent_ND.ndim != 2 or parent_ND.shape != child_ND.shape:
        raise InputError(
            f"alignment: activations of shape {tuple(parent_ND.shape)} in the parent and "
            f"{tuple(child_ND.shape)} in the child; expected the same rows and width."
        )
    for name, acts_ND in (("parent", parent_ND), ("child", child_ND)):
        finite_N = acts_ND.isfinite().all(1)
        if not finite_N.all():
            raise InputError(
                f"alignment: NaN or Inf in the {name}'s activations of row "
                f"{int((~finite_N).int().argmax())}; capture them again in a wider dtype."
            )
    return parent_ND.detach().cpu().double(), child_ND.detach().cpu().double()


def _check_width(name: str, acts_ND: Tensor, width: int) -> None:
    if acts_ND.ndim != 2 or acts_ND.shape[1] != width:
        raise InputError(
            f"alignment: the {name}'s activations have shape {tuple(acts_ND.shape)}, but the map "
            f"was fitted on width {width}; apply it at the site it was fitted on."
        )
