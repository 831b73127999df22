"""How likely a model is to continue a prompt with given words, and so to abstain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded, PromptSet, encode, render, token_budget_batches
from interp.prompts.encoding import join, tokenize

EditBatch = Callable[[Encoded, list[int]], AbstractContextManager[Any]]
"""Given a batch's left-padded prompts and their rows in the prompt set, a context (such as
`interp.interventions.intervene`) in which every forward of the batch runs."""

# log p comes from float32 logits; nearer to 1 than this, 1 - p is rounding.
_CEILING = float(np.log1p(-1e-6))
_NO_TOKEN = -1


def continuation_logprobs(
    loaded: LoadedModel,
    prompts: PromptSet,
    continuations: Sequence[str],
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> Float[Tensor, "n c"]:
    """Log probability of each continuation after each prompt: the sum over its tokens.

    A continuation is tokenised together with its prompt, after one space unless the prompt ends in
    a space, a line break or an added token such as a turn marker. It is scored as the beginning of
    the reply: what follows it is free.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        continuations: texts; one forward for each, per batch.
        edits: makes the context that each forward runs in. The prompts are the first columns of
            every forward, left-padded, as in the batch it is given.
        token_budget: most tokens in a forward, padding included.

    Returns:
        float32 on the CPU, rows in the order of the prompts.

    Raises:
        InputError: a continuation without tokens, or one that changes how the prompt before it
            is tokenised.
    """
    texts = render(prompts, loaded.tokenizer)
    prompt_ids = prompts.frame["prompt_id"].tolist()
    lengths = [len(ids) for ids in _token_ids(texts, loaded.tokenizer)]
    logprobs_NC = torch.empty(len(texts), len(continuations))
    for column, continuation in enumerate(continuations):
        target_NC = _targets(prompt_ids, texts, continuation, loaded.tokenizer)
        widths = [length + target_NC.shape[1] for length in lengths]
        for rows in token_budget_batches(widths, token_budget):
            encoded = encode([texts[row] for row in rows], loaded.tokenizer, side="left")
            context = edits(encoded, rows) if edits else nullcontext()
            with context:
                logprobs_NC[rows, column] = _teacher_forced(loaded, encoded, target_NC[rows])
    return logprobs_NC


def abstention_probability(
    loaded: LoadedModel,
    prompts: PromptSet,
    phrases: Sequence[str],
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> np.ndarray:
    """Probability that the reply begins with one of the phrases, shape (n,), float64.

    Raises:
        InputError: no phrases, a phrase that begins with another one (both would be counted), or
            as `continuation_logprobs`.
    """
    return np.exp(_log_abstention(loaded, prompts, phrases, edits, token_budget))


def abstention_score(
    loaded: LoadedModel,
    prompts: PromptSet,
    phrases: Sequence[str],
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> np.ndarray:
    """Log odds of `abstention_probability`, shape (n,), float64.

    Worked out from log probabilities, so that scores far below 0, where a model that no longer
    abstains has all of them, keep their order.

    Raises:
        InputError: as `abstention_probability`.
    """
    log_p_N = _log_abstention(loaded, prompts, phrases, edits, token_budget)
    return log_p_N - np.log(-np.expm1(log_p_N))


def _log_abstention(
    loaded: LoadedModel,
    prompts: PromptSet,
    phrases: Sequence[str],
    edits: EditBatch | None,
    token_budget: int,
) -> np.ndarray:
    if not phrases:
        raise InputError("abstention: no phrases; name at least one, e.g. 'I don't know'.")
    _check_disjoint(loaded, prompts, phrases)
    logprobs_NC = continuation_logprobs(
        loaded, prompts, phrases, edits=edits, token_budget=token_budget
    )
    return np.logaddexp.reduce(logprobs_NC.double().numpy(), axis=1).clip(max=_CEILING)


def _check_disjoint(loaded: LoadedModel, prompts: PromptSet, phrases: Sequence[str]) -> None:
    # One prompt shows it: whether one phrase's tokens begin another's is up to the phrases.
    first = prompts.where(np.arange(len(prompts)) == 0)
    first_id, first_text = first.frame["prompt_id"].iloc[0], render(first, loaded.tokenizer)[0]
    targets = [
        _targets([first_id], [first_text], phrase, loaded.tokenizer)[0].tolist()
        for phrase in phrases
    ]
    for long, phrase in enumerate(phrases):
        for short, other in enumerate(phrases):
            if long != short and targets[long][: len(targets[short])] == targets[short]:
                raise InputError(
                    f"abstention: the phrase {phrase!r} begins with {other!r}, so its probability "
                    "would be counted twice; keep the shorter one only."
                )


def _teacher_forced(
    loaded: LoadedModel, encoded: Encoded, target_BC: Int[Tensor, "b c"]
) -> Float[Tensor, " b"]:
    """Sum of the targets' log probabilities; a target of `_NO_TOKEN` counts nothing."""
    # The last target is predicted and never read, so the prompts' logits start one column early:
    # the same columns for all rows, which is why the prompts are padded on the left.
    read_BC = target_BC[:, :-1]
    attention_mask_BT = torch.cat([encoded.attention_mask_BT, (read_BC != _NO_TOKEN).long()], 1)
    with torch.inference_mode():
        logits_BCV = loaded.model(
            input_ids=torch.cat([encoded.input_ids_BT, read_BC.clamp(min=0)], 1).to(loaded.device),
            attention_mask=attention_mask_BT.to(loaded.device),
            position_ids=(attention_mask_BT.cumsum(-1) - 1).clamp(min=0).to(loaded.device),
            use_cache=False,
            logits_to_keep=target_BC.shape[1],
        ).logits
        total_B = torch.zeros(len(target_BC), device=loaded.device)
        for target_B, logits_BV in zip(
            target_BC.to(loaded.device).unbind(1), logits_BCV.unbind(1), strict=True
        ):
            # Position by position: one float32 copy of a large vocabulary at a time.
            logits_BV = logits_BV.float()
            logit_B = logits_BV.gather(1, target_B.clamp(min=0)[:, None])[:, 0]
            total_B += (logit_B - logits_BV.logsumexp(-1)) * (target_B != _NO_TOKEN)
    return total_B.cpu()


def _targets(
    prompt_ids: Sequence[object], texts: Sequence[str], continuation: str, tokenizer: Any
) -> Int[Tensor, "n c"]:
    """Token ids of the continuation after each prompt, filled up with `_NO_TOKEN`."""
    joined_texts = join(texts, [continuation] * len(texts), tokenizer)
    targets = []
    for prompt_id, alone, joined in zip(
        prompt_ids, _token_ids(texts, tokenizer), _token_ids(joined_texts, tokenizer), strict=True
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
    return torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=_NO_TOKEN)


def _token_ids(texts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    return [ids for chunk in tokenize(texts, tokenizer) for ids in chunk]
