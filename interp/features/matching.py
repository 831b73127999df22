"""Two dictionaries side by side: which latents are alike, and how often they fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import beta
from torch import Tensor

from interp.errors import InputError
from interp.features.crosscoder import moments
from interp.features.latent_scaling import LatentScaling, ScalingFitter, folds_of
from interp.stats import Weighted, hierarchical_bootstrap


@runtime_checkable
class SparseCoder(Protocol):
    """A dictionary of one model, such as SAELens' `SAE`."""

    W_dec: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """Activations [N, D] -> values of the latents [N, M]."""

    def decode(self, feature_acts: Tensor) -> Tensor:
        """The reconstruction [N, D]."""


@dataclass(frozen=True, eq=False)
class Matching:
    """For each latent of a first dictionary, the latent of a second that writes most like it.

    Attributes:
        index_M: of the second dictionary's latent; the first of several that are equal.
        cosine_M: of the two decoder vectors; 0 for a latent that writes nothing.
        mutual_M: whether the latent is also the nearest to its nearest.
        chance: what the best cosine stays below, with probability 0.95, for a direction that has
            nothing to do with the second dictionary, were all directions equally likely. Real
            activations are not so: calibrate on seeds of one model where it matters.
    """

    index_M: np.ndarray
    cosine_M: np.ndarray
    mutual_M: np.ndarray
    chance: float


def match_decoders(
    first_MD: Float[Tensor, "m d"], second_KD: Float[Tensor, "k other_d"], *, chunk: int = 4096
) -> Matching:
    """Nearest decoder directions, by cosine; the sign counts, since values are never negative.

    Sharkey et al. 2022 ("Taking features out of superposition with sparse autoencoders") compare
    dictionaries by the mean of these maxima.

    Args:
        first_MD: decoder, one latent a row, of any lengths.
        second_KD: of another dictionary in the same basis.
        chunk: rows of the first at a time.

    Raises:
        InputError: widths differ, a dictionary without latents, or NaN or Inf in one.
    """
    if first_MD.shape[1] != second_KD.shape[1] or not len(first_MD) or not len(second_KD):
        raise InputError(
            f"matching: decoders of shape {tuple(first_MD.shape)} and {tuple(second_KD.shape)}; "
            "expected (latents, d) with one d: two dictionaries of one site in models of one basis."
        )
    units = []
    for name, decoder in (("first", first_MD), ("second", second_KD)):
        wide = decoder.detach().double()
        bad = ~wide.isfinite().all(1)
        if bad.any():
            raise InputError(
                f"matching: NaN or Inf in latent {int(bad.int().argmax())} of the {name} decoder; "
                "train it again."
            )
        units.append(wide / wide.norm(dim=1, keepdim=True).clamp(min=torch.finfo(wide.dtype).tiny))
    first, second = units
    index_M = torch.empty(len(first), dtype=torch.long)
    cosine_M = torch.empty(len(first), dtype=torch.float64)
    back_K = torch.full((len(second),), -2.0, dtype=torch.float64)
    nearest_K = torch.zeros(len(second), dtype=torch.long)
    for start in range(0, len(first), chunk):
        cosine_mK = (first[start : start + chunk] @ second.T).cpu()
        cosine_M[start : start + chunk], index_M[start : start + chunk] = cosine_mK.max(1)
        best_K, row_K = cosine_mK.max(0)
        better_K = best_K > back_K
        nearest_K[better_K] = row_K[better_K] + start
        back_K[better_K] = best_K[better_K]
    writes_M = first.cpu().norm(dim=1) > 0
    mutual_M = (nearest_K[index_M] == torch.arange(len(first))) & writes_M
    return Matching(
        index_M.numpy(), cosine_M.numpy(), mutual_M.numpy(), _chance(len(second), first.shape[1])
    )


