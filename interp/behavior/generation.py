"""Greedy replies, batched."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from interp.behavior.scoring import EditBatch
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded, PromptSet, encode, render, token_budget_batches


def generate(
    loaded: LoadedModel,
    prompts: PromptSet,
    *,
    max_new_tokens: int,
    token_budget: int = 8192,
    edits: EditBatch | None = None,
) -> list[str]:
    """The most likely token, again and again, until the end token: the reply to each prompt.

    Nothing but the logits decides: penalties and sampling settings that a checkpoint ships in its
    generation config are not applied.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        max_new_tokens: where a reply is cut off.
        token_budget: most tokens in a batch, padding and reply included.
        edits: makes the context that a batch is generated in, given the left-padded prompts.

    Returns:
        Replies without special tokens, in the order of the prompts.

    Raises:
        InputError: `max_new_tokens` below 1.
    """
    if max_new_tokens < 1:
        raise InputError(f"generate: max_new_tokens is {max_new_tokens}; expected at least 1.")
    tokenizer = loaded.tokenizer
    texts = render(prompts, tokenizer)
    lengths_N = encode(texts, tokenizer, side="left").lengths_B
    ends = _end_tokens(loaded)
    replies = [""] * len(texts)
    for rows in token_budget_batches((lengths_N + max_new_tokens).tolist(), token_budget):
        encoded = encode([texts[row] for row in rows], tokenizer, side="left")
        context = edits(encoded, rows) if edits else nullcontext()
        with context:
            reply_BT = _greedy(loaded, encoded, max_new_tokens, ends)
        for row, reply_T in zip(rows, reply_BT.tolist(), strict=True):
            replies[row] = tokenizer.decode(_until_end(reply_T, ends), skip_special_tokens=True)
    return replies


def _greedy(
    loaded: LoadedModel, encoded: Encoded, max_new_tokens: int, ends: frozenset[int]
) -> Int[Tensor, "b t"]:
    """Token ids up to where the last row ends; what follows a row's own end means nothing."""
    encoded = encoded.to(loaded.device)
    ids_BT, mask_BT = encoded.input_ids_BT, encoded.attention_mask_BT
    position_ids_BT = encoded.position_ids_BT
    end_E = torch.tensor(sorted(ends), dtype=torch.long, device=loaded.device)
    ended_B = torch.zeros(len(ids_BT), dtype=torch.bool, device=loaded.device)
    cache: Any = None
    reply: list[Tensor] = []
    with torch.inference_mode():
        while len(reply) < max_new_tokens and not ended_B.all():
            output = loaded.model(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                position_ids=position_ids_BT,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = output.past_key_values
            next_B = output.logits[:, -1].argmax(-1)
            ended_B |= torch.isin(next_B, end_E)
            reply.append(next_B)
            ids_BT = next_B[:, None]
            mask_BT = torch.cat([mask_BT, torch.ones_like(mask_BT[:, :1])], 1)
            position_ids_BT = position_ids_BT[:, -1:] + 1
    return torch.stack(reply, 1).cpu()


def _end_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokenizer's end token and those of the generation config (a chat model's end of turn)."""
    named = loaded.model.generation_config.eos_token_id
    ends = [named] if isinstance(named, int) else (named or [])
    return frozenset(ends) | frozenset(
        [] if loaded.tokenizer.eos_token_id is None else [loaded.tokenizer.eos_token_id]
    )


def _until_end(reply: list[int], ends: frozenset[int]) -> list[int]:
    stop = next((place for place, token in enumerate(reply) if token in ends), len(reply))
    return reply[:stop]
