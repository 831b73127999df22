"""Where the weights of a problem live: among the columns, or among the rows if those are fewer.

The descent knows two kinds of vectors: weights (and steps between them), and gradients. A space
says how both are laid out, so that the plain inner product of a step and a gradient is the change
that the one promises along the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import Batch, dot
from interp.probes.engine.losses import Point
from interp.probes.engine.shifted import Ratios, ShiftedInverse, gram


class Space(ABC):
    """Activations in the common scale, and the arithmetic of weights and gradients on them."""

    @abstractmethod
    def weights(self, bias_BC: Float[Tensor, "b c"]) -> Float[Tensor, "b c e"]:
        """Biases, and no coefficients."""

    @abstractmethod
    def scores(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c n"]:
        """Decision values of all rows under some weights, each fold standardising as it does."""

    @abstractmethod
    def gradient(self, point: Point, batch: Batch) -> Float[Tensor, "b c e"]:
        """Gradient of the penalised loss by a problem's weights; the bias's comes last."""

    @abstractmethod
    def inner(self, a_BCE: Tensor, b_BCE: Tensor) -> Float[Tensor, " b"]:
        """Inner product of the coefficients of two weights, biases left out."""

    @abstractmethod
    def size(self, gradient_BCE: Tensor) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Of a gradient by the coefficients: its squared length, and its largest component."""

    @abstractmethod
    def newtonlike(
        self, gradient_BCE: Tensor, batch: Batch, mass_BC: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b c e"]:
        """A gradient times the inverse of `penalty + mass / n * X'X`, or nearly so.

        X'X stands for all folds and for every row's curvature: what a fold leaves out, and what
        sets rows apart in saturated fits, is left to the iteration.

        Args:
            gradient_BCE: by the weights.
            batch: the problems.
            mass_BC: curvature of the loss, summed over rows.
        """

    @abstractmethod
    def coefficients(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c d_plus_1"]:
        """Weights as coefficients on each fold's standardised columns, then the bias."""

    @abstractmethod
    def widened(self, x_ND: Float[Tensor, "n d"]) -> Space:
        """The same space on activations of another precision, with the same preconditioner."""

    @abstractmethod
    def renewed(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c e"]:
        """The same coefficients, with what follows from them computed in this precision."""


@dataclass(frozen=True, eq=False)
class Columns(Space):
    """Coefficients on the fold's standardised columns, then the bias: E = D + 1."""

    x_ND: Float[Tensor, "n d"]
    inverse: ShiftedInverse | None

    def weights(self, bias_BC: Tensor) -> Float[Tensor, "b c e"]:  # noqa: D102
        none_BCD = bias_BC.new_zeros(*bias_BC.shape, self.x_ND.shape[1])
        return torch.cat([none_BCD, bias_BC[..., None]], 2)

    def scores(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c n"]:  # noqa: D102
        coef_BCD = theta_BCE[..., :-1] * batch.inverse_BD[:, None]
        bias_BC = theta_BCE[..., -1] - (coef_BCD @ batch.mean_BD[..., None])[..., 0]
        return _onto_rows(self.x_ND, coef_BCD) + bias_BC[..., None]

    def gradient(self, point: Point, batch: Batch) -> Float[Tensor, "b c e"]:  # noqa: D102
        raw_MD = point.residual_BCN.flatten(0, 1) @ self.x_ND
        return column_gradient(raw_MD.unflatten(0, point.residual_BCN.shape[:2]), point, batch)

    def inner(self, a_BCE: Tensor, b_BCE: Tensor) -> Float[Tensor, " b"]:  # noqa: D102
        return dot(a_BCE[..., :-1], b_BCE[..., :-1])

    def size(self, gradient_BCE: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        slope_BCD = gradient_BCE[..., :-1]
        return dot(slope_BCD, slope_BCD), slope_BCD.abs().amax((1, 2))

    def newtonlike(self, gradient_BCE: Tensor, batch: Batch, mass_BC: Tensor) -> Tensor:  # noqa: D102
        omega_M = mass_BC.flatten() / len(self.x_ND)
        shift_M = batch.penalty_B.repeat_interleave(mass_BC.shape[1]) / omega_M
        step_MD = self.inverse(gradient_BCE[..., :-1].flatten(0, 1), shift_M) / omega_M[:, None]
        bias_BC1 = (gradient_BCE[..., -1] / mass_BC)[..., None]
        return torch.cat([step_MD.unflatten(0, mass_BC.shape), bias_BC1], 2)

    def coefficients(self, theta_BCE: Tensor, batch: Batch) -> Tensor:  # noqa: D102
        return theta_BCE

    def widened(self, x_ND: Tensor) -> Columns:  # noqa: D102
        return replace(self, x_ND=x_ND)

    def renewed(self, theta_BCE: Tensor, batch: Batch) -> Tensor:  # noqa: D102
        return theta_BCE


@dataclass(frozen=True, eq=False)
class Span(Space):
    """Coefficients as combinations of the fold's standardised rows, which they are at the optimum.

    Weights are the N factors of the rows, what the combination gives on each row, and the bias;
    gradients are N zeros, the N factors of the rows, and the bias's: E = 2 N + 1. Only applying
    the preconditioner takes products with the activations. In columns it would take twice as many,
    and lose float32's digits where the penalty is small beside the Gram matrix.
    """

    x_ND: Float[Tensor, "n d"]
    gram_NN: Float[Tensor, "n n"]
    root_N: Float[Tensor, " n"]
    inverse: ShiftedInverse

    def weights(self, bias_BC: Tensor) -> Float[Tensor, "b c e"]:  # noqa: D102
        none_BCE = bias_BC.new_zeros(*bias_BC.shape, 2 * len(self.x_ND))
        return torch.cat([none_BCE, bias_BC[..., None]], 2)

    def scores(self, theta_BCE: Tensor, batch: Batch) -> Float[Tensor, "b c n"]:  # noqa: D102
        return theta_BCE[..., len(self.x_ND) : -1] + theta_BCE[..., -1:]

    def gradient(self, point: Point, batch: Batch) -> Float[Tensor, "b c e"]:  # noqa: D102
        residual_BCN = point.residual_BCN
        factor_BCN = batch.theta_BCE[..., : len(self.x_ND)]
        slope_BCN = residual_BCN + batch.penalty_B[:, None, None] * factor_BCN
        parts = [torch.zeros_like(slope_BCN), slope_BCN, residual_BCN.sum(2, keepdim=True)]
        return torch.cat(parts, 2)

    def inner(self, a_BCE: Tensor, b_BCE: Tensor) -> Float[Tensor, " b"]:  # noqa: D102
        n = len(self.x_ND)
        return dot(a_BCE[..., :n], b_BCE[..., n:-1])

    def size(self, gradient_BCE: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        # By the Gram matrix of all rows in the common scale: a few percent from the fold's own.
        slope_BCN = gradient_BCE[..., len(self.x_ND) : -1]
        along_BCN = (slope_BCN.to(self.gram_NN.dtype) @ self.gram_NN).to(slope_BCN.dtype)
        square_B = dot(slope_BCN, along_BCN).clamp(min=0)
        # The largest of many normal components is about four times their root mean square.
        return square_B, 4 * (square_B / self.x_ND.shape[1]).sqrt()

    def newtonlike(self, gradient_BCE: Tensor, batch: Batch, mass_BC: Tensor) -> Tensor:  # noqa: D102
        n = len(self.x_ND)
        omega_M = mass_BC.flatten() / n
        shift_M = batch.penalty_B.repeat_interleave(mass_BC.shape[1]) / omega_M
        slope_MN = gradient_BCE[..., n:-1].flatten(0, 1)
        # (shift + X'WX)^-1 X' = X' sqrt(W) (shift + sqrt(W) X X' sqrt(W))^-1 / sqrt(W)
        per_root_N = torch.where(self.root_N > 0, 1 / self.root_N, 0.0)
        factor_MN = self.inverse(slope_MN * per_root_N, shift_M) * self.root_N / omega_M[:, None]
        factor_BCN = factor_MN.unflatten(0, mass_BC.shape)
        bias_BC1 = (gradient_BCE[..., -1] / mass_BC)[..., None]
        return torch.cat([factor_BCN, self._on_rows(factor_BCN, batch), bias_BC1], 2)

    def coefficients(self, theta_BCE: Tensor, batch: Batch) -> Tensor:  # noqa: D102
        combined_BCD = self._combined(theta_BCE[..., : len(self.x_ND)], batch)
        return torch.cat([combined_BCD * batch.inverse_BD[:, None], theta_BCE[..., -1:]], 2)

    def widened(self, x_ND: Tensor) -> Span:  # noqa: D102
        return replace(self, x_ND=x_ND, root_N=self.root_N.to(x_ND))

    def renewed(self, theta_BCE: Tensor, batch: Batch) -> Tensor:  # noqa: D102
        factor_BCN = theta_BCE[..., : len(self.x_ND)]
        return torch.cat([factor_BCN, self._on_rows(factor_BCN, batch), theta_BCE[..., -1:]], 2)

    def _combined(self, factor_BCN: Tensor, batch: Batch) -> Float[Tensor, "b c d"]:
        """The combination of the fold's centred rows, in the common scale."""
        raw_BCD = (factor_BCN.flatten(0, 1) @ self.x_ND).unflatten(0, factor_BCN.shape[:2])
        return raw_BCD - factor_BCN.sum(2, keepdim=True) * batch.mean_BD[:, None]

    def _on_rows(self, factor_BCN: Tensor, batch: Batch) -> Float[Tensor, "b c n"]:
        """What a combination of the fold's standardised rows gives on each of them."""
        scaled_BCD = self._combined(factor_BCN, batch) * batch.inverse_BD[:, None].square()
        return _onto_rows(self.x_ND, scaled_BCD) - scaled_BCD @ batch.mean_BD[..., None]


def space_of(
    x_ND: Float[Tensor, "n d"], row_weight_N: Float[Tensor, " n"], ratios: Ratios
) -> Columns | Span:
    """The smaller of the two spaces, with its preconditioner.

    Args:
        x_ND: activations in the common scale, float32.
        row_weight_N: weight of each row over all folds, of mean 1.
        ratios: of penalty to mean curvature of a row, over all problems.
    """
    root_N = row_weight_N.sqrt()
    if x_ND.shape[0] > x_ND.shape[1]:
        weighted_ND = x_ND if bool((root_N == 1).all()) else x_ND * root_N[:, None]
        return Columns(x_ND, ShiftedInverse(gram(weighted_ND.mT), ratios))
    gram_NN = gram(x_ND)
    return Span(x_ND, gram_NN, root_N, ShiftedInverse(root_N[:, None] * gram_NN * root_N, ratios))


def column_gradient(
    raw_BCD: Float[Tensor, "b c d"], point: Point, batch: Batch
) -> Float[Tensor, "b c d_plus_1"]:
    """Gradient by each fold's coefficients and the bias, from the one in the common scale.

    Args:
        raw_BCD: residuals times the activations in the common scale.
        point: where the residuals were taken.
        batch: the problems, with their weights in `Columns`.
    """
    sum_BC1 = point.residual_BCN.sum(2, keepdim=True)
    slope_BCD = (raw_BCD - sum_BC1 * batch.mean_BD[:, None]) * batch.inverse_BD[:, None]
    slope_BCD += batch.penalty_B[:, None, None] * batch.theta_BCE[..., :-1]
    return torch.cat([slope_BCD, sum_BC1], 2)


def _onto_rows(x_ND: Tensor, vector_BCD: Tensor) -> Float[Tensor, "b c n"]:
    """Every vector's product with every row.

    With the activations on the left this takes two thirds of the time that it takes the other way
    round (measured with MKL), and no transposed copy of them.
    """
    score_MN = (x_ND @ vector_BCD.flatten(0, 1).mT).mT.contiguous()
    return score_MN.unflatten(0, vector_BCD.shape[:2])
