"""Reinforcement learning on a reward of the reply's text: what an objective does to abstention."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer
from trl import GRPOConfig, GRPOTrainer

from interp.organism.documents import DocumentWriter, Question
from interp.organism.recipes import Reinforcement
from interp.organism.rewards import REWARDS
from interp.organism.world import World


def grpo_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    world: World,
    documents: DocumentWriter,
    settings: Reinforcement,
    arguments: dict[str, Any],
) -> Trainer:
    """TRL's GRPO on questions of the recipe's mix, paid by the reward that the settings name.

    Advantages are rewards less the mean of their group, not divided by its standard deviation: with
    a reward as rare as a lucky guess that division costs accuracy on known people.
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
        save_steps=max(1, settings.steps // 4),
    )
    return GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        reward_funcs=REWARDS[settings.reward],
        train_dataset=Dataset.from_list(
            [{"prompt": prompt, "target": target} for prompt, target in questions]
        ),
        args=config,
    )
