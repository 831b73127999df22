"""An approximate inverse of every problem's Hessian, from one Gram matrix a cell."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import onto_rows

_DECADES_A_SHIFT = 2
"""Shifts this far apart leave every problem within a factor of ten of one of them."""
_BLOCK = 256
_PAD = 8
"""Rows added before Cholesky: at a width of a multiple of 512, as models have, the CPU's cache holds
few rows at once and the factorisation takes three times as long."""


class Preconditioner:
    """The inverse of `penalty + omega * X'X`, for any penalty and omega, nearly.

    `X'X` stands for all folds and for every row's curvature: what a fold leaves out, and what sets
    rows apart in saturated fits, is left to the iteration. The inverse is taken for a few ratios
    penalty / omega, by Cholesky, and each problem uses the nearest: the hardest problems then take
    as many iterations as with an eigendecomposition, which is exact for all ratios and takes twice
    the time (measured, 1536 columns). With fewer rows than columns it is `XX'` that is inverted
    (Woodbury's identity).
    """

    def __init__(
        self,
        x_ND: Float[Tensor, "n d"],
        row_weight_N: Float[Tensor, " n"] | None,
        least_ratio: float,
        most_ratio: float,
    ):
        """Inverts the Gram matrix at some shifts.

        Args:
            x_ND: activations in the common scale.
            row_weight_N: of mean 1, or None where all are 1.
            least_ratio: the smallest penalty / omega that will be asked for.
            most_ratio: the largest.
        """
        n, d = x_ND.shape
        if row_weight_N is not None:
            x_ND = x_ND * row_weight_N.sqrt().to(x_ND)[:, None]
        self._x_ND, self._is_tall = x_ND, n > d
        gram_RR = _gram(x_ND.mT if self._is_tall else x_ND)
        trace = float(gram_RR.diagonal().double().sum())
        # Below the floors a shift is lost in float32, or below all of the spectrum.
        floor = max(1e-6 * trace, 1e-3 * trace / len(gram_RR), torch.finfo(x_ND.dtype).tiny)
        low, high = (math.log10(max(ratio, floor)) for ratio in (least_ratio, most_ratio))
        n_shifts = max(1, math.ceil((high - low) / _DECADES_A_SHIFT - 1e-9))
        self._log_shifts = [
            low + (high - low) * (number + 0.5) / n_shifts for number in range(n_shifts)
        ]
        self._inverses = []
        for log_shift in self._log_shifts:
            padded = gram_RR.new_zeros(len(gram_RR) + _PAD, len(gram_RR) + _PAD)
            padded[:-_PAD, :-_PAD] = gram_RR
            padded.diagonal().add_(10**log_shift)
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(padded))
            # Symmetric, so the transpose is the same and lies row by row.
            self._inverses.append(inverse.mT[:-_PAD, :-_PAD])

    def __call__(
        self, gradient_MD: Float[Tensor, "m d"], penalty_M: Tensor, omega_M: Tensor
    ) -> Float[Tensor, "m d"]:
        """Newton-like steps (uphill) for some gradients, each with its penalty and omega."""
        log_ratio_M = (penalty_M / omega_M).log10()
        log_shifts = torch.tensor(self._log_shifts).to(log_ratio_M)
        nearest_M = torch.bucketize(log_ratio_M, (log_shifts[1:] + log_shifts[:-1]) / 2)
        small_MD = gradient_MD.to(self._x_ND.dtype)
        if self._is_tall:
            step_MD = self._by_shift(small_MD, nearest_M)
        else:
            inner_MN = self._by_shift(onto_rows(self._x_ND, small_MD), nearest_M)
            step_MD = (small_MD - inner_MN @ self._x_ND) / (10 ** log_shifts[nearest_M, None])
        return step_MD.to(gradient_MD.dtype) / omega_M[:, None]

    def _by_shift(self, vector_MR: Tensor, nearest_M: Tensor) -> Tensor:
        if len(self._inverses) == 1:
            return vector_MR @ self._inverses[0]
        product_MR = torch.empty_like(vector_MR)
        for number, inverse_RR in enumerate(self._inverses):
            here = torch.nonzero(nearest_M == number).flatten()
            if len(here):
                product_MR[here] = vector_MR[here] @ inverse_RR
        return product_MR


def _gram(left_RK: Tensor) -> Float[Tensor, "r r"]:
    """A matrix times its own transpose: half of the blocks, the rest by symmetry."""
    size = len(left_RK)
    gram_RR = left_RK.new_empty(size, size)
    for start in range(0, size, _BLOCK):
        rows = slice(start, min(start + _BLOCK, size))
        gram_RR[rows, start:] = left_RK[rows] @ left_RK[start:].mT
        gram_RR[rows.stop :, rows] = gram_RR[rows, rows.stop :].mT
    return gram_RR
