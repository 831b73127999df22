"""Ridge regression for a path of penalties, every row predicted without itself, in closed form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from torch import Tensor

from interp.errors import InputError
from interp.probes.engine.problems import Cell, each_cell, name_rows
from interp.probes.engine.standardise import scaling_of


@dataclass(frozen=True, eq=False)
class RidgePath(Generic[Cell]):
    """Ridge fits of every cell and penalty.

    Axes: K cells, P penalties, N rows, D columns, T targets (absent where one was given).

    Attributes:
        cells: as they came.
        penalties: as they came.
        left_out: prediction of each row from a fit without it, or without its group, [K, P, N, T].
        coef: of the fit on all rows, on the activations as they were given, [K, P, D, T].
        intercept: [K, P, T].
    """

    cells: tuple[Cell, ...]
    penalties: tuple[float, ...]
    left_out: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray


def ridge_path(
    acts: Mapping[Cell, Tensor] | Iterable[tuple[Cell, Tensor]],
    targets: Sequence[float] | np.ndarray,
    penalties: Sequence[float],
    *,
    groups: Sequence[object] | np.ndarray | None = None,
) -> RidgePath[Cell]:
    """Least squares with penalty * |v|^2 on standardised columns, bias free, for many targets.

    One eigendecomposition a cell (of Z'Z, or of ZZ' with fewer rows than columns) serves all
    penalties and targets. With H the matrix that takes targets to fitted values, rows S that are
    left out together are predicted by y_S - (I - H_SS)^-1 (y_S - fitted_S): the exact refit
    without them (for single rows: Allen's PRESS; Golub, Heath & Wahba 1979). Columns are
    standardised over all rows, the left-out ones included.

    Args:
        acts: cell -> activations (n, d), or pairs taken one by one.
        targets: (n,) or (n, t); labels as numbers, such as -1 and 1, or several shufflings.
        penalties: above 0; scikit-learn's `Ridge(alpha)`.
        groups: entity or minimal pair of each row; rows of a group are left out together.

    Raises:
        InputError: names the rows, the penalty or the cell that is wrong.
    """
    target_NT = np.asarray(targets, dtype=float)
    if target_NT.ndim not in (1, 2) or not len(target_NT):
        raise InputError(f"ridge: targets of shape {target_NT.shape}; expected (n,) or (n, t).")
    squeeze = target_NT.ndim == 1
    target_NT = target_NT.reshape(len(target_NT), -1)
    if not np.isfinite(target_NT).all():
        rows = name_rows(~np.isfinite(target_NT).all(1))
        raise InputError(f"ridge: a target is NaN or Inf in {rows}; drop those rows.")
    for penalty in penalties:
        if not (np.isfinite(penalty) and penalty > 0):
            raise InputError(f"ridge: penalty is {penalty}; expected a finite number above 0.")
    together = _together(groups, len(target_NT))
    cells: list[Cell] = []
    parts: list[list[np.ndarray]] = []
    for cell, acts_ND in each_cell(acts, len(target_NT)):
        parts.append(_one_cell(acts_ND, target_NT, penalties, together))
        cells.append(cell)
    left_out, coef, intercept = (np.stack(field) for field in zip(*parts, strict=True))
    if squeeze:
        left_out, coef, intercept = left_out[..., 0], coef[..., 0], intercept[..., 0]
    return RidgePath(tuple(cells), tuple(map(float, penalties)), left_out, coef, intercept)


def _together(groups: Sequence[object] | np.ndarray | None, n_rows: int) -> list[np.ndarray]:
    """Row indices of the groups, [groups, size], one array for each size of group."""
    if groups is None:
        return [np.arange(n_rows)[:, None]]
    group_N = np.asarray(groups)
    if group_N.shape != (n_rows,):
        raise InputError(
            f"ridge: groups of shape {group_N.shape} for {n_rows} targets; expected one a row."
        )
    _, index_N, size_G = np.unique(group_N, return_inverse=True, return_counts=True)
    if len(size_G) < 2:
        raise InputError(
            f"ridge: all {n_rows} rows are of the group {group_N[0]}; leaving it out leaves none."
        )
    by_group = np.split(np.argsort(index_N, kind="stable"), np.cumsum(size_G)[:-1])
    return [
        np.stack([rows for rows in by_group if len(rows) == size]) for size in np.unique(size_G)
    ]


def _one_cell(
    acts_ND: Tensor, target_NT: np.ndarray, penalties: Sequence[float], together: list[np.ndarray]
) -> list[np.ndarray]:
    """Left-out predictions, coefficients and intercepts of one cell."""
    scaling = scaling_of(acts_ND, torch.ones(1, len(acts_ND)).to(acts_ND.device, torch.float64))
    z_ND = scaling.common(acts_ND, torch.float64)
    target = torch.as_tensor(target_NT).to(z_ND)
    mean_T = target.mean(0)
    centred_NT = target - mean_T
    if z_ND.shape[0] > z_ND.shape[1]:
        square_R, basis_DR = torch.linalg.eigh(z_ND.mT @ z_ND)
        square_R = square_R.clamp(min=0)
        lengths_NR, to_coef_DR = z_ND @ basis_DR, basis_DR
    else:
        square_R, side_NR = torch.linalg.eigh(z_ND @ z_ND.mT)
        square_R = square_R.clamp(min=0)
        root_R = square_R.sqrt()
        # Eigenvalues that are rounding have no direction; their rows project to nothing.
        real_R = square_R > square_R.max() * len(z_ND) * torch.finfo(torch.float64).eps
        lengths_NR = side_NR * root_R
        to_coef_DR = z_ND.mT @ (side_NR * torch.where(real_R, 1 / root_R, 0.0))
    along_RT = lengths_NR.mT @ centred_NT
    left_out, coef, intercept = [], [], []
    for penalty in penalties:
        weight_RT = along_RT / (square_R + penalty)[:, None]
        residual_NT = centred_NT - lengths_NR @ weight_RT
        out_NT = torch.empty_like(residual_NT)
        for rows in together:
            rows_GS = torch.as_tensor(rows).to(z_ND.device)
            block_GSR = lengths_NR[rows_GS]
            hat_GSS = block_GSR / (square_R + penalty) @ block_GSR.mT + 1 / len(z_ND)
            kept_GSS = torch.eye(rows.shape[1]).to(hat_GSS) - hat_GSS
            out_NT[rows_GS] = torch.linalg.solve(kept_GSS, residual_NT[rows_GS])
        coef_DT = scaling.per_unit_D[:, None] * (to_coef_DR @ weight_RT)
        left_out.append(target - out_NT)
        coef.append(coef_DT)
        intercept.append(mean_T - scaling.center_D @ coef_DT)
    return [torch.stack(part).cpu().numpy() for part in (left_out, coef, intercept)]
