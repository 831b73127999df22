"""All folds and penalties of one cell: in float32, judged in float64, mended in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.probes.engine.batch import Batch
from interp.probes.engine.bounds import Target
from interp.probes.engine.certificates import Certificates, Judged, judge
from interp.probes.engine.descent import Directions, descend
from interp.probes.engine.design import Design, design_of
from interp.probes.engine.lbfgs import QuasiNewton
from interp.probes.engine.losses import loss_of
from interp.probes.engine.newton import LARGEST, Newton, hessian_size
from interp.probes.engine.problems import Problems
from interp.probes.engine.shifted import Ratios
from interp.probes.engine.standardise import Scaling, scaling_of

_MARGIN = 0.7
"""Share of the target to reach in float32, so that float64 agrees that it was reached."""
_NEAR = 30.0
"""Times the target from which rounding is to blame and float64 will do; beyond, it is Newton's."""
_MENDING = 60
"""Iterations at most of each kind in float64."""


@dataclass(frozen=True, eq=False)
class CellFits:
    """The fits of one cell, as `interp.probes.Solution` has them of all."""

    held_out: list[np.ndarray]
    coef: Float[np.ndarray, "f p ..."]
    intercept: Float[np.ndarray, "f p ..."]
    certificates: Certificates


def fit_cell(
    acts_ND: Float[Tensor, "n d"], problems: Problems, target: Target, max_iter: int
) -> CellFits:
    """Fits every (fold, penalty) on the activations of one cell.

    Args:
        acts_ND: activations, any float dtype and device.
        problems: what to fit.
        target: when a fit is certified.
        max_iter: L-BFGS iterations at most, in each precision.

    Raises:
        InputError: an activation that is not finite.
    """
    weight_FN = torch.as_tensor(problems.weight_FN).to(acts_ND.device)
    scaling = scaling_of(acts_ND, weight_FN)
    start = _start(problems, scaling, weight_FN)
    design = _design(scaling.common(acts_ND, torch.float32), problems)
    loss = loss_of(problems.class_N, len(problems.classes), design.x_ND)
    theta_BCE, uneven_B, iterations_B = descend(
        design,
        loss,
        start.to(torch.float32),
        QuasiNewton(design),
        target.stricter(_MARGIN),
        max_iter,
    )
    wide_loss = loss_of(problems.class_N, len(problems.classes), weight_FN)
    fits = start.at(theta_BCE.double(), start.score_BCN)
    judged = judge(acts_ND, scaling, wide_loss, fits, uneven_B.double())
    over_B = judged.over(target)
    if bool((over_B > 1).any()):
        wide = design.widened(scaling.common(acts_ND, torch.float64))
        most = min(max_iter, _MENDING)

        def mended(rest: Tensor, directions: Directions) -> Judged:
            """The judged fits, with some of them carried on in float64."""
            batch = start.at(judged.theta_BCE, judged.score_BCN)[rest]
            theta, uneven, more = descend(wide, wide_loss, batch, directions, target, most)
            iterations_B[rest] += more
            batch = batch.at(theta, batch.score_BCN)
            return judged.mended(rest, judge(acts_ND, scaling, wide_loss, batch, uneven))

        near = torch.nonzero((over_B > 1) & (over_B < _NEAR)).flatten()
        if len(near):
            judged = mended(near, QuasiNewton(wide))
        if hessian_size(start) <= LARGEST:
            for one in torch.nonzero(judged.over(target) > 1):
                judged = mended(one, Newton(wide.x_ND, start[one]))
    return _in_original_units(judged, target, iterations_B, start, problems, scaling)


def _start(problems: Problems, scaling: Scaling, weight_FN: Tensor) -> Batch:
    """No coefficients, and the bias that the classes' shares call for."""
    n_penalties = len(problems.cs)
    fold_B = torch.arange(len(weight_FN), device=weight_FN.device).repeat_interleave(n_penalties)
    share_FC = np.stack(
        [problems.weight_FN[:, problems.class_N == c].sum(1) for c in range(len(problems.classes))],
        axis=1,
    )
    log_FC = np.log(share_FC)
    if problems.n_scores == 1:
        log_FC = log_FC[:, 1:] - log_FC[:, :1]
    else:
        log_FC = log_FC - log_FC.mean(1, keepdims=True)
    bias_BC = torch.as_tensor(log_FC).to(weight_FN)[fold_B]
    theta_BCE = weight_FN.new_zeros(*bias_BC.shape, len(scaling.center_D) + 1)
    theta_BCE[..., -1] = bias_BC
    return Batch(
        weight_BN=weight_FN[fold_B],
        inverse_BD=scaling.inverse_FD[fold_B],
        mean_BD=scaling.mean_FD[fold_B],
        penalty_B=1 / torch.as_tensor(np.array(problems.cs)).to(weight_FN).repeat(len(weight_FN)),
        total_B=weight_FN.sum(1)[fold_B],
        theta_BCE=theta_BCE,
        score_BCN=bias_BC[..., None].repeat(1, 1, problems.n_rows),
    )


def _design(x_ND: Tensor, problems: Problems) -> Design:
    # A row's curvature is 1/4 before the fit; saturated, its mean has been seen to fall to 1/100.
    rows_a_weight = problems.n_rows / problems.total_F
    ratios = Ratios(
        least=float(4 / max(problems.cs) * rows_a_weight.min()),
        most=float(4 / min(problems.cs) * rows_a_weight.max()),
    )
    return design_of(x_ND, torch.as_tensor(problems.row_weight_N).to(x_ND), ratios)


def _in_original_units(
    judged: Judged,
    target: Target,
    iterations_B: Tensor,
    start: Batch,
    problems: Problems,
    scaling: Scaling,
) -> CellFits:
    """Coefficients on the activations as they were given, and the held-out decision values."""
    n_folds, n_penalties = len(problems.folds), len(problems.cs)
    common_BCD = judged.theta_BCE[..., :-1] * start.inverse_BD[:, None]
    coef_BCD = common_BCD * scaling.per_unit_D
    bias_BC = judged.theta_BCE[..., -1] - (common_BCD @ start.mean_BD[..., None])[..., 0]
    bias_BC = bias_BC - coef_BCD @ scaling.center_D
    score_FPCN = judged.score_BCN.unflatten(0, (n_folds, n_penalties)).cpu().numpy()
    held_out = [
        np.moveaxis(score_FPCN[fold][..., rows], 1, 2)
        for fold, (_, rows) in enumerate(problems.folds)
    ]
    coef_FPCD = coef_BCD.unflatten(0, (n_folds, n_penalties)).cpu().numpy()
    bias_FPC = bias_BC.unflatten(0, (n_folds, n_penalties)).cpu().numpy()
    if problems.n_scores == 1:
        held_out = [score_PMC[..., 0] for score_PMC in held_out]
        coef_FPCD, bias_FPC = coef_FPCD[:, :, 0], bias_FPC[..., 0]
    certificates = Certificates(
        certified=(judged.over(target) <= 1).cpu().numpy(),
        decision_error=judged.decision_error_B.cpu().numpy(),
        gradient=judged.gradient_B.cpu().numpy(),
        gap=judged.gap_B.cpu().numpy(),
        iterations=iterations_B.cpu().numpy(),
    )
    return CellFits(held_out, coef_FPCD, bias_FPC, certificates.reshape(n_folds, n_penalties))
