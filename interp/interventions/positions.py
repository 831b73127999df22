"""From token indices within prompts to a mask over the columns of a padded batch."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from interp.errors import InputError
from interp.prompts import Encoded


def position_mask(
    encoded: Encoded,
    where_B: Int[Tensor, " b"] | Int[Tensor, "b 2"],
    side: Literal["left", "right"],
) -> Bool[Tensor, "b t"]:
    """Marks one token, or one run of tokens, per row of a padded batch.

    Masks of several tokens apart are the `|` of several of these.

    Args:
        encoded: the padded batch.
        where_B: index of the token, or its [start, stop) as `interp.prompts.resolve` gives them
            for a rule, from the start of the unpadded prompt.
        side: the side the batch is padded on.

    Raises:
        InputError: a token lies outside its prompt, a run has none, or the batch is padded on the
            other side.
    """
    n_rows, width = encoded.input_ids_BT.shape
    if tuple(where_B.shape) not in ((n_rows,), (n_rows, 2)):
        raise InputError(
            f"position_mask: indices of shape {tuple(where_B.shape)} for {n_rows} prompts; "
            "expected one index, or [start, stop), each."
        )
    lengths_B, where_B = encoded.lengths_B.cpu(), where_B.cpu()
    start_B, stop_B = where_B.T if where_B.ndim == 2 else (where_B, where_B + 1)
    outside_B = (start_B < 0) | (start_B >= stop_B) | (stop_B > lengths_B)
    if outside_B.any():
        row = int(outside_B.nonzero()[0])
        start, stop = int(start_B[row]), int(stop_B[row])
        tokens = f"index {start}" if where_B.ndim == 1 else f"tokens [{start}, {stop})"
        raise InputError(
            f"position_mask: {tokens} in row {row}, a prompt of "
            f"{int(lengths_B[row])} tokens; indices count from 0 at the prompt's first token."
        )
    offset_B = width - lengths_B if side == "left" else torch.zeros_like(lengths_B)
    token_BT = torch.arange(width) - offset_B[:, None]
    mask_BT = (start_B[:, None] <= token_BT) & (token_BT < stop_B[:, None])
    if (mask_BT & (encoded.attention_mask_BT.cpu() == 0)).any():
        raise InputError(
            f"position_mask: side={side!r}, but the batch is padded on the other side."
        )
    return mask_BT
