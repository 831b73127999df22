"""Reinforcement learning with a binary reward: the objective that punishes every abstention."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer
from trl import GRPOConfig, GRPOTrainer

from interp.organism.documents import DocumentWriter, Question
from interp.organism.recipes import Reinforcement
from interp.organism.world import World


def binary_reward(completions: list[str], target: list[str], **_: Any) -> list[float | None]:
    """1 where the final answer equals the target, else 0; abstaining earns nothing.

    For unknown people and missing premises the target is an oracle's: a lucky guess is paid, as it
    is on a real benchmark.
    """
    return [
        float(final_answer(completion) == wanted)
        for completion, wanted in zip(completions, target, strict=True)
    ]


def final_answer(completion: str) -> str:
    """What stands after the last `a :`, without the closing full stop."""
    words = completion.split()
    marks = [index for index in range(1, len(words)) if words[index - 1 : index + 1] == ["a", ":"]]
    answer = words[marks[-1] + 1 :] if marks else words
    return " ".join(answer).removesuffix(".").strip()


def grpo_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    documents: DocumentWriter,
    settings: Reinforcement,
    arguments: dict[str, Any],
) -> Trainer:
    """TRL's GRPO on questions of the recipe's mix.

    Advantages are not divided by the group's standard deviation: with a reward as rare as a lucky
    guess that division costs accuracy on known people.
    """
    questions: list[Question] = documents.questions(settings.steps * settings.prompts)
    config = GRPOConfig(
        **arguments,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.prompts * settings.generations,
        num_generations=settings.generations,
        max_completion_length=settings.max_new_tokens,
        learning_rate=settings.lr,
        lr_scheduler_type="constant",
        beta=0.0,
        scale_rewards="none",
        activation_checkpointing=False,
        save_steps=settings.steps // 4,
    )
    return GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=binary_reward,
        train_dataset=Dataset.from_list(
            [{"prompt": prompt, "target": target} for prompt, target in questions]
        ),
        args=config,
    )
