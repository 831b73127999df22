"""One dictionary for two or three models at once: shared latents, an encoder and decoder a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from interp.errors import InputError
from interp.progress import Progress, report

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
        _check_finite(rows_NCD, 0)
        rows = rows_NCD.to(self.mean_CD.device, torch.float32)
        return (rows - self.mean_CD) / self.scale_C[:, None]

    def encode(self, rows_NCD: Float[Tensor, "n models d"]) -> Float[Tensor, "n latents"]:
        """Values of the latents, 0 where not active.

        Raises:
            InputError: as `standardise`.
        """
        value_NM = _values(self.standardise(rows_NCD), self.encoder_CDM, self.encoder_bias_M)
        return value_NM * (value_NM * norms(self.decoder_CMD).sum(0) > self.threshold)

    def decode(self, code_NM: Float[Tensor, "n latents"]) -> Float[Tensor, "n models d"]:
        """What the latents write, in standardised units."""
        return torch.einsum("nm,cmd->ncd", code_NM, self.decoder_CMD) + self.decoder_bias_CD

    def quality(self, rows_NCD: Float[Tensor, "n models d"], batch: int = _CHUNK) -> Quality:
        """How well, and how sparsely, it reconstructs these rows, best rows it did not train on.

        Raises:
            InputError: as `standardise`.
        """
        error_C, total_CD, square_C, active_M = 0.0, 0.0, 0.0, 0
        for rows in rows_NCD.split(batch):
            code_NM, own_NCD = self.encode(rows), self.standardise(rows).double()
            error_C = error_C + (own_NCD - self.decode(code_NM)).square().sum((0, 2))
            total_CD = total_CD + own_NCD.sum(0)
            square_C = square_C + own_NCD.square().sum((0, 2))
            active_M = active_M + (code_NM > 0).sum(0)
        active = torch.as_tensor(active_M)
        spread_C = square_C - torch.as_tensor(total_CD).square().sum(1) / len(rows_NCD)
        fvu_C = torch.as_tensor(error_C / spread_C)
        dead = (active == 0).double().mean()
        return Quality(tuple(fvu_C.tolist()), float(active.sum()) / len(rows_NCD), float(dead))

    def save(self, path: Path) -> None:
        """Writes one safetensors file."""
        tensors = {
            field.name: torch.as_tensor(getattr(self, field.name)).contiguous().cpu()
            for field in fields(self)
        }
        save_file(tensors, path)

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


@dataclass(frozen=True)
class CrosscoderRecipe:
    """How a crosscoder is trained.

    Attributes:
        n_latents: M.
        k: active latents a row, on average over a batch.
        steps: of Adam.
        batch: rows a step.
        lr: after a warm-up over the first twentieth of the steps, until it falls to 0 over the
            last fifth.
        dead_after: rows without activity after which a latent counts as dead.
        dead_weight: of the auxiliary loss.
        dead_k: dead latents a row that try to explain what is left; half the width if None.
    """

    n_latents: int
    k: int
    steps: int
    batch: int = 4096
    lr: float = 1e-3
    dead_after: int = 100_000
    dead_weight: float = 1 / 32
    dead_k: int | None = None


def train_crosscoder(
    rows_NCD: Float[Tensor, "n models d"],
    recipe: CrosscoderRecipe,
    *,
    seed: int,
    device: str | torch.device = "cpu",
    task: str = "train crosscoder",
) -> Crosscoder:
    """A BatchTopK crosscoder, fitted to the same tokens' activations in every model.

    In each batch the `k * batch` largest values are kept, each weighted by its decoder norms summed
    over models; the loss is the squared error summed over models (here divided by C * D), and
    `dead_weight` times the share of the remaining error that the best dead latents leave
    (Minder et al. 2025, arXiv 2504.02922, section 2 and appendix; BatchTopK: Bussmann et al. 2024,
    arXiv 2412.06410; dead latents: Gao et al. 2024, arXiv 2406.04093). There is no penalty on
    decoder norms, so nothing but the data draws a norm to 0. The threshold that stands for
    BatchTopK afterwards is the mean, over batches, of the smallest value kept, at the end of
    training: nothing that a running mean could leave unset.

    Args:
        rows_NCD: row n is one token, read in every model at one site; any floating dtype, may be
            mapped from disk.
        recipe: sizes and steps.
        seed: of initial weights and of the order of rows.
        device: where to train; the crosscoder stays there.
        task: as the progress display names it.

    Raises:
        InputError: a number of the recipe is out of range, fewer rows than a batch, fewer than two
            models, a value that is not finite, or a model whose rows are all equal.
    """
    _check_recipe(rows_NCD, recipe)
    mean_CD, scale_C = (part.to(device, torch.float32) for part in _moments(rows_NCD))
    learner = _Learner(rows_NCD.shape[1], rows_NCD.shape[2], recipe, seed, device)
    order = _batches(len(rows_NCD), recipe.batch, seed)
    for step in range(recipe.steps):
        rows = rows_NCD[next(order)].to(device, torch.float32)
        learner.step((rows - mean_CD) / scale_C[:, None])
        report(Progress(task, step + 1, recipe.steps))
    own = ((rows_NCD[next(order)].to(device, torch.float32) - mean_CD) for _ in range(32))
    threshold = sum(learner.smallest_kept(rows / scale_C[:, None]) for rows in own) / 32
    parts = {name: part.detach() for name, part in learner.parameters.items()}
    return Crosscoder(
        **parts, mean_CD=mean_CD, scale_C=scale_C, threshold=threshold, k=recipe.k
    )


class _Learner:
    """Parameters, optimiser and when each latent was last active."""

    def __init__(
        self, models: int, d: int, recipe: CrosscoderRecipe, seed: int, device: str | torch.device
    ) -> None:
        self.recipe = recipe
        draw = torch.Generator().manual_seed(seed)
        decoder = torch.randn(models, recipe.n_latents, d, generator=draw)
        decoder = decoder / decoder.norm(dim=-1, keepdim=True)
        # The transpose, shared out over models: a first reconstruction of about the right length.
        self.parameters = {
            "encoder_CDM": decoder.mT.contiguous() / models,
            "encoder_bias_M": torch.zeros(recipe.n_latents),
            "decoder_CMD": decoder,
            "decoder_bias_CD": torch.zeros(models, d),
        }
        for name, part in self.parameters.items():
            self.parameters[name] = part.to(device).requires_grad_()
        self._silent_M = torch.zeros(recipe.n_latents, dtype=torch.long, device=device)
        self._adam = torch.optim.Adam(self.parameters.values(), lr=recipe.lr)
        warm, fall = max(recipe.steps // 20, 1), max(recipe.steps // 5, 1)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._adam, lambda step: min((step + 1) / warm, 1.0, (recipe.steps - step) / fall)
        )

    def step(self, own_NCD: Tensor) -> None:
        """One step of Adam on a standardised batch."""
        loss = self.loss(own_NCD)
        self._adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self._adam.step()
        self._schedule.step()
