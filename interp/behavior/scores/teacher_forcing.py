"""Continuations in tokens, and forwards over prompts with what is to follow them."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded
from interp.prompts.encoding import join, tokenize

NO_TOKEN = -1
"""What stands in `target_tokens` behind a continuation's last token."""


def target_tokens(
    prompt_ids: Sequence[object],
    texts: Sequence[str],
    ids: Sequence[Sequence[int]],
    continuation: str,
    tokenizer: Any,
) -> Int[Tensor, "n t"]:
    """Token ids of the continuation after each rendered prompt, filled up with `NO_TOKEN`.

    Args:
        prompt_ids: names of the prompts, for messages.
        texts: the rendered prompts.
        ids: their tokens, from `token_ids`; the same for every continuation.
        continuation: a text.
        tokenizer: of the model.

    Raises:
        InputError: the continuation has no tokens, or changes how the prompt is tokenised; the
            message names the prompt.
    """
    joined_texts = join(texts, [continuation] * len(texts), tokenizer)
    targets = []
    for prompt_id, alone, joined in zip(
        prompt_ids, ids, token_ids(joined_texts, tokenizer), strict=True
    ):
        if joined[: len(alone)] != alone:
            raise InputError(
                f"prompt {prompt_id}: followed by {continuation!r} its last tokens change, so the "
                "continuation has no probability of its own; end the prompt at a word."
            )
        if len(joined) == len(alone):
            raise InputError(
                f"prompt {prompt_id}: the continuation {continuation!r} has no tokens."
            )
        targets.append(torch.tensor(joined[len(alone) :]))
    return torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=NO_TOKEN)


def teacher_forced(
    loaded: LoadedModel, encoded: Encoded, targets: Sequence[Int[Tensor, "b _"]]
) -> Float[Tensor, "b c"]:
    """Summed log probabilities of each continuation; a target of `NO_TOKEN` counts nothing.

    One continuation is run with its prompts. Of several, each is run on what the prompts left
    behind, so that those, the most of the work, are run once.
    """
    # The last target is predicted and never read, so the logits wanted start at the prompts' last
    # column: the same for all rows, which is why the prompts are padded on the left.
    with torch.inference_mode():
        if len(targets) == 1:
            logits_BTV = forward(loaded, encoded, targets[0][:, :-1], use_cache=False).logits
            return _summed(logits_BTV, targets[0])[:, None].cpu()
        prompts = forward(loaded, encoded, targets[0][:, :0], use_cache=True)
        totals = [_summed(prompts.logits, target_BT[:, :1]) for target_BT in targets]
        for total_B, target_BT in zip(totals, targets, strict=True):
            if target_BT.shape[1] > 1:
                # A copy, as a forward writes into what it reads.
                past = deepcopy(prompts.past_key_values)
                rest = forward(loaded, encoded, target_BT[:, :-1], past_key_values=past)
                total_B += _summed(rest.logits, target_BT[:, 1:])
        return torch.stack(totals, 1).cpu()


def forward(
    loaded: LoadedModel, encoded: Encoded, read_BT: Int[Tensor, "b t"], **options: Any
) -> Any:
    """Output after the prompts and what is read behind them; of the prompts only the last logits.

    With `past_key_values`, of the prompts, those are not read again and have no logits.
    """
    attention_mask_BT = torch.cat([encoded.attention_mask_BT, (read_BT != NO_TOKEN).long()], 1)
    position_ids_BT = (attention_mask_BT.cumsum(-1) - 1).clamp(min=0)
    input_ids_BT = torch.cat([encoded.input_ids_BT, read_BT.clamp(min=0)], 1)
    n_read = read_BT.shape[1] if "past_key_values" in options else input_ids_BT.shape[1]
    return loaded.model(
        input_ids=input_ids_BT[:, -n_read:].to(loaded.device),
        attention_mask=attention_mask_BT.to(loaded.device),
        position_ids=position_ids_BT[:, -n_read:].to(loaded.device),
        logits_to_keep=min(n_read, read_BT.shape[1] + 1),
        **options,
    )


def _summed(
    logits_BTV: Float[Tensor, "b t v"], target_BT: Int[Tensor, "b t"]
) -> Float[Tensor, " b"]:
    """Sum over places of the targets' log probabilities."""
    total_B = torch.zeros(len(target_BT), device=logits_BTV.device)
    for target_B, logits_BV in zip(
        target_BT.to(logits_BTV.device).unbind(1), logits_BTV.unbind(1), strict=True
    ):
        # Place by place: one float32 copy of a large vocabulary at a time.
        logits_BV = logits_BV.float()
        logit_B = logits_BV.gather(1, target_B.clamp(min=0)[:, None])[:, 0]
        total_B += (logit_B - logits_BV.logsumexp(-1)) * (target_B != NO_TOKEN)
    return total_B


def token_ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Token ids of rendered texts, all at once."""
    return [ids for chunk in tokenize(texts, tokenizer) for ids in chunk]
