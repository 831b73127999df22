"""One dictionary for several models: shared latents, an encoder and a decoder for each model."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from interp.errors import InputError

_CHUNK = 4096  # rows that are widened to float64 at a time


@dataclass(frozen=True, eq=False)
class Crosscoder:
    """Latents that are read from, and written to, several models' activations of the same tokens.

    Axes: N rows, C models, D width, M latents. Each model's activations are centred and divided by
    one number, so that their mean square length is D in every model: norms compare across models,
    and no direction is turned.

    Attributes:
        encoder_CDM: a latent's value is the ReLU of a sum over models.
        encoder_bias_M: of that sum.
        decoder_CMD: what a latent writes at value 1, in standardised units.
        decoder_bias_CD: what is written when no latent is active.
        mean_CD: of the training rows, in the models' own units.
        scale_C: own units in one standardised unit.
        threshold: a latent is active where its value times the sum of its decoder norms is larger.
        k: active latents a row, on average, that it was trained with.
    """

    encoder_CDM: Float[Tensor, "models d latents"]
    encoder_bias_M: Float[Tensor, " latents"]
    decoder_CMD: Float[Tensor, "models latents d"]
    decoder_bias_CD: Float[Tensor, "models d"]
    mean_CD: Float[Tensor, "models d"]
    scale_C: Float[Tensor, " models"]
    threshold: float
    k: int

    def standardise(self, rows_NCD: Float[Tensor, "n _ _"]) -> Float[Tensor, "n models d"]:
        """The rows in standardised units, float32, on the crosscoder's device.

        Raises:
            InputError: another number of models or width, or a value that is not finite.
        """
        if rows_NCD.shape[1:] != self.mean_CD.shape:
            raise InputError(
                f"crosscoder: rows of shape {tuple(rows_NCD.shape)}; it was trained on (n, models, "
                f"d) = (n, {', '.join(map(str, self.mean_CD.shape))}). Give it the same models in "
                "the same order, at the same site."
            )
        check_finite(rows_NCD, 0)
        rows = rows_NCD.to(self.mean_CD.device, torch.float32)
        return (rows - self.mean_CD) / self.scale_C[:, None]

    def encode(self, rows_NCD: Float[Tensor, "n models d"]) -> Float[Tensor, "n latents"]:
        """Values of the latents, 0 where not active.

        Raises:
            InputError: as `standardise`.
        """
        value_NM = values_of(self.standardise(rows_NCD), self.encoder_CDM, self.encoder_bias_M)
        return value_NM * (value_NM * norms_of(self.decoder_CMD).sum(0) > self.threshold)

    def decode(self, code_NM: Float[Tensor, "n latents"]) -> Float[Tensor, "n models d"]:
        """What the latents write, in standardised units."""
        return torch.einsum("nm,cmd->ncd", code_NM, self.decoder_CMD) + self.decoder_bias_CD

    def quality(self, rows_NCD: Float[Tensor, "n models d"], batch: int = _CHUNK) -> Quality:
        """How well, and how sparsely, it reconstructs these rows, best rows it did not train on.

        Args:
            rows_NCD: activations of every model on the same tokens.
            batch: rows at a time.

        Raises:
            InputError: as `standardise`.
        """
        error_C, square_C = torch.zeros(2, len(self.mean_CD), dtype=torch.float64)
        total_CD = torch.zeros(self.mean_CD.shape, dtype=torch.float64)
        active_M = torch.zeros(len(self.encoder_bias_M), dtype=torch.long)
        for rows in rows_NCD.split(batch):
            code_NM = self.encode(rows)
            own_NCD = self.standardise(rows)
            error_C += (own_NCD - self.decode(code_NM)).double().square().sum((0, 2)).cpu()
            total_CD += own_NCD.double().sum(0).cpu()
            square_C += own_NCD.double().square().sum((0, 2)).cpu()
            active_M += (code_NM > 0).sum(0).cpu()
        spread_C = square_C - total_CD.square().sum(1) / len(rows_NCD)
        l0 = float(active_M.sum()) / len(rows_NCD)
        dead = float((active_M == 0).double().mean())
        return Quality(tuple((error_C / spread_C).tolist()), l0, dead)

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        numbers = {
            "threshold": torch.tensor(self.threshold, dtype=torch.float64),
            "k": torch.tensor(self.k),
        }
        save_file({name: part.cpu().contiguous() for name, part in (held | numbers).items()}, path)

    @classmethod
    def load(cls, path: Path) -> Crosscoder:
        """Reads what `save` wrote.

        Raises:
            InputError: no such file, no safetensors, or other keys than a crosscoder's.
        """
        try:
            with safe_open(path, "pt") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(f"crosscoder: {path} cannot be read: {error}") from error
        names = {field.name for field in fields(cls)}
        if held.keys() != names:
            raise InputError(
                f"crosscoder: {path} holds {sorted(held)}; expected {sorted(names)}, as written by "
                "`Crosscoder.save`."
            )
        numbers = {"threshold": float(held["threshold"]), "k": int(held["k"])}
        return cls(**held | numbers)


@dataclass(frozen=True)
class Quality:
    """Of a reconstruction.

    Attributes:
        fvu_C: share of each model's variance, about its mean, that is left over.
        l0: active latents a row.
        dead: share of latents that are active nowhere.
    """

    fvu_C: tuple[float, ...]
    l0: float
    dead: float


def values_of(own_NCD: Tensor, encoder_CDM: Tensor, bias_M: Tensor) -> Tensor:
    """Values of all latents [N, M], before any is left out: one product over models and width."""
    return F.relu(own_NCD.flatten(1) @ encoder_CDM.flatten(0, 1) + bias_M)


def norms_of(decoder_CMD: Tensor) -> Tensor:
    """Lengths of what latents write, [C, M]."""
    return decoder_CMD.norm(dim=-1)


def write(value_NM: Tensor, kept: Tensor, decoder_CMD: Tensor) -> Tensor:
    """What some values write [N, C, D]: the work of those alone, forward and backward.

    `kept` are their places in the flattened values, those of a row together, in order of rows.
    """
    n_rows, n_latents = value_NM.shape
    every_row = torch.arange(n_rows, device=kept.device)
    written = F.embedding_bag(
        kept % n_latents,
        decoder_CMD.transpose(0, 1).flatten(1),
        torch.searchsorted(kept // n_latents, every_row),
        mode="sum",
        per_sample_weights=value_NM.flatten()[kept],
    )
    return written.unflatten(1, (decoder_CMD.shape[0], decoder_CMD.shape[2]))


def moments(rows_NCD: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [C, D], and the scale [C] that makes the mean square length D, in float64."""
    total_CD, square_C = torch.zeros(rows_NCD.shape[1:]).double(), torch.zeros(1).double()
    for start, rows in enumerate(rows_NCD.split(_CHUNK)):
        check_finite(rows, start * _CHUNK)
        wide = rows.detach().cpu().double()
        total_CD = total_CD + wide.sum(0)
        square_C = square_C + wide.square().sum((0, 2))
    mean_CD = total_CD / len(rows_NCD)
    spread_C = (square_C / len(rows_NCD) - mean_CD.square().sum(1)) / rows_NCD.shape[2]
    still_C = spread_C <= 1e-12 * square_C / rows_NCD[:, 0].numel()
    if still_C.any():
        raise InputError(
            f"crosscoder: all rows of model {int(still_C.int().argmax())} are equal; capture them "
            "at a position that differs between prompts."
        )
    return mean_CD, spread_C.sqrt()


def check_finite(rows_NCD: Tensor, n_before: int) -> None:
    """Refuses rows that are not finite, by their number behind `n_before` others."""
    bad_N = ~rows_NCD.isfinite().flatten(1).all(1)
    if bad_N.any():
        raise InputError(
            f"crosscoder: NaN or Inf in row {n_before + int(bad_N.int().argmax())}; capture it "
            "again in a wider dtype."
        )
