"""Latent scaling: is a latent of one model missing in the other, or only written elsewhere?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from interp.errors import InputError
from interp.features.crosscoder import Crosscoder


@dataclass(frozen=True, eq=False)
class LatentScaling:
    """Sums from which every scaling factor follows, kept by folds of rows for their intervals.

    Axes: F folds, C models (the first: whose decoder direction; the second: in which model), M
    latents.

    Attributes:
        active_FM: rows in which the latent is active.
        square_FM: its squared values, summed.
        reconstruction_FCCM: sum over rows of value * <direction, reconstruction>.
        error_FCCM: the same with what the reconstruction leaves over.
        gram_CCM: products of the latent's decoder vectors.
    """

    active_FM: np.ndarray
    square_FM: np.ndarray
    reconstruction_FCCM: np.ndarray
    error_FCCM: np.ndarray
    gram_CCM: np.ndarray

    def beta_reconstruction(self, kept_F: np.ndarray | None = None) -> np.ndarray:
        """Least-squares multiple of value * direction in the reconstruction, [C, C, M].

        NaN where the latent is never active, 0 where the direction has no length.
        """
        return self._beta(self.reconstruction_FCCM, 0.0, kept_F)

    def beta_error(self, kept_F: np.ndarray | None = None) -> np.ndarray:
        """The same in what is left over without this latent: the error, its own part put back."""
        return self._beta(self.error_FCCM, self.gram_CCM, kept_F)

    def _beta(
        self, along_FCCM: np.ndarray, put_back: np.ndarray | float, kept_F: np.ndarray | None
    ) -> np.ndarray:
        kept_F = np.ones(len(self.square_FM)) if kept_F is None else kept_F
        with np.errstate(divide="ignore", invalid="ignore"):
            along_CCM = np.einsum("f,fcem->cem", kept_F, along_FCCM) / (kept_F @ self.square_FM)
            length_CM = np.einsum("ccm->cm", self.gram_CCM)[:, None]
            return np.where(length_CM > 0, (along_CCM + put_back) / length_CM, 0 * along_CCM)

    def ratios(
        self, first: int, second: int, kept_F: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """The other model over the owner, for every latent; the longer decoder vector owns it.

        `nu_reconstruction` and `nu_error` are along the owner's direction (Minder et al. 2025,
        arXiv 2504.02922, section 2.3); `own_reconstruction` and `own_error` are the strengths
        (beta times length) along each model's own.
        """
        length_CM = np.sqrt(np.einsum("ccm->cm", self.gram_CCM))
        swap_M = length_CM[second] > length_CM[first]
        owner_M, other_M = np.where(swap_M, second, first), np.where(swap_M, first, second)
        each_M = np.arange(len(swap_M))
        found = {}
        for name, beta in (
            ("reconstruction", self.beta_reconstruction),
            ("error", self.beta_error),
        ):
            beta_CCM = beta(kept_F)
            in_owner_M = beta_CCM[owner_M, owner_M, each_M]
            with np.errstate(divide="ignore", invalid="ignore"):
                found[f"nu_{name}"] = beta_CCM[owner_M, other_M, each_M] / in_owner_M
                found[f"own_{name}"] = (
                    beta_CCM[other_M, other_M, each_M] * length_CM[other_M, each_M]
                ) / (in_owner_M * length_CM[owner_M, each_M])
        return found


class ScalingFitter:
    """Collects a `LatentScaling` over batches, in float64.

    Args:
        decoder_CMD: what each latent writes into each model at value 1; zeros where it writes
            nothing.
        n_folds: of rows.
    """

    def __init__(self, decoder_CMD: Float[Tensor, "models latents d"], n_folds: int = 10) -> None:
        self._decoder_CMD = decoder_CMD.detach().cpu().double().numpy()
        models, latents, _ = decoder_CMD.shape
        self._active_FM, self._square_FM = np.zeros((2, n_folds, latents))
        self._along_2FCCM = np.zeros((2, n_folds, models, models, latents))

    def update(
        self,
        code_NM: Float[Tensor, "n latents"],
        acts_NCD: Float[Tensor, "n models d"],
        reconstruction_NCD: Float[Tensor, "n models d"],
        fold: int = 0,
    ) -> None:
        """Adds rows of one fold, all in units in which the models' norms compare.

        Raises:
            InputError: another number of latents, models or width than the decoder's.
        """
        models, latents, d = self._decoder_CMD.shape
        if (code_NM.shape[1], *acts_NCD.shape[1:]) != (latents, models, d):
            raise InputError(
                f"latent scaling: codes {tuple(code_NM.shape)} and activations "
                f"{tuple(acts_NCD.shape)}; the decoder is of {latents} latents, {models} models "
                f"and width {d}."
            )
        code_MN = csr_matrix(code_NM.detach().cpu().double().numpy()).T
        self._active_FM[fold] += np.asarray((code_MN > 0).sum(1)).ravel()
        self._square_FM[fold] += np.asarray(code_MN.multiply(code_MN).sum(1)).ravel()
        wide, written = (part.detach().cpu().double() for part in (acts_NCD, reconstruction_NCD))
        for target, found_FCCM in zip((written, wide - written), self._along_2FCCM, strict=True):
            sum_MCD = (code_MN @ target.flatten(1).numpy()).reshape(latents, models, d)
            found_FCCM[fold] += np.einsum("cmd,med->cem", self._decoder_CMD, sum_MCD)

    def scaling(self) -> LatentScaling:
        """Of all rows so far.

        Raises:
            InputError: no latent was active in any row.
        """
        if not self._active_FM.any():
            raise InputError(
                f"latent scaling: none of {self._active_FM.shape[1]} latents is active in any row; "
                "a dead dictionary, or rows of another site or model."
            )
        gram_CCM = np.einsum("cmd,emd->cem", self._decoder_CMD, self._decoder_CMD)
        written_FCCM, error_FCCM = self._along_2FCCM
        return LatentScaling(self._active_FM, self._square_FM, written_FCCM, error_FCCM, gram_CCM)


def scale_latents(
    crosscoder: Crosscoder,
    rows_NCD: Float[Tensor, "n models d"],
    *,
    groups: Sequence[object] | np.ndarray | None = None,
    n_folds: int = 10,
    batch: int = 4096,
) -> LatentScaling:
    """Scaling of a crosscoder's latents on these rows, best rows that it was not trained on.

    Args:
        crosscoder: over the models.
        rows_NCD: as it was trained on.
        groups: prompt or entity of each row, for intervals over new ones; each row by itself when
            not given.
        n_folds: of groups.
        batch: rows at a time.

    Raises:
        InputError: rows that do not fit, fewer than two folds or more folds than groups, or no
            active latent.
    """
    fitter = ScalingFitter(crosscoder.decoder_CMD, n_folds)
    for fold, index_N in enumerate(folds_of(groups, len(rows_NCD), n_folds)):
        for index in index_N.split(batch):
            code_NM = crosscoder.encode(rows_NCD[index])
            own_NCD = crosscoder.standardise(rows_NCD[index])
            fitter.update(code_NM, own_NCD, crosscoder.decode(code_NM), fold)
    return fitter.scaling()


def folds_of(
    groups: Sequence[object] | np.ndarray | None, n_rows: int, n_folds: int
) -> list[Int[Tensor, " _"]]:
    """Row indices of each fold; rows of a group are in one."""
    unit_N = np.arange(n_rows)
    if groups is not None:
        unit_N = np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(unit_N) != n_rows:
        raise InputError(
            f"latent scaling: {len(unit_N)} groups for {n_rows} rows; expected one a row."
        )
    n_units = int(unit_N.max(initial=-1)) + 1
    if not 2 <= n_folds <= n_units:
        raise InputError(
            f"latent scaling: {n_folds} folds of {n_units} groups; expected at least two, and no "
            "more than there are groups."
        )
    return [torch.from_numpy(np.flatnonzero(unit_N % n_folds == fold)) for fold in range(n_folds)]
