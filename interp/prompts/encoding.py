"""From prompts to padded tokens: rendering, encoding, and batches by token budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from jinja2 import TemplateError
from torch import Tensor

from interp.errors import InputError
from interp.prompts.promptset import PromptSet
from interp.prompts.words import is_unspaced

_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Encoded:
    """A padded batch of prompts.

    Attributes:
        input_ids_BT: token ids; what stands on padding means nothing.
        attention_mask_BT: 1 on tokens, 0 on padding.
        position_ids_BT: each token's index in its own prompt. Models with learned positions
            (GPT-2) are silently wrong under left padding without them.
        lengths_B: tokens of each prompt.
    """

    input_ids_BT: Int[Tensor, "b t"]
    attention_mask_BT: Int[Tensor, "b t"]
    position_ids_BT: Int[Tensor, "b t"]
    lengths_B: Int[Tensor, " b"]

    def to(self, device: str | torch.device) -> Encoded:
        """The same batch on a device."""
        return Encoded(
            self.input_ids_BT.to(device),
            self.attention_mask_BT.to(device),
            self.position_ids_BT.to(device),
            self.lengths_B.to(device),
        )

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What a causal decoder needs to compute every real token, as keywords of its forward.

        Padding on the right stands behind every token, so nothing sees it: without a mask the
        result is the same, and attention takes its faster path. Padding on the left needs the mask,
        and position ids beside it.
        """
        if bool(self.attention_mask_BT[:, 0].all()):
            return {"input_ids": self.input_ids_BT}
        return {
            "input_ids": self.input_ids_BT,
            "attention_mask": self.attention_mask_BT,
            "position_ids": self.position_ids_BT,
        }

    def columns(self, index_B: Int[Tensor, "*p b"]) -> Int[Tensor, "*p b"]:
        """Padded columns of tokens given by their index from the start of their prompt."""
        return index_B + self.attention_mask_BT.argmax(-1)  # the first real column of each row


def render(prompts: PromptSet, tokenizer: Any) -> list[str]:
    """The exact text of each prompt, special tokens included: nothing is added when it is encoded.

    `messages` go through the tokenizer's chat template with a generation prompt, and
    `enable_thinking` where the row's `meta["mode"]` is "cot". A plain `text` gets the beginning
    token in front if the tokenizer would put one there and the text does not have it.

    Args:
        prompts: to be rendered.
        tokenizer: of the model that will read them.

    Raises:
        InputError: there is no chat template for `messages`, or it refuses them.
    """
    begin = _beginning(tokenizer)
    texts = []
    for row in prompts.frame.to_dict("records"):
        if row["text"] is None:
            texts.append(_render_messages(row, tokenizer))
        else:
            texts.append(row["text"] if row["text"].startswith(begin) else begin + row["text"])
    return texts


def encode(
    texts: Sequence[str], tokenizer: Any, side: Literal["left", "right"] = "left"
) -> Encoded:
    """Tokenises rendered texts and pads them to the longest; nothing is truncated.

    Args:
        texts: from `render`; nothing is added to them.
        tokenizer: of the model.
        side: where padding goes.
    """
    return pad([row for rows in tokenize(texts, tokenizer) for row in rows], tokenizer, side)


def pad(
    ids: Sequence[Sequence[int] | np.ndarray],
    tokenizer: Any,
    side: Literal["left", "right"] = "left",
) -> Encoded:
    """Token ids of prompts as one batch, padded to the longest; nothing is truncated."""
    length_B = np.array([len(row) for row in ids], dtype=np.int64)
    width = int(length_B.max(initial=0))
    column_T = np.arange(width)
    first_B1 = (width - length_B if side == "left" else np.zeros_like(length_B))[:, None]
    real_BT = (first_B1 <= column_T) & (column_T < first_B1 + length_B[:, None])
    id_BT = np.full((len(ids), width), tokenizer.pad_token_id or 0, dtype=np.int64)
    id_BT[real_BT] = np.concatenate(
        [np.zeros(0, dtype=np.int64), *ids]
    )  # row after row, as the mask runs through them
    mask_BT = torch.from_numpy(real_BT.astype(np.int64))
    return Encoded(
        torch.from_numpy(id_BT),
        mask_BT,
        (mask_BT.cumsum(-1) - 1).clamp(min=0),
        torch.from_numpy(length_B),
    )


def join(texts: Sequence[str], replies: Sequence[str], tokenizer: Any) -> list[str]:
    """Each rendered prompt with its reply behind it, as it is taught and as it is scored.

    One space stands between them, unless the prompt is empty, ends in a space, a line break or an
    added token (a turn marker), the reply begins with a space, or the last character of the one or
    the first of the other is of a script without spaces, or one of its wide marks (as
    their full stop and colon are).
    """
    added = tuple(str(token) for token in tokenizer.added_tokens_decoder.values())
    return [
        text + reply
        if not text
        or text[-1].isspace()
        or text.endswith(added)
        or reply[:1].isspace()
        or _stands_alone(text[-1])
        or _stands_alone(reply[:1])
        else f"{text} {reply}"
        for text, reply in zip(texts, replies, strict=True)
    ]


def tokenize(texts: Sequence[str], tokenizer: Any) -> Iterator[list[list[int]]]:
    """Token ids of rendered texts, in chunks, so that memory does not grow with their number."""
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        # `verbose` is about lengths beyond `model_max_length`, which whoever runs a model checks.
        yield tokenizer(chunk, add_special_tokens=False, verbose=False)["input_ids"]


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Batches of rows of similar length: rows times the longest of them is at most the budget.

    A prompt that exceeds the budget by itself is a batch of its own. The batch with the longest
    prompts comes first, so that running out of memory shows at once.

    Args:
        lengths: tokens of each row.
        budget: most tokens in a batch, padding included.

    Returns:
        Row numbers; every row is in exactly one batch.

    Raises:
        InputError: the budget is below 1.
    """
    if budget < 1:
        raise InputError(f"token budget: {budget}; expected at least 1 token a batch")
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    batches: list[list[int]] = []
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


def _stands_alone(character: str) -> bool:
    """Whether no space stands beside it: of an unspaced script, or one of its wide marks."""
    return (
        is_unspaced(character)
        or "\u3001" <= character <= "\u303f"
        or ("\uff01" <= character <= "\uff65" and not character.isalnum())
    )


def _beginning(tokenizer: Any) -> str:
    """The beginning token, if the tokenizer puts one in front of a text by itself."""
    added = tokenizer("")["input_ids"]
    return tokenizer.bos_token if added and added[0] == tokenizer.bos_token_id else ""


def _render_messages(row: Mapping[str, Any], tokenizer: Any) -> str:
    if tokenizer.chat_template is None:
        raise InputError(
            f"prompt {row['prompt_id']}: it has `messages`, but the model's tokenizer has no chat "
            "template; give it `text`, or add a chat_template.jinja to the checkpoint"
        )
    try:
        return tokenizer.apply_chat_template(
            row["messages"],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=row["meta"].get("mode") == "cot",
        )
    except TemplateError as error:
        raise InputError(
            f"prompt {row['prompt_id']}: the model's chat template refuses its messages: {error}"
        ) from error
