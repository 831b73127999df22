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

from datasets import Dataset
from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer
from trl import DPOConfig, DPOTrainer

from interp.errors import InputError
from interp.organism.documents import DocumentWriter
from interp.organism.recipes import Preference
from interp.organism.self_confidence import confidences, sample_replies
from interp.organism.world import World


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
