"""Relearning: how fast a few examples bring a behaviour back, with all weights or the upper ones.

Savings in relearning against a control that never had the ability tell a suppressed ability from
an erased one, on held-out items only (Deeb and Roger, arXiv 2410.08827).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions.masters import Masters
from interp.interventions.parts import parts_of, untied_copy
from interp.prompts import encode
from interp.prompts.encoding import join

_IGNORE = -100
_MAX_GRAD_NORM = 1.0


@dataclass(frozen=True, eq=False)
class RelearnCurve:
    """The dev score along the training steps, and the model at its best.

    Attributes:
        steps: the steps evaluated, 0 (the model as given) first.
        dev_scores: one per step in `steps`; higher is better.
        best_step: the earliest step with the best score.
        best_model: a copy of the model as of that step.
    """

    steps: list[int]
    dev_scores: list[float]
    best_step: int
    best_model: LoadedModel


@dataclass(frozen=True)
class _Example:
    """Token ids of prompt and completion, and how many belong to the prompt."""

    ids: list[int]
    n_prompt: int


def relearn(
    loaded: LoadedModel,
    examples: Sequence[tuple[str, str]],
    *,
    scope: Literal["all", "upper"],
    n_upper: int = 2,
    steps: int,
    lr: float,
    batch_size: int,
    eval_every: int,
    evaluate: Callable[[LoadedModel], float],
    seed: int,
) -> RelearnCurve:
    """Fine-tunes a copy on (prompt, completion) pairs and keeps its state of best dev score.

    AdamW (betas 0.9 and 0.999, no weight decay) at a constant rate, gradient norm clipped at 1,
    dropout off, loss averaged over the completion tokens of a batch. The order of the examples is
    the only randomness. Weights of a narrow dtype are trained by way of a float32 copy (`Masters`).

    Args:
        loaded: the model to start from; left as it was.
        examples: rendered prompt and completion, joined by a space where the prompt does not end
            in one; the tokenizer's end token follows if it has one.
        scope: "upper" trains the last `n_upper` blocks, the final norm and the head only.
        n_upper: blocks trained under scope "upper"; a tied head is untied from the embedding.
        steps: optimizer steps.
        lr: learning rate.
        batch_size: examples a step; all of them if there are fewer.
        eval_every: steps between evaluations; step 0 and the last step are always evaluated.
        evaluate: dev score of the model in training; called between steps, must leave it alone.
        seed: of the order of the examples.

    Raises:
        InputError: no examples, a completion without tokens or one that changes the tokens of
            its prompt, a count below 1, `n_upper` above the number of layers, or a dev score that
            is not a number.
    """
    _check_counts(loaded, scope, n_upper, steps, batch_size, eval_every)
    encoded = _encode(loaded, examples)
    student = untied_copy(loaded, f"{loaded.checkpoint.name} relearned")
    trained = _trained(student, scope, n_upper)
    were_trained = [parameter.requires_grad for parameter in student.model.parameters()]
    student.model.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    masters = Masters(trained)
    optimizer = torch.optim.AdamW(masters.parameters, lr=lr, weight_decay=0.0, fused=True)
    batches = _batches(encoded, batch_size, seed)

    curve = [_score(student, evaluate, 0)]
    best_step, best_state = 0, _snapshot(trained)
    evaluated = [0]
    for step in range(1, steps + 1):
        _train_step(student, next(batches), masters, optimizer)
        if step % eval_every and step != steps:
            continue
        score = _score(student, evaluate, step)
        if score > max(curve):
            best_step, best_state = step, _snapshot(trained)
        evaluated.append(step)
        curve.append(score)

    with torch.no_grad():
        for parameter, value in zip(trained, best_state, strict=True):
            parameter.copy_(value)
    masters.forget_gradients()
    for parameter, flag in zip(student.model.parameters(), were_trained, strict=True):
        parameter.requires_grad_(flag)
    return RelearnCurve(evaluated, curve, best_step, student)


def _train_step(
    student: LoadedModel,
    batch: list[_Example],
    masters: Masters,
    optimizer: torch.optim.Optimizer,
) -> None:
    ids_BT, real_BT, labels_BT = (tensor.to(student.device) for tensor in _pad(batch))
    with torch.enable_grad():
        logits_BTV = student.model(input_ids=ids_BT, attention_mask=real_BT, use_cache=False).logits
        # The logits at a token predict the next one; only completion tokens are predicted.
        predicted_BT = labels_BT[:, 1:] != _IGNORE
        loss = nn.functional.cross_entropy(
            logits_BTV[:, :-1][predicted_BT].float(), labels_BT[:, 1:][predicted_BT]
        )
        masters.forget_gradients()
        loss.backward()
    masters.take_gradients()
    nn.utils.clip_grad_norm_(masters.parameters, _MAX_GRAD_NORM)
    optimizer.step()
    masters.write_back()


def _pad(batch: list[_Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids, attention mask, and labels that are ignored on prompt and padding."""
    width = max(len(example.ids) for example in batch)
    ids_BT = torch.zeros(len(batch), width, dtype=torch.long)
    real_BT = torch.zeros_like(ids_BT)
    labels_BT = torch.full_like(ids_BT, _IGNORE)
    for row, example in enumerate(batch):
        n = len(example.ids)
        ids_BT[row, :n] = torch.tensor(example.ids)
        real_BT[row, :n] = 1
        labels_BT[row, example.n_prompt : n] = ids_BT[row, example.n_prompt : n]
    return ids_BT, real_BT, labels_BT


