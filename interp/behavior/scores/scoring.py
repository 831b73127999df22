"""How likely a model is to continue a prompt with given words, and so to abstain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.behavior.scores.teacher_forcing import (
    NO_TOKEN,
    target_tokens,
    teacher_forced,
    token_ids,
)
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded, PromptSet, render, token_budget_batches
from interp.prompts.encoding import pad

EditBatch = Callable[[Encoded, list[int]], AbstractContextManager[Any]]
"""Given a batch's left-padded prompts and their rows in the prompt set, a context (such as
`interp.interventions.intervene`) in which every forward of the batch runs."""

# log p is float32 at best; nearer to 1 than this, 1 - p is rounding.
_CEILING = float(np.log1p(-1e-6))


@dataclass(frozen=True, eq=False)
class ContinuationLogprobs:
    """What a model gives C continuations after N prompts.

    Log-softmax and sum are float32, but the logits are as the model's head gives them. Those of a
    model in bfloat16 have 8 significant bits: from 16 to 32 they lie 0.125 apart, so that close
    continuations tie. Load a model in float32 to tell them apart.

    Attributes:
        logprob_NC: log probability of the continuation, summed over its tokens, in nats.
        length_NC: its tokens. After another prompt the same words may be other tokens.
    """

    logprob_NC: Float[Tensor, "n c"]
    length_NC: Int[Tensor, "n c"]


def continuation_logprobs(
    loaded: LoadedModel,
    prompts: PromptSet,
    continuations: Sequence[str],
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> Float[Tensor, "n c"]:
    """The `logprob_NC` of `measured_continuations`, for whom lengths do not matter.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        continuations: texts; one forward for each, per batch.
        edits: makes the context that each batch is read in; none by default.
        token_budget: most tokens in a forward, padding included.
    """
    return measured_continuations(
        loaded, prompts, continuations, edits=edits, token_budget=token_budget
    ).logprob_NC


def measured_continuations(
    loaded: LoadedModel,
    prompts: PromptSet,
    continuations: Sequence[str],
    *,
    disjoint: bool = False,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> ContinuationLogprobs:
    """Log probability of each continuation after each prompt, the sum over its tokens, and length.

    A continuation is tokenised together with its prompt, after one space unless the prompt ends in
    a space, a line break or an added token such as a turn marker. It is scored as the beginning of
    the reply: what follows it is free. A prompt is read once for all of its continuations, unless
    there are edits, or only one.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        continuations: texts; one forward for each, per batch.
        disjoint: their probabilities will be summed, so none may begin with another one.
        edits: makes the context that each forward runs in. The prompts are the first columns of
            every forward, left-padded, as in the batch it is given.
        token_budget: most tokens in a batch, padding and the longest continuation included.

    Returns:
        float32 and int64 on the CPU, rows in the order of the prompts.

    Raises:
        InputError: a continuation without tokens, one that changes how the prompt before it is
            tokenised, or, if they are to be disjoint, one whose tokens begin with another one's
            after some prompt.
    """
    texts = render(prompts, loaded.tokenizer)
    prompt_ids = prompts.frame["prompt_id"].tolist()
    ids = token_ids(texts, loaded.tokenizer)
    targets = [
        target_tokens(prompt_ids, texts, ids, continuation, loaded.tokenizer)
        for continuation in continuations
    ]
    if disjoint:
        _check_disjoint(prompt_ids, targets, continuations)
    logprob_NC = torch.empty(len(texts), len(targets))
    # Edits are made at the prompts, so under them a forward holds those and one continuation.
    together = max(1, len(targets)) if edits is None else 1
    for start in range(0, len(targets), together):
        columns = slice(start, start + together)
        widest = max(target_NT.shape[1] for target_NT in targets[columns])
        for rows in token_budget_batches([len(own) + widest for own in ids], token_budget):
            encoded = pad([ids[row] for row in rows], loaded.tokenizer, side="left")
            of_rows = [target_NT[rows] for target_NT in targets[columns]]
            with edits(encoded, rows) if edits else nullcontext():
                logprob_NC[rows, columns] = teacher_forced(loaded, encoded, of_rows)
    length_NC = torch.empty(len(texts), len(targets), dtype=torch.long)
    for column, target_NT in enumerate(targets):
        length_NC[:, column] = (target_NT != NO_TOKEN).sum(1)
    return ContinuationLogprobs(logprob_NC, length_NC)


def log_odds(logprob_NC: np.ndarray) -> np.ndarray:
    """Log odds of the sum of each row's probabilities, [n]: of any of these disjoint events.

    Worked out from log probabilities, so that those far below 0 keep their order.
    """
    log_p_N = np.logaddexp.reduce(np.asarray(logprob_NC, dtype=float), axis=1).clip(max=_CEILING)
    return log_p_N - np.log(-np.expm1(log_p_N))


def abstention_probability(
    loaded: LoadedModel,
    prompts: PromptSet,
    phrases: Sequence[str],
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> np.ndarray:
    """Probability that the reply begins with one of the phrases, shape (n,), float64.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        phrases: how abstaining begins; none may begin with another.
        edits: makes the context that each batch is read in; none by default.
        token_budget: most tokens in a forward, padding included.

    Raises:
        InputError: no phrases, a phrase whose tokens begin with another one's after some prompt
            (both would be counted), or as `continuation_logprobs`.
    """
    logprob_NC = _phrase_logprobs(loaded, prompts, phrases, edits, token_budget)
    return np.exp(np.logaddexp.reduce(logprob_NC, axis=1).clip(max=_CEILING))


def abstention_score(
    loaded: LoadedModel,
    prompts: PromptSet,
    phrases: Sequence[str],
    *,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> np.ndarray:
    """Log odds of `abstention_probability`, shape (n,), float64.

    Scores far below 0, where a model that no longer abstains has all of them, keep their order.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        phrases: how abstaining begins; none may begin with another.
        edits: makes the context that each batch is read in; none by default.
        token_budget: most tokens in a forward, padding included.

    Raises:
        InputError: as `abstention_probability`.
    """
    return log_odds(_phrase_logprobs(loaded, prompts, phrases, edits, token_budget))


def _check_disjoint(
    prompt_ids: Sequence[object],
    targets: Sequence[Int[Tensor, "n _"]],
    continuations: Sequence[str],
) -> None:
    """Refuses continuations that could both begin a reply, so that their sum counts it twice."""
    # How a continuation is tokenised is up to how prompts end, of which there are few ways.
    _, first = np.unique(torch.cat(list(targets), 1).numpy(), axis=0, return_index=True)
    for row in sorted(first.tolist()):
        tokens = [target_T[target_T != NO_TOKEN].tolist() for target_T in (t[row] for t in targets)]
        each = zip(continuations, tokens, strict=True)
        for (short, start), (long, whole) in permutations(each, 2):
            if whole[: len(start)] == start:
                raise InputError(
                    f"abstention: after prompt {prompt_ids[row]} {long!r} begins with {short!r} in "
                    "tokens, so its probability would be counted twice; keep the shorter one only."
                )


def _phrase_logprobs(
    loaded: LoadedModel,
    prompts: PromptSet,
    phrases: Sequence[str],
    edits: EditBatch | None,
    token_budget: int,
) -> np.ndarray:
    if not phrases:
        raise InputError("abstention: no phrases; name at least one, e.g. 'I don't know'.")
    measured = measured_continuations(
        loaded, prompts, phrases, disjoint=True, edits=edits, token_budget=token_budget
    )
    return measured.logprob_NC.double().numpy()
