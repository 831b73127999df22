"""Given replies behind their prompts: their tokens, batches of them, and what the head reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from interp.activations.asking import check_lengths
from interp.behavior.scores.teacher_forcing import forward, token_ids
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded, PromptSet, render
from interp.prompts.encoding import join


def reply_tokens(
    loaded: LoadedModel, prompts: PromptSet, replies: Sequence[str | Sequence[int]]
) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens of each prompt, and of its reply behind it.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        replies: one a prompt: a text, tokenised together with its prompt, or token ids.

    Raises:
        InputError: names the prompt that is empty, whose last tokens change with its reply, that is
            beyond the model's context with it, or whose reply has tokens that the model lacks.
    """
    tokenizer, names = loaded.tokenizer, prompts.frame["prompt_id"].tolist()
    texts = render(prompts, tokenizer)
    prompt_ids = token_ids(texts, tokenizer)
    check_lengths([np.array(ids) for ids in prompt_ids], prompts, loaded)
    # An empty reply has no tokens, whatever the space before it would be.
    said = [reply if isinstance(reply, str) and reply else None for reply in replies]
    joined = join(
        [text for text, reply in zip(texts, said, strict=True) if reply is not None],
        [reply for reply in said if reply is not None],
        tokenizer,
    )
    joined_ids = iter(token_ids(joined, tokenizer))
    n_vocab = loaded.model.get_input_embeddings().weight.shape[0]
    reply_ids: list[list[int]] = []
    for name, alone, text, reply in zip(names, prompt_ids, said, replies, strict=True):
        if text is not None:
            ids = next(joined_ids)
            if ids[: len(alone)] != alone:
                raise InputError(
                    f"prompt {name}: its last tokens change with the reply behind it, which so has "
                    "no probability of its own; give the reply as token ids."
                )
            reply_ids.append(ids[len(alone) :])
        else:
            reply_ids.append([int(token) for token in reply])
        if outside := [token for token in reply_ids[-1] if not 0 <= token < n_vocab]:
            raise InputError(
                f"prompt {name}: token {outside[0]} in its reply; {loaded.checkpoint.name} has "
                f"tokens from 0 to {n_vocab - 1}."
            )
    whole = [np.array([*a, *b]) for a, b in zip(prompt_ids, reply_ids, strict=True)]
    check_lengths(whole, prompts, loaded)
    return prompt_ids, reply_ids


def reply_batches(sizes: Sequence[tuple[int, int]], budget: int) -> list[list[int]]:
    """Rows of similar length: rows x (longest prompt + longest reply) is at most the budget.

    As `interp.prompts.token_budget_batches`, for prompts and replies that are padded apart.

    Args:
        sizes: tokens of each prompt and of its reply; a row without a reply is in no batch.
        budget: most tokens in a batch, padding included; a row beyond it is a batch of its own.

    Raises:
        InputError: the budget is below 1.
    """
    if budget < 1:
        raise InputError(f"token budget: {budget}; expected at least 1 token a batch")
    batches: list[list[int]] = []
    prompt = reply = 0
    for row in sorted(range(len(sizes)), key=lambda row: -sum(sizes[row])):
        if not sizes[row][1]:
            continue
        wide = max(prompt, sizes[row][0]) + max(reply, sizes[row][1])
        if batches and (len(batches[-1]) + 1) * wide <= budget:
            batches[-1].append(row)
            prompt, reply = max(prompt, sizes[row][0]), max(reply, sizes[row][1])
        else:
            batches.append([row])
            prompt, reply = sizes[row]
    return batches


def head_states(
    loaded: LoadedModel, prompts: Encoded, reply_BC: Int[Tensor, "b c"]
) -> Float[Tensor, "b c d"]:
    """What the head reads where it predicts each token of the replies, from one forward.

    The logits of all these places, [b, c, vocabulary], are never there at once.

    Args:
        loaded: the model.
        prompts: left-padded; the first columns of the forward.
        reply_BC: the reply behind each prompt, filled up with `NO_TOKEN`; at least one column.

    Returns:
        In the model's dtype; what stands where a reply has ended means nothing.
    """
    states: list[Tensor] = []

    def keep(state_BCD: Tensor) -> Tensor:
        states.append(state_BCD)
        return state_BCD[:, :1]

    with torch.inference_mode(), _before_head(loaded, keep):
        # The last token of the longest reply is predicted and never read.
        forward(loaded, prompts, reply_BC[:, :-1], use_cache=False)
    return states[0]


def head_logits(loaded: LoadedModel, state_ED: Float[Tensor, "e d"]) -> Float[Tensor, "e v"]:
    """Logits of states from `head_states`, in the model's dtype.

    The model itself runs its head, and what stands behind it (Gemma 2 caps its logits, Cohere
    scales them): it reads one token, and the states take the place of what its blocks make of it.
    """
    with torch.inference_mode(), _before_head(loaded, lambda _: state_ED[None]):
        token_11 = torch.zeros(1, 1, dtype=torch.long, device=loaded.device)
        return loaded.model(input_ids=token_11, use_cache=False).logits[0]


def head_size(loaded: LoadedModel) -> int:
    """Logits of one state."""
    head: Any = loaded.model.get_output_embeddings()
    return int(head.out_features)


@contextmanager
def _before_head(loaded: LoadedModel, swap: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Lets the head read something else than the states that it is given."""

    def hook(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (swap(args[0]), *args[1:])

    head: Any = loaded.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
