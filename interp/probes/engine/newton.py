"""Newton's own directions, for the few problems that an approximate Hessian does not finish."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import Batch
from interp.probes.engine.losses import Point

LARGEST = 8192
"""Rows of the largest Hessian that is formed: half a gigabyte in float64."""


def hessian_size(batch: Batch) -> int:
    """Rows of the Hessian that `Newton` forms for one of these problems."""
    n_scores, width = batch.theta_BCE.shape[1:]
    return n_scores * min(width, batch.score_BCN.shape[2] + 1)


class Newton:
    """Minus the inverse Hessian times the gradient, of one problem.

    Nearly separable classes under a weak penalty leave a few rows that matter, with curvatures over
    many orders of magnitude; no preconditioner shared by folds knows them. With fewer rows than
    columns the Hessian is formed in the space that the rows span: outside it is the penalty alone.
    """

    def __init__(self, x_ND: Float[Tensor, "n d"], batch: Batch):
        """Lays the problem's standardised activations out.

        Args:
            x_ND: activations in the common scale, float64.
            batch: of one problem.
        """
        z_ND = (x_ND - batch.mean_BD) * batch.inverse_BD
        self._basis_DR = torch.linalg.qr(z_ND.mT).Q if z_ND.shape[0] < z_ND.shape[1] else None
        if self._basis_DR is not None:
            z_ND = z_ND @ self._basis_DR
        self._z_NS = torch.cat([z_ND, z_ND.new_ones(len(z_ND), 1)], 1)

    def direction(self, point: Point, batch: Batch, gradient_BCE: Tensor) -> Float[Tensor, "b c e"]:
        """Where to go from here."""
        slope_CD, penalty = gradient_BCE[0, :, :-1], batch.penalty_B[0]
        inside_CR = slope_CD if self._basis_DR is None else slope_CD @ self._basis_DR
        slope_CS = torch.cat([inside_CR, gradient_BCE[0, :, -1:]], 1)
        hessian = self._hessian(point.hessian()[0], float(penalty))
        factor, failed = torch.linalg.cholesky_ex(hessian)
        if int(failed):
            # Only where rounding has the last word: downhill at least.
            step_CS = -slope_CS / hessian.diagonal().view_as(slope_CS)
        else:
            step_CS = -torch.cholesky_solve(slope_CS.reshape(-1, 1), factor).view_as(slope_CS)
        step_CD = step_CS[:, :-1]
        if self._basis_DR is not None:
            outside_CD = slope_CD - inside_CR @ self._basis_DR.mT
            step_CD = step_CD @ self._basis_DR.mT - outside_CD / penalty
        return torch.cat([step_CD, step_CS[:, -1:]], 1)[None]

    def learn(self, step_BCE: Tensor, change_BCE: Tensor) -> None:
        """Nothing: every Hessian is formed anew."""

    def keep(self, some: Tensor) -> None:
        """Nothing: there is one problem."""

    def _hessian(self, curvature_CCN: Tensor, penalty: float) -> Float[Tensor, "m m"]:
        n_scores, width = len(curvature_CCN), self._z_NS.shape[1]
        hessian = self._z_NS.new_zeros(n_scores * width, n_scores * width)
        for a in range(n_scores):
            for b in range(a + 1):
                block_SS = (self._z_NS * curvature_CCN[a, b, :, None]).mT @ self._z_NS
                rows, columns = (slice(k * width, (k + 1) * width) for k in (a, b))
                hessian[rows, columns] = block_SS
                hessian[columns, rows] = block_SS.mT
        diagonal_CS = hessian.diagonal().view(n_scores, width)
        diagonal_CS[:, :-1] += penalty
        if n_scores > 1:
            # Biases all shifted by one number change nothing: any curvature there will do.
            hessian[width - 1 :: width, width - 1 :: width] += diagonal_CS[:, -1].mean()
        return hessian
