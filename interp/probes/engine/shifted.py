"""Inverses of a Gram matrix plus multiples of the identity, for preconditioning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_DECADES = 2
"""Shifts this far apart leave every problem within a factor of ten of one of them."""
_BLOCK = 256
_PAD = 8
"""Rows added before Cholesky: at a width of a multiple of 512, as models have, a CPU's cache holds
few rows at once, and the factorisation takes three times as long."""


@dataclass(frozen=True)
class Ratios:
    """The smallest and largest shift that will be asked for."""

    least: float
    most: float


class ShiftedInverse:
    """(G + shift)^-1 for any shift, nearly: inverted for a few, and the nearest is used.

    By Cholesky. The hardest problems then take as many iterations as with an eigendecomposition,
    which is exact for all shifts and takes twice the time (measured, 1536 columns).
    """

    def __init__(self, gram_RR: Float[Tensor, "r r"], ratios: Ratios):
        size, trace = len(gram_RR), float(gram_RR.diagonal().double().sum())
        # Below the floors a shift is lost in float32, or below all of the spectrum.
        floor = max(1e-6 * trace, 1e-3 * trace / size, torch.finfo(gram_RR.dtype).tiny)
        low, high = (math.log10(max(ratio, floor)) for ratio in (ratios.least, ratios.most))
        n_shifts = max(1, math.ceil((high - low) / _DECADES - 1e-9))
        self._logs = [low + (high - low) * (k + 0.5) / n_shifts for k in range(n_shifts)]
        self._inverses = []
        for log in self._logs:
            padded = gram_RR.new_zeros(size + _PAD, size + _PAD)
            padded[:size, :size] = gram_RR
            padded.diagonal().add_(10**log)
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(padded))
            # Symmetric, so the transpose is the same and lies row by row.
            self._inverses.append(inverse.mT[:size, :size])

    def __call__(
        self, vector_MR: Float[Tensor, "m r"], shift_M: Float[Tensor, " m"]
    ) -> Float[Tensor, "m r"]:
        """Every vector times the inverse at its own shift."""
        if len(self._inverses) == 1:
            return self._times(vector_MR, self._inverses[0])
        logs = torch.tensor(self._logs).to(shift_M)
        nearest_M = torch.bucketize(shift_M.log10(), (logs[1:] + logs[:-1]) / 2)
        product_MR = torch.empty_like(vector_MR)
        for number, inverse_RR in enumerate(self._inverses):
            here = torch.nonzero(nearest_M == number).flatten()
            if len(here):
                product_MR[here] = self._times(vector_MR[here], inverse_RR)
        return product_MR

    @staticmethod
    def _times(vector_MR: Tensor, inverse_RR: Tensor) -> Tensor:
        return (vector_MR.to(inverse_RR.dtype) @ inverse_RR).to(vector_MR.dtype)


def gram(left_RK: Float[Tensor, "r k"]) -> Float[Tensor, "r r"]:
    """A matrix times its own transpose: half of the blocks, the rest by symmetry."""
    size = len(left_RK)
    gram_RR = left_RK.new_empty(size, size)
    for start in range(0, size, _BLOCK):
        rows = slice(start, min(start + _BLOCK, size))
        gram_RR[rows, start:] = left_RK[rows] @ left_RK[start:].mT
        gram_RR[rows.stop :, rows] = gram_RR[rows, rows.stop :].mT
    return gram_RR
