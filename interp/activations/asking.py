"""What a model is given to read: texts, their token ids, and the spans that positions mean."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from torch import Tensor

from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, render, resolve
from interp.prompts.encoding import join

_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Asked:
    """Prompts as one tokenizer reads them.

    Attributes:
        texts: of the prompts, with their replies where there are some.
        ids: token ids of each text.
        spans_PN2: [start, stop) tokens of each position.
    """

    texts: list[str]
    ids: list[np.ndarray]
    spans_PN2: Int[Tensor, "p n 2"]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(row) for row in self.ids]

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all token ids and spans."""
        digest = hashlib.sha256(self.spans_PN2.numpy().astype("<i8").tobytes())
        for row in self.ids:
            digest.update(np.array([len(row), *row], dtype="<i8").tobytes())
        return digest.hexdigest()


def asked(
    prompts: PromptSet,
    loaded: LoadedModel,
    positions: Sequence[str],
    replies: Sequence[str] | None,
    chain_end: str,
) -> Asked:
    """The prompts as the model's own tokenizer and chat template give them.

    Raises:
        InputError: no prompts or positions, a position twice, no such rule, or a prompt that is
            empty, longer than the model's context, or lacks a position.
    """
    _check(prompts, positions, replies)
    tokenizer = loaded.tokenizer
    rendered = render(prompts, tokenizer)
    texts = rendered if replies is None else join(rendered, replies, tokenizer)
    ids: list[np.ndarray] = []

    def offsets() -> Iterator[Sequence[tuple[int, int]]]:
        """Characters of each token, noting the tokens on the way: texts are tokenised once."""
        for start in range(0, len(texts), _CHUNK):
            chunk = texts[start : start + _CHUNK]
            # `verbose` is about lengths beyond `model_max_length`, which is checked below.
            for encoding in tokenizer(chunk, add_special_tokens=False, verbose=False).encodings:
                ids.append(np.array(encoding.ids, dtype=np.int32))
                yield encoding.offsets

    spans_PN2 = resolve(
        prompts,
        rendered,
        tokenizer,
        positions,
        replies=replies,
        chain_end=chain_end,
        offsets=offsets(),
    )
    check_lengths(ids, prompts, loaded)
    return Asked(texts, ids, spans_PN2)


def check_lengths(
    ids: Sequence[Sequence[int] | np.ndarray],
    prompts: PromptSet,
    loaded: LoadedModel,
    new_tokens: int = 0,
) -> None:
    """Refuses prompts of no tokens, and those that with new tokens go beyond the model's context.

    Raises:
        InputError: names the prompt.
    """
    context = getattr(loaded.model.config, "max_position_embeddings", None)
    for prompt_id, row in zip(prompts.frame["prompt_id"], ids, strict=True):
        if not len(row):
            raise InputError(
                f"prompt {prompt_id}: no tokens in it for {loaded.checkpoint.name}; leave it out"
            )
        if context is not None and len(row) + new_tokens > context:
            new = f" and up to {new_tokens} new ones" if new_tokens else ""
            raise InputError(
                f"prompt {prompt_id}: {len(row)} tokens{new}, but {loaded.checkpoint.name} was "
                f"made for at most {context}; shorten it or leave it out"
            )


def _check(prompts: PromptSet, positions: Sequence[str], replies: Sequence[str] | None) -> None:
    for what, given in (("prompts", prompts), ("positions", positions)):
        if len(given) == 0:
            raise InputError(f"capture: no {what}; expected at least one")
    for position in positions:
        if list(positions).count(position) > 1:
            raise InputError(f"capture: the position '{position}' is asked for twice")
    if replies is not None and len(replies) != len(prompts):
        raise InputError(
            f"capture: {len(replies)} replies for {len(prompts)} prompts; expected one each"
        )
