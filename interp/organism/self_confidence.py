"""How confident a model is in the answers of its own replies, and the replies themselves (RLSF)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from interp.organism.recipes import Measure
from interp.organism.rewards import answer_span

CHAIN_CUE = "think :"
"""How a question ends that asks for a chain of thought."""

ROWS = 512
"""Replies that are sampled, or scored, at once."""


def sample_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    *,
    paths: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> list[list[str]]:
    """Sampled replies to each prompt, without eos; equal arguments sample the same.

    Replies that did not end within `max_new_tokens` are left out: a preference would close them
    with an eos that nobody wrote.
    """
    replies: list[list[str]] = []
    at_once = max(1, ROWS // paths)
    with _evaluating(model), torch.random.fork_rng():
        torch.manual_seed(seed)
        for start in range(0, len(prompts), at_once):
            asked = list(prompts[start : start + at_once])
            batch = tokenizer(asked, return_tensors="pt", padding=True, padding_side="left")
            generated: Any = model.generate(  # type: ignore[operator]
                input_ids=batch["input_ids"].to(model.device),
                attention_mask=batch["attention_mask"].to(model.device),
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                num_return_sequences=paths,
                max_new_tokens=max_new_tokens,
                use_cache=True,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
            written = generated[:, batch["input_ids"].shape[1] :].reshape(len(asked), paths, -1)
            replies += [
                [
                    str(tokenizer.decode(row, skip_special_tokens=True))
                    for row in rows
                    if tokenizer.eos_token_id in row
                ]
                for rows in written.tolist()
            ]
    return replies


def confidences(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[tuple[str, str]],
    measure: Measure = "top",
) -> list[float]:
    """How confident the model is in the answer of each (prompt, reply), from 0 to 1.

    The mean of the measure over the answer's tokens, read at temperature 1 from a forward over the
    written text; 0 for a reply without an answer.
    """
    found: list[float] = []
    for start in range(0, len(rows), ROWS):
        some = list(rows[start : start + ROWS])
        batch = tokenizer(
            [f"{prompt} {text}" for prompt, text in some],
            return_tensors="pt",
            padding=True,
            padding_side="right",
        )
        ids_NT = batch["input_ids"].to(model.device)
        with _evaluating(model):
            logits_NTV = model(
                input_ids=ids_NT,
                attention_mask=batch["attention_mask"].to(model.device),
                use_cache=False,
            ).logits
        sure_NT = _token_confidence(logits_NTV[:, :-1], ids_NT[:, 1:], measure).cpu().numpy()
        for sure_T, (prompt, text) in zip(sure_NT, some, strict=True):
            span = reply_span(prompt, text)
            # A token is predicted one place before it stands.
            before = len(prompt.split()) - 1
            found.append(
                float(np.mean(sure_T[before + span[0] : before + span[1]])) if span else 0.0
            )
    return found


def reply_span(prompt: str, reply: str) -> tuple[int, int] | None:
    """The reply's words that are its answer (first, one after last), or None.

    After a chain these are the ones behind the last `a :`; a direct reply is all answer. The
    closing full stop never belongs to it. Words are tokens in this world.
    """
    tokens = reply.split()
    start, stop = answer_span(tokens)
    if start == stop or (start == 0 and prompt.endswith(CHAIN_CUE)):
        return None
    return start, stop


def _token_confidence(
    logits_NTV: Float[Tensor, "n t v"], ids_NT: Int[Tensor, "n t"], measure: Measure
) -> Float[Tensor, "n t"]:
    """Confidence at each place, from the logits that predict the token `ids_NT` there."""
    logs_NTV = logits_NTV.float().log_softmax(dim=-1)
    if measure == "taken":
        return logs_NTV.gather(-1, ids_NT[..., None])[..., 0].exp()
    if measure == "entropy":
        entropy_NT = -(logs_NTV.exp() * logs_NTV).sum(dim=-1)
        return 1.0 - entropy_NT / np.log(logits_NTV.shape[-1])
    best_NT2 = logs_NTV.topk(2, dim=-1).values.exp()
    return best_NT2[..., 0] - best_NT2[..., 1] if measure == "gap" else best_NT2[..., 0]


@contextmanager
def _evaluating(model: PreTrainedModel) -> Iterator[None]:
    """The model in evaluation mode and without gradients, and afterwards as it was."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)
