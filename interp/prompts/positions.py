"""Which token is meant: positions by rule, resolved on the tokens of the unpadded prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from interp import configs
from interp.errors import InputError
from interp.prompts.promptset import PromptSet

_CHUNK = 1024


def resolve(
    prompts: PromptSet, texts: Sequence[str], tokenizer: Any, rule: str
) -> Int[Tensor, " n"]:
    """Index of the token that the rule means, from 0 at the start of the unpadded prompt.

    - `last_prompt`: the last token.
    - `entity_last`: the last token of the row's `entity`, where the prompt names it last, as
      words of their own ("Ann" is not found in "Annual").
    - `question_last`: the last token of the user's last message; for plain text, of its last "?".

    Args:
        prompts: the rows.
        texts: their rendered texts (`render`), which are tokenised with nothing added.
        tokenizer: a fast one, which knows the characters of each token.
        rule: one of the above.

    Raises:
        InputError: no such rule, or a prompt that has no such token; the message names it.
    """
    if rule not in _RULES:
        raise InputError(
            f"position '{rule}': no such rule{configs.nearest(rule, _RULES)}; "
            f"there are {', '.join(_RULES)}"
        )
    rows = prompts.frame.to_dict("records")
    index: list[int] = []
    for start in range(0, len(rows), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        offsets = tokenizer(
            chunk, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]
        for row, text, spans in zip(rows[start : start + _CHUNK], chunk, offsets, strict=True):
            index.append(_token_at(_RULES[rule](row, text), spans, row["prompt_id"], rule))
    return torch.tensor(index, dtype=torch.long)


def show(prompts: PromptSet, texts: Sequence[str], tokenizer: Any, rule: str, *, n: int = 5) -> str:
    """The first `n` prompts as tokens, one line each, the token that the rule means in >>...<<.

    Raises:
        InputError: as `resolve`.
    """
    shown = PromptSet(prompts.frame.head(n))
    index_N = resolve(shown, texts[:n], tokenizer, rule)
    lines = []
    for prompt_id, text, index in zip(
        shown.frame["prompt_id"], texts[:n], index_N.tolist(), strict=True
    ):
        tokens = tokenizer.tokenize(text, add_special_tokens=False)
        tokens[index] = f">>{tokens[index]}<<"
        lines.append(f"{prompt_id}: {' '.join(tokens)}")
    return "\n".join(lines)


def _last_prompt(row: Mapping[str, Any], text: str) -> None:
    """Whatever the last token spells: it may be a line break, or nothing."""
    return None


def _entity_last(row: Mapping[str, Any], text: str) -> int:
    """Place of the entity's last character."""
    entity = row["entity"]
    if entity is None:
        raise InputError(
            f"prompt {row['prompt_id']}: position 'entity_last' needs an `entity`, and it has none"
        )
    # ASCII word characters only: in scripts without spaces any neighbour is a letter.
    pattern = rf"(?<!\w){re.escape(entity.strip())}(?!\w)"
    found = list(re.finditer(pattern, text, flags=re.ASCII))
    if not found:
        raise InputError(
            f"prompt {row['prompt_id']}: its entity {entity!r} does not stand in the prompt; "
            "spell it as the prompt does"
        )
    return found[-1].end() - 1


def _question_last(row: Mapping[str, Any], text: str) -> int:
    """Place of the question's last character."""
    question = "?" if row["messages"] is None else row["messages"][-1]["content"].strip()
    start = text.rfind(question)
    if start < 0:
        what = (
            "no '?' stands in its text"
            if row["messages"] is None
            else "the chat template changes the user's message, so it cannot be found"
        )
        raise InputError(f"prompt {row['prompt_id']}: position 'question_last': {what}")
    return start + len(question) - 1


_RULES: dict[str, Callable[[Mapping[str, Any], str], int | None]] = {
    "last_prompt": _last_prompt,
    "entity_last": _entity_last,
    "question_last": _question_last,
}
"""Each rule gives the place of the character whose token is meant; None is the last token."""


def _token_at(place: int | None, spans: Sequence[Sequence[int]], prompt_id: str, rule: str) -> int:
    # A character may be several tokens (bytes), of which the last is meant.
    holding = [
        index for index, (start, stop) in enumerate(spans) if place is None or start <= place < stop
    ]
    if not holding:
        raise InputError(f"prompt {prompt_id}: position '{rule}': no token holds that place")
    return holding[-1]
