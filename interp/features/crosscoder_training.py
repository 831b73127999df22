"""Training of a crosscoder: batch top-k with the dead-latent loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.features.crosscoder import Crosscoder, moments, norms_of, values_of, write
from interp.progress import Progress, report

_THRESHOLD_BATCHES = 32


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
    mean_CD, scale_C = (part.to(device, torch.float32) for part in moments(rows_NCD))
    learner = _Learner(rows_NCD.shape[1], rows_NCD.shape[2], recipe, seed, device)
    batches = (
        (rows_NCD[index].to(device, torch.float32) - mean_CD) / scale_C[:, None]
        for index in _batches(len(rows_NCD), recipe.batch, seed)
    )
    for step in range(recipe.steps):
        learner.step(next(batches))
        report(Progress(task, step + 1, recipe.steps))
    kept = [learner.smallest_kept(next(batches)) for _ in range(_THRESHOLD_BATCHES)]
    parts = {name: part.detach() for name, part in learner.parameters.items()}
    threshold = sum(kept) / len(kept)
    return Crosscoder(**parts, mean_CD=mean_CD, scale_C=scale_C, threshold=threshold, k=recipe.k)


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

    def loss(self, own_NCD: Tensor) -> Tensor:
        """Of a standardised batch; takes note of which latents are active."""
        encoder_CDM, bias_M, decoder_CMD, out_bias_CD = self.parameters.values()
        value_NM = values_of(own_NCD, encoder_CDM, bias_M)
        weighed_NM = value_NM.detach() * norms_of(decoder_CMD.detach()).sum(0)
        kept = weighed_NM.flatten().topk(len(own_NCD) * self.recipe.k, sorted=False).indices
        error_NCD = own_NCD - out_bias_CD - write(value_NM, kept.sort().values, decoder_CMD)
        self._silent_M += len(own_NCD)
        self._silent_M[kept[weighed_NM.flatten()[kept] > 0] % self.recipe.n_latents] = 0
        left = error_NCD.square().sum() / own_NCD.numel()
        if not self.recipe.dead_weight:
            return left
        return left + self.recipe.dead_weight * self._dead_loss(error_NCD.detach(), value_NM)

    def _dead_loss(self, error_NCD: Tensor, value_NM: Tensor) -> Tensor:
        """Share of the error's variance that the best dead latents of each row leave."""
        dead_M = self._silent_M >= self.recipe.dead_after
        n_dead = int(dead_M.sum())
        if not n_dead:
            return error_NCD.new_zeros(())
        n_rows, n_latents = value_NM.shape
        decoder_CMD = self.parameters["decoder_CMD"]
        weighed_NM = value_NM.detach() * norms_of(decoder_CMD.detach()).sum(0)
        top_k = min(self.recipe.dead_k or error_NCD.shape[-1] // 2, n_dead)
        best_NK = weighed_NM.masked_fill(~dead_M, -1).topk(top_k, sorted=False).indices
        first_N1 = torch.arange(n_rows, device=best_NK.device)[:, None] * n_latents
        written_NCD = write(value_NM, (first_N1 + best_NK).flatten(), decoder_CMD)
        spread = (error_NCD - error_NCD.mean(0)).square().sum()
        return (error_NCD - written_NCD).square().sum() / spread

    @torch.no_grad()
    def smallest_kept(self, own_NCD: Tensor) -> float:
        """The smallest weighed value that BatchTopK keeps in a standardised batch."""
        encoder_CDM, bias_M, decoder_CMD, _ = self.parameters.values()
        weighed_NM = values_of(own_NCD, encoder_CDM, bias_M) * norms_of(decoder_CMD).sum(0)
        return float(weighed_NM.flatten().topk(len(own_NCD) * self.recipe.k).values[-1])


def _check_recipe(rows_NCD: Tensor, recipe: CrosscoderRecipe) -> None:
    if rows_NCD.ndim != 3 or rows_NCD.shape[1] < 2:
        raise InputError(
            f"crosscoder: rows of shape {tuple(rows_NCD.shape)}; expected (n, models, d), with at "
            "least two models."
        )
    if not 0 < recipe.batch <= len(rows_NCD):
        raise InputError(
            f"crosscoder: batches of {recipe.batch} from {len(rows_NCD)} rows; make them smaller, "
            "or capture more rows."
        )
    if not 0 < recipe.k <= recipe.n_latents or recipe.steps < 1 or not recipe.lr > 0:
        raise InputError(
            f"crosscoder: k={recipe.k} of {recipe.n_latents} latents, {recipe.steps} steps at "
            f"lr={recipe.lr}; expected 0 < k <= latents, steps and lr above 0."
        )


def _batches(n_rows: int, batch: int, seed: int) -> Iterator[Tensor]:
    """Row indices of one batch after another: all rows in a new order, again and again."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(n_rows, generator=draw)
        yield from (order[at : at + batch] for at in range(0, n_rows - batch + 1, batch))
