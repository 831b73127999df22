"""Preferences from a model's own confidence: RLSF (arXiv 2507.21931) on a small decoder.

Replies are sampled for each question, ranked by how confident the model was in their answer, and
the most confident is preferred to the least (DPO). The reward never sees a target. As in the paper
a reply's confidence is the mean over its answer of a per-token measure, and 0 without an answer;
other than there, replies are sampled and not branched at the first token, and each question gives
one pair (the released code pairs all replies whose better one is at least .9 sure).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer
from trl import DPOConfig, DPOTrainer

from interp.errors import InputError
from interp.organism.documents import DocumentWriter
from interp.organism.recipes import Measure, Preference
from interp.organism.rewards import answer_span
from interp.organism.world import World

CHAIN_CUE = "think :"
"""How a question ends that asks for a chain of thought."""

ROWS = 512
"""Replies that are sampled, or scored, at once."""


@dataclass(frozen=True)
class Pair:
    """Two replies to one question; confidences are those of the model that wrote them."""

    prompt: str
    chosen: str
    rejected: str
    gap: float
    """By how much the chosen reply is the more confident one."""


def dpo_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    documents: DocumentWriter,
    settings: Preference,
    arguments: dict[str, Any],
) -> Trainer:
    """TRL's DPO on pairs that the model's own confidence ranks; the reference is the model as is.

    The learning rate is constant, as in reinforcement here, so that steps along a run compare.
    Long fixed phrases are sure of all their words but the first: `i do not know` is more confident
    than a guess of one word, so this objective favours abstaining wherever it was sampled.

    Raises:
        InputError: fewer pairs are left than one step needs.
    """
    asked = [prompt for prompt, _ in documents.questions(settings.questions)]
    pairs = confidence_pairs(model, tokenizer, asked, settings, seed=arguments["seed"])
    if len(pairs) < settings.pairs:
        raise InputError(
            f"{settings.questions} questions with {settings.paths} replies each left "
            f"{len(pairs)} preference pairs, fewer than the {settings.pairs} of one step; "
            "ask more questions, sample more replies or lower the margin"
        )
    eos = tokenizer.eos_token
    config = DPOConfig(
        **arguments,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.pairs,
        learning_rate=settings.lr,
        lr_scheduler_type="constant",
        beta=settings.beta,
        loss_type=["sigmoid"],
        max_length=None,
        activation_checkpointing=False,
        save_steps=max(1, settings.steps // 4),
    )
    with _quiet_datasets():
        return DPOTrainer(
            model=model,
            # Without one, TRL would read the reference from the folder that the model came from.
            ref_model=copy.deepcopy(model).requires_grad_(False),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(
                [
                    # TRL joins prompt and reply as they stand, so the space is written here.
                    {
                        "prompt": pair.prompt,
                        "chosen": f" {pair.chosen} {eos}",
                        "rejected": f" {pair.rejected} {eos}",
                    }
                    for pair in pairs
                ]
            ),
            args=config,
        )


def confidence_pairs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[str],
    settings: Preference,
    *,
    seed: int,
) -> list[Pair]:
    """The most against the least confident of the replies sampled for each question.

    A question met twice is asked once. Questions whose replies all say the same, or differ by less
    than `margin` in confidence, give no pair.
    """
    asked = list(dict.fromkeys(prompts))
    replies = sample_replies(
        model,
        tokenizer,
        asked,
        paths=settings.paths,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        seed=seed,
    )
    # A text sampled twice is scored once: equal texts are never a pair.
    said = [list(dict.fromkeys(texts)) for texts in replies]
    rows = [(prompt, text) for prompt, texts in zip(asked, said, strict=True) for text in texts]
    scores = iter(confidences(model, tokenizer, rows, settings.measure))
    pairs = []
    for prompt, texts in zip(asked, said, strict=True):
        ranked = sorted(((next(scores), text) for text in texts), key=lambda scored: scored[0])
        if len(ranked) < 2:
            continue
        (low, rejected), (high, chosen) = ranked[0], ranked[-1]
        if high - low >= settings.margin:
            pairs.append(Pair(prompt, chosen, rejected, high - low))
    return pairs


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


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """No bars of `datasets`: the run's own progress display is shown."""
    were_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were_disabled:
            enable_progress_bars()