def _batches(encoded: list[_Example], batch_size: int, seed: int) -> Iterator[list[_Example]]:
    """Shuffled epochs without end; a batch may span two epochs, so that all are of one size."""
    generator = torch.Generator().manual_seed(seed)
    size = min(batch_size, len(encoded))
    waiting: list[int] = []
    while True:
        while len(waiting) < size:
            waiting += torch.randperm(len(encoded), generator=generator).tolist()
        yield [encoded[index] for index in waiting[:size]]
        waiting = waiting[size:]


def _encode(loaded: LoadedModel, examples: Sequence[tuple[str, str]]) -> list[_Example]:
    if not examples:
        raise InputError("relearn: no examples; pass at least one (prompt, completion).")
    tokenizer = loaded.tokenizer
    texts = [prompt for prompt, _ in examples]
    prompts = _token_ids(texts, tokenizer)
    joined = _token_ids(join(texts, [reply for _, reply in examples], tokenizer), tokenizer)
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for row, (prompt_ids, ids) in enumerate(zip(prompts, joined, strict=True)):
        if ids[: len(prompt_ids)] != prompt_ids:
            raise InputError(
                f"relearn: the completion of example {row} changes the tokens its prompt ends in; "
                "end the prompt at a word."
            )
        if len(ids) == len(prompt_ids):
            raise InputError(f"relearn: the completion of example {row} is empty; give its text.")
    return [
        _Example(ids + end, len(prompt_ids))
        for prompt_ids, ids in zip(prompts, joined, strict=True)
    ]


def _token_ids(texts: list[str], tokenizer: Any) -> list[list[int]]:
    encoded = encode(texts, tokenizer, side="right")
    return [
        ids_T[:length].tolist()
        for ids_T, length in zip(encoded.input_ids_BT, encoded.lengths_B.tolist(), strict=True)
    ]


def _trained(
    student: LoadedModel, scope: Literal["all", "upper"], n_upper: int
) -> list[nn.Parameter]:
    if scope == "all":
        return list(student.model.parameters())
    parts = parts_of(student)
    names = parts.top.union(*parts.blocks[student.n_layers - n_upper :])
    return [parameter for name, parameter in student.model.named_parameters() if name in names]


def _score(student: LoadedModel, evaluate: Callable[[LoadedModel], float], step: int) -> float:
    score = float(evaluate(student))
    if math.isnan(score):
        raise InputError(f"relearn: the dev score at step {step} is not a number.")
    return score


def _snapshot(trained: list[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in trained]


def _check_counts(
    loaded: LoadedModel, scope: str, n_upper: int, steps: int, batch_size: int, eval_every: int
) -> None:
    for name, count in (("steps", steps), ("batch_size", batch_size), ("eval_every", eval_every)):
        if count < 1:
            raise InputError(f"relearn: {name} is {count}; expected at least 1.")
    if scope == "upper" and not 0 <= n_upper <= loaded.n_layers:
        raise InputError(
            f"relearn: n_upper is {n_upper}; expected 0 to {loaded.n_layers}, the layers of "
            f"{loaded.checkpoint.name}."
        )
