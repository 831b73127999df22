"""Reads activations through hooks on the unmodified model: exactly, and no more than is asked.

A padded batch gives the same activations as each prompt alone, because padding is masked and
every token keeps its own position id; the forward ends at the deepest site that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from interp.activations.sites import Site
from interp.checkpoints import LoadedModel
from interp.prompts import Encoded


def read_batch(
    loaded: LoadedModel,
    encoded: Encoded,
    sites: Sequence[Site],
    index_PB: Int[Tensor, "p b"],
) -> Float[Tensor, "s p b d"]:
    """Activations of one padded batch, float32 on the CPU.

    The base model is called without its head, and nothing runs beyond the deepest site.

    Args:
        loaded: the model.
        encoded: padded on either side.
        sites: where to read.
        index_PB: which tokens, from 0 at the start of each unpadded prompt.
    """
    encoded = encoded.to(loaded.device)
    column_PB = encoded.columns(index_PB.to(loaded.device))
    row_B = torch.arange(column_PB.shape[1], device=loaded.device)
    deepest = max(sites, key=lambda site: site.depth)
    taken: dict[Site, Tensor] = {}

    def take(site: Site, resid_BTD: Tensor) -> None:
        taken[site] = resid_BTD[row_B, column_PB]  # a copy: a view would keep all tokens alive
        if site == deepest:
            raise _Reached

    handles = [_tap(loaded.blocks[site.layer], site, take) for site in sites]
    try:
        # An exception is the only way out of the middle of an unmodified model's forward.
        with suppress(_Reached), torch.inference_mode():
            loaded.model.base_model(
                input_ids=encoded.input_ids_BT,
                attention_mask=encoded.attention_mask_BT,
                position_ids=encoded.position_ids_BT,
                use_cache=False,
            )
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack([taken[site] for site in sites]).float().cpu()


class _Reached(Exception):
    """The deepest site was read."""


def _tap(block: nn.Module, site: Site, take: Callable[[Site, Tensor], None]) -> RemovableHandle:
    if site.kind == "resid_pre":

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            take(site, args[0] if args else kwargs["hidden_states"])

        return block.register_forward_pre_hook(before, with_kwargs=True)

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> None:
        # Blocks return the residual stream alone or first in a tuple, by architecture.
        take(site, output if isinstance(output, Tensor) else output[0])

    return block.register_forward_hook(after)
