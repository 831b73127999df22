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

    def __init__(self, gram_RR: Float[Tensor, "r r"], ratios: Ratios, floor: float):
        """Inverts the matrix at a few shifts.

        Args:
            gram_RR: positive semidefinite.
            ratios: the shifts to be ready for.
            floor: the smallest shift to use, as a share of the trace.
        """
        size, trace = len(gram_RR), float(gram_RR.diagonal().double().sum())
        # A shift far below the mean eigenvalue is below nearly all of them, and does nothing.
        least = max(floor * trace, 1e-3 * trace / size, torch.finfo(gram_RR.dtype).tiny)
        low, high = (math.log10(max(ratio, least)) for ratio in (ratios.least, ratios.most))
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
    ) -> tuple[Float[Tensor, "m r"], Float[Tensor, " m"]]:
        """Every vector times the inverse at nearly its own shift, and the shift that was used."""
        logs = torch.tensor(self._logs).to(vector_MR)
        nearest_M = torch.bucketize(shift_M.log10().to(logs), (logs[1:] + logs[:-1]) / 2)
        product_MR = torch.empty_like(vector_MR)
        for number, inverse_RR in enumerate(self._inverses):
            here = torch.nonzero(nearest_M == number).flatten()
            if len(here):
                product_MR[here] = vector_MR[here] @ inverse_RR
        return product_MR, 10 ** logs[nearest_M]


def gram(left_RK: Float[Tensor, "r k"]) -> Float[Tensor, "r r"]:
    """A matrix times its own transpose: half of the blocks, the rest by symmetry."""
    size = len(left_RK)
    gram_RR = left_RK.new_empty(size, size)
    for start in range(0, size, _BLOCK):
        rows = slice(start, min(start + _BLOCK, size))
        gram_RR[rows, start:] = left_RK[rows] @ left_RK[start:].mT
        gram_RR[rows.stop :, rows] = gram_RR[rows, rows.stop :].mT
    return gram_RR
