"""P(IK): the probability that a model knows the answer, read from its activations beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit
from torch import Tensor

from interp.activations import Activations, Site
from interp.errors import InputError
from interp.probes.engine.problems import Cell
from interp.probes.folds import Fold, check_apart, check_folds, grouped_folds
from interp.probes.linear import as_matrix
from interp.probes.nested import CS
from interp.probes.platt import platt
from interp.probes.solver import solve


@dataclass(frozen=True, eq=False)
class PIk(Generic[Cell]):
    """Held-out probabilities of knowing.

    Attributes:
        probability_N: of each row, by the probe that held it out, calibrated: Platt's sigmoid of
            its log odds, fitted on held-out rows of the inner folds.
        logistic_N: the probe's own probability, uncalibrated.
        cell_F: the cell (layer, position) that each outer fold's inner folds chose.
        c_F: and the inverse penalty.
        platt_F2: slope (0: the base rate alone) and offset of each outer fold's sigmoid.
        certified: share of all fits that are certified as converged.
    """

    probability_N: np.ndarray
    logistic_N: np.ndarray
    cell_F: tuple[Cell, ...]
    c_F: np.ndarray
    platt_F2: np.ndarray
    certified: float

    def frame(self, prompt_ids: Sequence[object]) -> pd.DataFrame:
        """Columns prompt_id, p_ik and p_ik_logistic: sources of `confidence_items`.

        Raises:
            InputError: not one id a row.
        """
        if len(prompt_ids) != len(self.probability_N):
            raise InputError(
                f"P(IK): {len(prompt_ids)} prompt ids for {len(self.probability_N)} rows; expected "
                "one each."
            )
        read = {"p_ik": self.probability_N, "p_ik_logistic": self.logistic_N}
        return pd.DataFrame({"prompt_id": list(prompt_ids)} | read)


def layers_at(
    activations: Activations, position: str = "last_prompt"
) -> dict[Site, Float[Tensor, "n d"]]:
    """The cells of a P(IK) probe: every captured site at one position, the question's end.

    Args:
        activations: of the questions.
        position: where they are read.

    Raises:
        InputError: nothing was captured at the position.
    """
    return {site: activations.read(site, position) for site in activations.sites}


def p_ik(
    acts: Mapping[Cell, Float[Tensor, "n d"]],
    correct: Sequence[bool | float] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    folds: Sequence[Fold],
    *,
    cs: Sequence[float] = CS,
    n_inner: int = 4,
    seed: int,
) -> PIk[Cell]:
    """Probability that the model's own answer to each prompt is right, from a linear probe.

    Source: P(IK), Kadavath et al. 2022 (arXiv 2207.05221), who train a head, here a linear probe of
    one layer, on how many of the model's sampled answers are right. It is read before the answer:
    SAPLMA (arXiv 2304.13734) probes whether a statement read is true, and arXiv 2410.02707 mainly
    the tokens of an answer that was given. Layer and penalty are those of the lowest log loss on
    the held-out rows of inner folds, and `interp.probes.platt`'s sigmoid is fitted on the same
    rows: no row has a part in what reads it.

    Args:
        acts: cell -> activations, the same rows in all, as from `layers_at`.
        correct: for each row whether the answer was right, or the share of sampled answers that
            were: of a share s a row counts s as right and 1 - s as wrong.
        groups: entity (or minimal pair) of each row, which folds keep together.
        folds: outer folds, from `grouped_folds`.
        cs: inverse penalties to choose from.
        n_inner: inner folds of each outer fold.
        seed: of the inner folds.

    Raises:
        InputError: a share outside [0, 1], a group on both sides of a fold, folds that do not hold
            out every row once, or as `grouped_folds` and `solve`.
    """
    reader = _fitted(acts, correct, groups, folds, cs, n_inner, seed)
    return reader.read(acts, "model")


def p_ik_transfer(
    parent_acts: Mapping[Cell, Float[Tensor, "n d"]],
    child_acts: Mapping[Cell, Float[Tensor, "child_n child_d"]],
    correct: Sequence[bool | float] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    folds: Sequence[Fold],
    *,
    cs: Sequence[float] = CS,
    n_inner: int = 4,
    seed: int,
) -> tuple[PIk[Cell], PIk[Cell]]:
    """P(IK) of the parent, and the parent's probes read unchanged on the child.

    Whether the child's activations still say what it knows is seen by holding the second beside
    what the child gets right; nothing of the child is fitted, its sigmoid neither.

    Args:
        parent_acts: cell -> the parent's activations.
        child_acts: the child's, of the same rows and the same cells.
        correct: for each row of the parent's answers, as for `p_ik`.
        groups: as for `p_ik`.
        folds: as for `p_ik`; the child's held-out rows are those of the parent.
        cs: as for `p_ik`.
        n_inner: as for `p_ik`.
        seed: as for `p_ik`.

    Raises:
        InputError: a cell that the child lacks, or has in another shape; or as `p_ik`.
    """
    if missing := [cell for cell in parent_acts if cell not in child_acts]:
        raise InputError(
            f"P(IK): the child has no activations of {missing[0]}, which the parent has; capture "
            "the same sites and positions in both."
        )
    reader = _fitted(parent_acts, correct, groups, folds, cs, n_inner, seed)
    return reader.read(parent_acts, "parent"), reader.read(child_acts, "child")


@dataclass(frozen=True, eq=False)
class _Reader(Generic[Cell]):
    """What each outer fold reads its held-out rows by."""

    folds: Sequence[Fold]
    label_N: np.ndarray
    cell_F: tuple[Cell, ...]
    c_F: np.ndarray
    coef_FD: np.ndarray
    intercept_F: np.ndarray
    platt_F2: np.ndarray
    certified: float

    def read(self, acts: Mapping[Cell, Tensor], whose: str) -> PIk[Cell]:
        logit_N, platt_N = np.empty((2, len(self.label_N)))
        for number, (_, held_out) in enumerate(self.folds):
            acts_ND = acts[self.cell_F[number]]
            expected = (len(self.label_N), self.coef_FD.shape[1])
            if tuple(acts_ND.shape) != expected:
                raise InputError(
                    f"P(IK): activations of {self.cell_F[number]} in the {whose} have the shape "
                    f"{tuple(acts_ND.shape)}; expected {expected}, the same rows and width."
                )
            logit_M = (
                as_matrix(acts_ND[held_out], self.label_N[held_out]) @ self.coef_FD[number]
                + self.intercept_F[number]
            )
            logit_N[held_out] = logit_M
            slope, offset = self.platt_F2[number]
            platt_N[held_out] = slope * logit_M + offset
        return PIk(
            expit(platt_N), expit(logit_N), self.cell_F, self.c_F, self.platt_F2, self.certified
        )


def _fitted(
    acts: Mapping[Cell, Tensor],
    correct: Sequence[bool | float] | np.ndarray,
    groups: Sequence[object] | np.ndarray,
    folds: Sequence[Fold],
    cs: Sequence[float],
    n_inner: int,
    seed: int,
) -> _Reader[Cell]:
    share_N, group_N = _shares(correct), np.asarray(groups)
    # Of right and wrong answers the right ones; of shares those above the mean.
    check_folds(folds, share_N >= share_N.mean())
    check_apart(folds, group_N)
    inner = [_within(fitted, share_N, group_N, n_inner, seed) for fitted, _ in folds]
    # A row of some right answers stands for two, a right one and a wrong one.
    mixed = np.flatnonzero((share_N > 0) & (share_N < 1))
    row_E = np.concatenate([np.arange(len(share_N)), mixed])
    label_E = np.concatenate([share_N > 0, np.zeros(len(mixed), dtype=bool)])
    weight_E = np.concatenate([np.where(share_N > 0, share_N, 1.0), 1 - share_N[mixed]])
    second_N = np.full(len(share_N), -1)
    second_N[mixed] = len(share_N) + np.arange(len(mixed))
    together = [
        (np.concatenate([fitted, second_N[fitted][second_N[fitted] >= 0]]), held_out)
        for fitted, held_out in [*folds, *(fold for of_one in inner for fold in of_one)]
    ]
    pairs = ((cell, acts[cell][row_E] if len(mixed) else acts[cell]) for cell in acts)
    solution = solve(pairs, label_E, together, cs, weights=weight_E)
    cells, penalties, platts = [], [], []
    for number, of_one in enumerate(inner):
        first = len(folds) + number * n_inner
        logit_KPM = np.concatenate(solution.held_out[first : first + n_inner], axis=2)
        share_M = share_N[np.concatenate([held_out for _, held_out in of_one])]
        loss_KP = (np.logaddexp(0, logit_KPM) - share_M * logit_KPM).mean(2)
        cell, penalty = np.unravel_index(loss_KP.argmin(), loss_KP.shape)
        cells.append(int(cell))
        penalties.append(int(penalty))
        platts.append(platt(logit_KPM[cell, penalty], share_M))
    chosen = (cells, np.arange(len(folds)), penalties)
    return _Reader(
        folds,
        share_N > 0,
        tuple(solution.cells[cell] for cell in cells),
        np.asarray(solution.cs)[penalties],
        solution.coef[chosen],
        solution.intercept[chosen],
        np.array(platts),
        float(solution.certificates.certified.mean()),
    )


def _within(
    fitted: np.ndarray, share_N: np.ndarray, group_N: np.ndarray, n_inner: int, seed: int
) -> list[Fold]:
    """Folds of an outer fold's fitted rows."""
    above_M = share_N[fitted] >= share_N[fitted].mean()
    inside = grouped_folds(group_N[fitted], above_M, n_inner, seed)
    return [(fitted[fit], fitted[held_out]) for fit, held_out in inside]


def _shares(correct: Sequence[bool | float] | np.ndarray) -> np.ndarray:
    share_N = np.asarray(correct, dtype=float)
    bad = np.flatnonzero(~((share_N >= 0) & (share_N <= 1)))
    if share_N.ndim != 1 or len(bad):
        what = f"row {bad[0]} has {share_N[bad[0]]}" if len(bad) else f"shape {share_N.shape}"
        raise InputError(
            f"P(IK): {what} for its right answers; expected true or false a row, or the share of "
            "samples that were right, from 0 to 1."
        )
    return share_N
