"""What is kept of a batch's activations: tokens at positions, means over spans, or all tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.prompts import Encoded


@dataclass(frozen=True, eq=False)
class Selection:
    """Token spans of a padded batch.

    Attributes:
        start_PB: first column of each span.
        stop_PB: the column behind its last.
        single: whether every span is one token, which is then copied and not averaged.
        real_BT: True on tokens, False on padding.
    """

    start_PB: Int[Tensor, "p b"]
    stop_PB: Int[Tensor, "p b"]
    single: bool
    real_BT: Bool[Tensor, "b t"]

    @classmethod
    def of(cls, encoded: Encoded, spans_PB2: Int[Tensor, "p b 2"]) -> Selection:
        """The selection of spans that count from the start of each unpadded prompt."""
        start_PB, stop_PB = encoded.columns(spans_PB2[..., 0]), encoded.columns(spans_PB2[..., 1])
        single = bool((stop_PB - start_PB == 1).all())
        return cls(start_PB, stop_PB, single, encoded.attention_mask_BT.bool())

    def to(self, device: torch.device) -> Selection:
        """The same selection on a device."""
        return Selection(
            self.start_PB.to(device), self.stop_PB.to(device), self.single, self.real_BT.to(device)
        )

    def pick(self, acts_BTD: Float[Tensor, "b t d"], dtype: torch.dtype) -> Float[Tensor, "p b d"]:
        """The token of each span, or the mean over its tokens; a copy.

        Means are taken in float32, whatever the model computes in, and rounded once.
        """
        device = acts_BTD.device
        start_PB, stop_PB = self.start_PB.to(device), self.stop_PB.to(device)
        if self.single:
            row_B = torch.arange(len(acts_BTD), device=device)
            return acts_BTD[row_B, start_PB].to(dtype)
        column_T = torch.arange(acts_BTD.shape[1], device=device)
        inside_PBT = (start_PB[..., None] <= column_T) & (column_T < stop_PB[..., None])
        # What stands on padding means nothing and may be NaN, which 0 * NaN would let through.
        real_BTD = acts_BTD.float().masked_fill(~self.real_BT.to(device)[..., None], 0.0)
        total_PBD = torch.einsum("pbt,btd->pbd", inside_PBT.float(), real_BTD)
        return (total_PBD / inside_PBT.sum(-1, keepdim=True)).to(dtype)

    def every(self, acts_BTD: Float[Tensor, "b t d"], dtype: torch.dtype) -> Float[Tensor, "n d"]:
        """All tokens, one prompt after the other without padding; a copy."""
        return acts_BTD[self.real_BT.to(acts_BTD.device)].to(dtype)
