"""The arithmetic of a sparse autoencoder whose every cost but one goes with its active latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

_GROUP = 16
_SUM = 0  # `mode` of embedding_bag


@dataclass(frozen=True, eq=False)
class Entries:
    """Active latents of N rows, row by row: entry e is latent `index[e]` of row `row[e]`.

    Attributes:
        start: row n's entries begin at `start[n]`, [N].
        row: of each entry, ascending, [E].
        index: latent of each entry, [E].
    """

    start: Int64[Tensor, " n"]
    row: Int64[Tensor, " e"]
    index: Int64[Tensor, " e"]

    def write(
        self, value_E: Float[Tensor, " e"], direction_MD: Float[Tensor, "m d"]
    ) -> Float[Tensor, "n d"]:
        """Sum over each row's entries of value times direction."""
        return embedding_bag(
            self.index, direction_MD, self.start, mode="sum", per_sample_weights=value_E
        )

    def read(
        self, acts_ND: Float[Tensor, "n d"], direction_MD: Float[Tensor, "m d"]
    ) -> Float[Tensor, " e"]:
        """Inner product of each entry's row and direction: the gradient of `write`'s values."""
        return torch.ops.aten._embedding_bag_per_sample_weights_backward(
            acts_ND, direction_MD, self.index, self.start, self.row, _SUM
        )

    def by_latent(self, n_latents: int) -> Transposed:
        """The same entries, latent by latent."""
        index_E, order_E = self.index.sort(stable=True)
        start_M = torch.searchsorted(index_E, torch.arange(n_latents, device=index_E.device))
        return Transposed(Entries(start_M, index_E, self.row[order_E]), order_E)


@dataclass(frozen=True, eq=False)
class Transposed:
    """Entries latent by latent: in `entries`, rows are latents and indices are rows.

    Attributes:
        entries: transposed.
        order: which of the entries as they were each of them is, [E].
    """

    entries: Entries
    order: Int64[Tensor, " e"]

    def write(
        self, value_E: Float[Tensor, " e"], acts_ND: Float[Tensor, "n d"]
    ) -> Float[Tensor, "m d"]:
        """Sum over each latent's entries of value times row; values as before the transpose."""
        return self.entries.write(value_E[self.order], acts_ND)


def top_k(score_NM: Float[Tensor, "n m"], k: int) -> Entries:
    """The k highest of each row, exactly, ascending by latent.

    A latent among the k highest lies in one of the k groups with the highest maxima, so all others
    need not be ordered.
    """
    n = len(score_NM)
    chosen_NK = _grouped(score_NM, k).sort(dim=1).values
    start_N = torch.arange(0, n * k, k, device=score_NM.device)
    row_E = torch.arange(n, device=score_NM.device).repeat_interleave(k)
    return Entries(start_N, row_E, chosen_NK.flatten())


def batch_top_k(score_NM: Float[Tensor, "n m"], total: int) -> Entries:
    """The `total` highest of all rows together, exactly; rows differ in how many they have."""
    n, m = score_NM.shape
    place_E = _grouped(score_NM.view(1, -1), total)[0].sort().values
    row_E = place_E // m
    start_N = torch.searchsorted(row_E, torch.arange(n, device=row_E.device))
    return Entries(start_N, row_E, place_E % m)


def _grouped(score_NM: Tensor, k: int) -> Int64[Tensor, "n k"]:
    n, m = score_NM.shape
    n_groups = m // _GROUP
    if n_groups <= k:
        return score_NM.topk(k, dim=1, sorted=False).indices
    whole = n_groups * _GROUP
    # Group g holds latents g, g + G, g + 2 G, ...: maxima over a middle axis run along memory.
    grouped = score_NM[:, :whole].view(n, _GROUP, n_groups)
    best_NK = grouped.amax(1).topk(k, dim=1, sorted=False).indices
    member = torch.arange(_GROUP, device=score_NM.device) * n_groups
    candidate = (best_NK[:, :, None] + member).view(n, -1)
    if whole < m:
        rest = torch.arange(whole, m, device=score_NM.device).expand(n, -1)
        candidate = torch.cat([candidate, rest], dim=1)
    chosen = score_NM.gather(1, candidate).topk(k, dim=1, sorted=False).indices
    return candidate.gather(1, chosen)


class SparseAutoencode(torch.autograd.Function):
    """Reconstruction from given entries, with gradients that touch these alone.

    value_e = relu(((x_n - b_in) W_enc + b_enc)_m) at each entry, x_hat_n = sum_e value_e W_dec_m.
    The only dense product of a step is the one that the entries were chosen from.
    """

    @staticmethod
    def forward(
        ctx: Any,
        acts_ND: Tensor,
        b_in: Tensor,
        W_enc: Tensor,
        b_enc: Tensor,
        W_dec: Tensor,
        value_E: Tensor,
        entries: Entries,
    ) -> Tensor:
        """x_hat, [N, D].

        Args:
            ctx: of autograd.
            acts_ND: x, of which no gradient is taken.
            b_in: taken off the input.
            W_enc: [D, M].
            b_enc: [M].
            W_dec: [M, D].
            value_E: what the encoder gave at the entries, relu included.
            entries: which latents are active.
        """
        ctx.entries = entries
        ctx.save_for_backward(acts_ND, b_in, W_enc, W_dec, value_E)
        return entries.write(value_E, W_dec)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Of the four weights and of `b_in`."""
        acts_ND, b_in, W_enc, W_dec, value_E = ctx.saved_tensors
        entries, grad_ND = ctx.entries, grads[0].contiguous()
        grad_E = entries.read(grad_ND, W_dec) * (value_E > 0)
        by_latent = entries.by_latent(len(W_dec))
        d_enc_MD = by_latent.write(grad_E, acts_ND - b_in)
        d_dec_MD = by_latent.write(value_E, grad_ND)
        d_bias_M = torch.zeros_like(W_enc[0]).index_add_(0, entries.index, grad_E)
        d_in_D = -(W_enc @ d_bias_M)
        return None, d_in_D, d_enc_MD.T.contiguous(), d_bias_M, d_dec_MD, None, None