def firing_ratio(
    first_NM: np.ndarray | Tensor,
    second_NM: np.ndarray | Tensor,
    levels: Mapping[str, Sequence[object] | np.ndarray],
    *,
    seed: int,
    n_boot: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """How often matched latents fire in a second model over how often in the first.

    Half a row is added to both counts (Haldane 1956), so that a latent that falls silent has a
    ratio and an interval. The rows, such as the unanswerable prompts, are the same in both models.

    Args:
        first_NM: values of the latents in the first model (the parent); active above 0.
        second_NM: of the latents matched with them, column by column, on the same rows.
        levels: unit of each row, by the name of the level, from the top (scenario, entity, ...).
        seed: of the resampling.
        n_boot: number of resamples.
        level: coverage.

    Returns:
        A row a column: first_rate, second_rate, ratio, lo, hi; NaN limits where there are too few
        units (`interp.stats.hierarchical_bootstrap`), NaN throughout the last three where neither
        fires.

    Raises:
        InputError: shapes differ or a value is NaN, or as `hierarchical_bootstrap`.
    """
    first, second = (np.asarray(torch.as_tensor(part).cpu()) for part in (first_NM, second_NM))
    if first.ndim != 2 or first.shape != second.shape:
        raise InputError(
            f"firing ratio: values of shape {first.shape} and {second.shape}; expected (n, m) of "
            "the same rows and of matched latents."
        )
    for name, units in levels.items():
        if len(units) != len(first):
            raise InputError(
                f"firing ratio: {len(units)} units of the level {name!r} for {len(first)} rows; "
                "expected one a row."
            )
    for name, part in (("first", first), ("second", second)):
        if np.isnan(part).any():
            row = int(np.isnan(part).any(1).argmax())
            raise InputError(
                f"firing ratio: NaN in row {row} of the {name} model's values; encode it again."
            )
    rows = []
    for first_N, second_N in zip((first > 0).T, (second > 0).T, strict=True):
        limits = np.full(3, np.nan)
        if first_N.any() or second_N.any():
            found = hierarchical_bootstrap(
                _log_ratio(first_N, second_N), levels, n_boot=n_boot, seed=seed, level=level
            )
            limits = np.exp([found.estimate, found.lo, found.hi])
        rows.append((first_N.mean(), second_N.mean(), *limits))
    return pd.DataFrame(rows, columns=["first_rate", "second_rate", "ratio", "lo", "hi"])


@torch.no_grad()
def scale_dictionaries(
    first: SparseCoder,
    second: SparseCoder,
    rows_NCD: Float[Tensor, "n models d"],
    *,
    groups: Sequence[object] | np.ndarray | None = None,
    n_folds: int = 10,
    batch: int = 4096,
) -> LatentScaling:
    """Scaling of two dictionaries, taken as one crosscoder that shares no latent.

    Latents of `first` come first and write into model 0 alone, those of `second` into model 1. So a
    ratio says how much of a latent the other dictionary holds, in whatever latents it does.
    Trained on one model, with two seeds, they are the null of `Cutoffs.from_null`.

    Args:
        first: of the model in `rows_NCD[:, 0]`.
        second: of the model in `rows_NCD[:, 1]`; the rows are the same twice if it is one model.
        rows_NCD: as captured, two models.
        groups: as in `scale_latents`.
        n_folds: as in `scale_latents`.
        batch: rows at a time.

    Raises:
        InputError: as `scale_latents`; or a dictionary that is not linear in its values (one that
            normalises its input: fold that into the weights first).
    """
    if rows_NCD.shape[1] != 2:
        raise InputError(
            f"matching: rows of shape {tuple(rows_NCD.shape)}; two dictionaries take "
            "(n, 2, d), the same model's rows twice if they are of one."
        )
    coders = (first, second)
    for coder in coders:
        if coder.W_dec.shape[1] != rows_NCD.shape[2]:
            raise InputError(
                f"matching: a dictionary of width {coder.W_dec.shape[1]} for activations of width "
                f"{rows_NCD.shape[2]}; give it those of its own site."
            )
    mean_CD, scale_C = (part.float() for part in moments(rows_NCD))
    sizes = [len(coder.W_dec) for coder in coders]
    decoder_CMD = torch.zeros(2, sum(sizes), rows_NCD.shape[2])
    decoder_CMD[0, : sizes[0]] = first.W_dec.detach().cpu().float() / scale_C[0]
    decoder_CMD[1, sizes[0] :] = second.W_dec.detach().cpu().float() / scale_C[1]
    fitter = ScalingFitter(decoder_CMD, n_folds)
    for fold, index_N in enumerate(folds_of(groups, len(rows_NCD), n_folds)):
        for index in index_N.split(batch):
            acts_NCD = rows_NCD[index].float()
            codes, written = zip(
                *(_code(coder, acts_NCD[:, at]) for at, coder in enumerate(coders)), strict=True
            )
            own, reconstruction = (
                ((part - mean_CD) / scale_C[:, None])
                for part in (acts_NCD, torch.stack(written, 1))
            )
            fitter.update(torch.cat(codes, 1), own, reconstruction, fold)
    return fitter.scaling()


def _log_ratio(first_N: np.ndarray, second_N: np.ndarray) -> Weighted:
    return lambda weights_BN: np.log((weights_BN @ second_N + 0.5) / (weights_BN @ first_N + 0.5))


def _chance(n_latents: int, d: int) -> float:
    """0.95 quantile of the largest of n cosines with random directions in d dimensions."""
    if d == 1:
        return 1.0
    tail = -np.expm1(np.log(0.95) / n_latents)  # of one cosine
    # A squared cosine is Beta(1/2, (d-1)/2); half of all cosines are negative.
    return float(np.sqrt(beta.isf(2 * tail, 0.5, (d - 1) / 2))) if tail < 0.5 else 0.0


def _code(coder: SparseCoder, acts_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and reconstruction of one dictionary, which is found to be linear in its codes."""
    code_NM = coder.encode(acts_ND.to(coder.W_dec))
    written_ND = coder.decode(code_NM)
    bias_ND = written_ND[:64] - code_NM[:64] @ coder.W_dec  # one and the same for every row
    if (bias_ND - bias_ND[0]).abs().max() > 1e-3 * acts_ND.std():
        raise InputError(
            "matching: this dictionary's reconstruction is not its decoder times its "
            "values (it normalises activations as it runs); fold that into its weights first."
        )
    return code_NM.float().cpu(), written_ND.float().cpu()
