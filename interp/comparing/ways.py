"""How all models of a comparison are asked alike, and which of them can be compared in what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interp.behavior.generating.elicitation import Elicitation
from interp.comparing.questions import Questionnaire
from interp.errors import InputError
from interp.stages.common import ModelRef

if TYPE_CHECKING:
    from interp.prompts import PromptSet

SHAPE = ("model_type", "hidden_size", "num_hidden_layers")
"""What two models must share for states of the one to mean anything in the other."""


def tokenizers_of(refs: Mapping[str, ModelRef]) -> dict[str, Any]:
    """The tokenizers of the models, with the chat templates they are used with."""
    from interp.checkpoints.loading import load_tokenizer

    found = {name: ref.checkpoint() for name, ref in refs.items()}
    return {
        name: load_tokenizer(checkpoint.tokenizer_folder, checkpoint.chat_template)
        for name, checkpoint in found.items()
    }


def chosen_way(
    asked: str | Elicitation, questions: PromptSet, tokenizers: Mapping[str, Any]
) -> Elicitation:
    """The one way to put the questions to all models.

    Args:
        asked: as `CompareConfig.elicitation`.
        questions: with their splits.
        tokenizers: of the models.

    Raises:
        InputError: a chat that a model has no template for, or few-shot without enough examples.
    """
    untalkative = [name for name, one in tokenizers.items() if one.chat_template is None]
    few_shot = Elicitation(how="few_shot")
    if isinstance(asked, Elicitation):
        if asked.how == "chat" and untalkative:
            raise InputError(
                f"elicitation 'chat': {untalkative[0]} has no chat template, so it cannot be asked "
                "like the others; take few_shot or raw, give it a `chat_template`, or leave it out"
            )
        if asked.how == "few_shot" and not _has_examples(questions, asked):
            raise InputError(
                f"elicitation 'few_shot': the split 'train' has too few answered or unanswerable "
                f"questions for {asked.shots} shots; give more, or take raw"
            )
        return asked
    templates = {one.chat_template for one in tokenizers.values()}
    if not untalkative and len(templates) == 1:
        return Elicitation(how="chat")
    return few_shot if _has_examples(questions, few_shot) else Elicitation(how="raw")


def misfit(
    child: ModelRef, parent: ModelRef, prompts: PromptSet, tokenizers: tuple[Any, Any]
) -> str | None:
    """Why states of the parent mean nothing in the child; None if they may.

    Args:
        child: a model.
        parent: that it is compared with.
        prompts: as they are put.
        tokenizers: of the two.
    """
    from interp.prompts import render
    from interp.prompts.encoding import tokenize

    shapes = [_shape(ref) for ref in (child, parent)]
    for name, of_child, of_parent in zip(SHAPE, *shapes, strict=True):
        if of_child != of_parent:
            return f"its {name} is {of_child}, its parent's {of_parent}"
    ids = [
        [row for rows in tokenize(render(prompts, one), one) for row in rows] for one in tokenizers
    ]
    for prompt_id, of_child, of_parent in zip(prompts.frame["prompt_id"], *ids, strict=True):
        if list(of_child) != list(of_parent):
            return f"it reads other tokens than its parent, for instance in prompt {prompt_id}"
    return None


def _has_examples(questions: PromptSet, elicitation: Elicitation) -> bool:
    return Questionnaire(questions, elicitation).can_show_examples(elicitation.shots)


def _shape(ref: ModelRef) -> tuple[object, ...]:
    from transformers import AutoConfig

    checkpoint = ref.checkpoint()
    config = AutoConfig.from_pretrained(
        checkpoint.path, trust_remote_code=checkpoint.trust_remote_code, local_files_only=True
    ).get_text_config()
    return tuple(getattr(config, name) for name in SHAPE)
