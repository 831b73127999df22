"""LEACE: takes a concept out of activations, so that no linear read-out finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError

Classes = Sequence[object] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class LeaceEraser:
    """The map x -> x - left right^T (x - mean), of rank at most the number of classes less one.

    After it, on the data it was fitted on, every class has the same mean, which is to say that no
    linear read-out of any convex loss does better than the classes' shares alone; and no other
    affine map that does this moves the activations less, in mean square (Belrose et al. 2023,
    arXiv 2306.03819, sections 3 and 4). What a nonlinear read-out finds may remain. On fresh
    rows it holds as far as class means and covariance are known: fit on many more rows than d.

    Attributes:
        mean_D: mean activation, float64.
        left_DK: directions that are subtracted, float64.
        right_DK: by how much of each, as seen from the mean, float64.
    """

    mean_D: Float[Tensor, " d"]
    left_DK: Float[Tensor, "d k"]
    right_DK: Float[Tensor, "d k"]

    @classmethod
    def fit(cls, acts_ND: Float[Tensor, "n d"], classes: Classes) -> LeaceEraser:
        """The eraser of these rows; `LeaceFitter` does the same in batches.

        Args:
            acts_ND: one activation a row.
            classes: of each row.

        Raises:
            InputError: as `LeaceFitter`.
        """
        names = list(dict.fromkeys(_listed(classes)))
        return LeaceFitter(acts_ND.shape[-1], names).update(acts_ND, classes).eraser()

    def __call__(self, acts: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"]:
        """Activations without the concept, in their own dtype and on their own device.

        Raises:
            InputError: another width than it was fitted on.
        """
        if acts.shape[-1] != len(self.mean_D):
            raise InputError(
                f"LEACE: activations of width {acts.shape[-1]}, but the eraser was fitted on width "
                f"{len(self.mean_D)}; erase at the site and model it was fitted on."
            )
        mean_D, left_DK, right_DK = (
            part.to(acts.device) for part in (self.mean_D, self.left_DK, self.right_DK)
        )
        wide = acts.double()  # in less, small class differences between large values would survive
        return (wide - (wide - mean_D) @ right_DK @ left_DK.T).to(acts.dtype)


class LeaceFitter:
    """Collects mean, covariance and class means over batches, in float64, for a `LeaceEraser`.

    Holds d^2 numbers however many rows it has seen. The order and size of batches change the
    result by rounding alone.

    Args:
        d: width of the activations.
        classes: what rows may be labelled with, at least two.

    Raises:
        InputError: fewer than two classes, or one named twice.
    """

    def __init__(self, d: int, classes: Sequence[object]) -> None:
        self._number = {name: number for number, name in enumerate(classes)}
        if len(self._number) < 2 or len(self._number) != len(classes):
            raise InputError(
                f"LEACE: classes {list(classes)[:5]}; expected at least two, each named once."
            )
        self._count_K = torch.zeros(len(classes), dtype=torch.float64)
        self._mean_KD = torch.zeros(len(classes), d, dtype=torch.float64)
        self._within_DD = torch.zeros(d, d, dtype=torch.float64)

    def update(self, acts_ND: Float[Tensor, "n d"], classes: Classes) -> LeaceFitter:
        """The fitter itself, with these rows added.

        Args:
            acts_ND: of any floating dtype, on any device.
            classes: of each row.

        Raises:
            InputError: another width, not one class a row, a class that was not announced, or a
                value that is not finite.
        """
        width = self._mean_KD.shape[1]
        if acts_ND.ndim != 2 or acts_ND.shape[1] != width:
            raise InputError(
                f"LEACE: activations of shape {tuple(acts_ND.shape)}; expected (n, {width})."
            )
        class_N = self._numbers(_listed(classes), len(acts_ND))
        acts = acts_ND.detach().cpu().double()
        finite_N = acts.isfinite().all(1)
        if not finite_N.all():
            raise InputError(
                f"LEACE: NaN or Inf in the activations of row {int((~finite_N).int().argmax())}; "
                "capture them again in a wider dtype."
            )
        for number in class_N.unique().tolist():
            self._add(number, acts[class_N == number])
        return self

    def eraser(self) -> LeaceEraser:
        """The eraser of all rows so far.

        Raises:
            InputError: a class without rows.
        """
        for name, number in self._number.items():
            if not self._count_K[number]:
                raise InputError(
                    f"LEACE: no row of the class {name!r}; it needs rows of every class."
                )
        share_K = self._count_K / self._count_K.sum()
        mean_D = share_K @ self._mean_KD
        away_KD = self._mean_KD - mean_D
        covariance_DD = self._within_DD / self._count_K.sum() + (away_KD.T * share_K) @ away_KD
        # sqrt(share) in front makes every class count as its rows do when the rank is judged.
        return _eraser(mean_D, covariance_DD, (away_KD * share_K.sqrt()[:, None]).T)

    def _add(self, number: int, acts_MD: Tensor) -> None:
        """Rows of one class, by the update of Chan, Golub & LeVeque 1983, which cancels nothing."""
        before, n = float(self._count_K[number]), len(acts_MD)
        mean_D = acts_MD.mean(0)
        centred_MD = acts_MD - mean_D
        moved_D = mean_D - self._mean_KD[number]
        self._within_DD += centred_MD.T @ centred_MD
        self._within_DD += torch.outer(moved_D, moved_D) * (before * n / (before + n))
        self._mean_KD[number] += moved_D * (n / (before + n))
        self._count_K[number] += n

    def _numbers(self, names: list[object], n_rows: int) -> Tensor:
        if len(names) != n_rows:
            raise InputError(
                f"LEACE: {len(names)} classes for {n_rows} rows; expected one class a row."
            )
        for row, name in enumerate(names):
            if name not in self._number:
                raise InputError(
                    f"LEACE: row {row} is of the class {name!r}, but only "
                    f"{list(self._number)[:5]} were announced."
                )
        return torch.tensor([self._number[name] for name in names])


def _eraser(mean_D: Tensor, covariance_DD: Tensor, between_DK: Tensor) -> LeaceEraser:
    """LEACE of these moments: with whitening W and U spanning W between, W^+ U U^T W is taken off.

    Columns are scaled to unit variance first. The result is the same, since the best map does not
    depend on the units of the columns, but one huge column no longer decides what counts as zero.
    """
    scale_D = covariance_DD.diagonal().sqrt()
    scale_D = torch.where(scale_D > 0, scale_D, 1.0)
    value_D, vector_DD = torch.linalg.eigh(covariance_DD / torch.outer(scale_D, scale_D))
    precision = torch.finfo(torch.float64).eps
    there_D = value_D > value_D[-1] * len(value_D) * precision
    root_R, vector_DR = value_D[there_D].sqrt(), vector_DD[:, there_D]
    white_RK = (vector_DR.T @ (between_DK / scale_D[:, None])) / root_R[:, None]
    basis_RK, size_K, _ = torch.linalg.svd(white_RK, full_matrices=False)
    # Singular values are canonical correlations: at most 1, whatever the units. The last of K is
    # zero up to rounding, as the classes' deviations from their mean cancel.
    basis_RK = basis_RK[:, : len(size_K) - 1][:, size_K[:-1] > 1e-10]
    left_DK = vector_DR @ (root_R[:, None] * basis_RK) * scale_D[:, None]
    right_DK = vector_DR @ (basis_RK / root_R[:, None]) / scale_D[:, None]
    return LeaceEraser(mean_D, left_DK, right_DK)


def _listed(classes: Classes) -> list[object]:
    return classes.tolist() if isinstance(classes, np.ndarray | Tensor) else list(classes)
