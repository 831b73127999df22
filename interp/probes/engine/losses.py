"""The two losses of the batched solver: logistic for two classes, softmax for more.

Both are functions of the decision values alone, so moving along a direction needs no activations.
Shapes: B problems, C decision values a row, N rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "b c n"]
Weights = Float[Tensor, "b n"]
PerProblem = Float[Tensor, " b"]


class Point(ABC):
    """The negative log likelihood, summed over rows by weight, about some decision values.

    Attributes:
        residual_BCN: gradient by the decision values.
        diagonal_BCN: diagonal of the Hessian by the decision values.
    """

    residual_BCN: Rows
    diagonal_BCN: Rows

    @abstractmethod
    def curvature(self, step_BCN: Rows) -> PerProblem:
        """Second derivative along a direction in decision values."""

    @abstractmethod
    def hessian(self) -> Float[Tensor, "b c c n"]:
        """Hessian by the decision values of each row."""

    @abstractmethod
    def __getitem__(self, some: Tensor) -> Point:
        """Some of the problems."""


@runtime_checkable
class Loss(Protocol):
    """Where the labels are; on the device and in the dtype of the problems."""

    def at(self, score_BCN: Rows, weight_BN: Weights) -> Point:
        """The loss about some decision values, with each row's weight."""


@dataclass(frozen=True, eq=False)
class _LogisticPoint(Point):
    residual_BCN: Rows
    diagonal_BCN: Rows

    def curvature(self, step_BCN: Rows) -> PerProblem:
        return (self.diagonal_BCN * step_BCN.square()).sum((1, 2))

    def hessian(self) -> Float[Tensor, "b c c n"]:
        return self.diagonal_BCN[:, None]

    def __getitem__(self, some: Tensor) -> _LogisticPoint:
        return _LogisticPoint(self.residual_BCN[some], self.diagonal_BCN[some])


@dataclass(frozen=True, eq=False)
class Logistic:
    """log(1 + exp(-sign * score)), one score a row; positive is the second class."""

    sign_N: Float[Tensor, " n"]

    def at(self, score_BCN: Rows, weight_BN: Weights) -> Point:
        """See `Loss`."""
        # The probability of the class a row is not of. In 1 - p a well classified row would lose
        # its digits, and such rows carry a separable fit.
        wrong_BCN = torch.sigmoid(-self.sign_N * score_BCN)
        pull_BCN = wrong_BCN * weight_BN[:, None]
        return _LogisticPoint(
            -self.sign_N * pull_BCN, pull_BCN.addcmul(pull_BCN, wrong_BCN, value=-1)
        )


@dataclass(frozen=True, eq=False)
class _SoftmaxPoint(Point):
    residual_BCN: Rows
    diagonal_BCN: Rows
    prob_BCN: Rows
    weight_BN: Weights

    def curvature(self, step_BCN: Rows) -> PerProblem:
        mean_B1N = (self.prob_BCN * step_BCN).sum(1, keepdim=True)
        variance_BN = (self.prob_BCN * (step_BCN - mean_B1N).square()).sum(1)
        return (variance_BN * self.weight_BN).sum(1)

    def hessian(self) -> Float[Tensor, "b c c n"]:
        weighted_BCN = self.prob_BCN * self.weight_BN[:, None]
        own_BCCN = torch.diag_embed(weighted_BCN.movedim(1, 2)).movedim(1, 3)
        return own_BCCN - weighted_BCN[:, :, None] * self.prob_BCN[:, None]

    def __getitem__(self, some: Tensor) -> _SoftmaxPoint:
        return _SoftmaxPoint(
            self.residual_BCN[some],
            self.diagonal_BCN[some],
            self.prob_BCN[some],
            self.weight_BN[some],
        )


@dataclass(frozen=True, eq=False)
class Softmax:
    """logsumexp(scores) - score of the row's own class, one score a class."""

    is_class_CN: Float[Tensor, "c n"]

    def at(self, score_BCN: Rows, weight_BN: Weights) -> Point:
        """See `Loss`."""
        prob_BCN = torch.softmax(score_BCN, dim=1)
        # A row's own class gets minus the sum of the others, for the digits as above.
        other_BCN = prob_BCN * (1 - self.is_class_CN)
        residual_BCN = other_BCN - self.is_class_CN * other_BCN.sum(1, keepdim=True)
        weight_B1N = weight_BN[:, None]
        diagonal_BCN = prob_BCN * (1 - prob_BCN) * weight_B1N
        return _SoftmaxPoint(residual_BCN * weight_B1N, diagonal_BCN, prob_BCN, weight_BN)


def loss_of(class_N: np.ndarray, n_classes: int, like: Tensor) -> Loss:
    """The loss for these labels, on the device and in the dtype of `like`."""
    if n_classes == 2:
        return Logistic(torch.as_tensor(2 * class_N - 1).to(like))
    return Softmax(torch.as_tensor(class_N[None] == np.arange(n_classes)[:, None]).to(like))
