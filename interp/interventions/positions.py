"""From token indices within prompts to a mask over the columns of a padded batch."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.errors import InputError
from interp.prompts import Encoded


def position_mask(
    encoded: Encoded, index_B: Int[Tensor, " b"], side: Literal["left", "right"]
) -> Bool[Tensor, "b t"]:
    """Marks one token per row of a padded batch.

    Masks of several tokens are the `|` of several of these; all tokens are the attention mask.

    Args:
        encoded: the padded batch.
        index_B: index of the token from the start of the unpadded prompt.
        side: the side the batch is padded on.

    Raises:
        InputError: an index lies outside its prompt, or the batch is padded on the other side.
    """
    n_rows, width = encoded.input_ids_BT.shape
    if tuple(index_B.shape) != (n_rows,):
        raise InputError(
            f"position_mask: indices of shape {tuple(index_B.shape)} for {n_rows} prompts; "
            "expected one each."
        )
    lengths_B, index_B = encoded.lengths_B.cpu(), index_B.cpu()
    outside_B = (index_B < 0) | (index_B >= lengths_B)
    if outside_B.any():
        row = int(outside_B.nonzero()[0])
        raise InputError(
            f"position_mask: index {int(index_B[row])} in row {row}, a prompt of "
            f"{int(lengths_B[row])} tokens; indices count from 0 at the prompt's first token."
        )
    column_B = index_B + (width - lengths_B if side == "left" else 0)
    mask_BT = torch.zeros(n_rows, width, dtype=torch.bool)
    mask_BT[torch.arange(n_rows), column_B] = True
    if (mask_BT & (encoded.attention_mask_BT.cpu() == 0)).any():
        raise InputError(
            f"position_mask: side={side!r}, but the batch is padded on the other side."
        )
    return mask_BT
