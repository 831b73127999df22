"""Which characters each token of a text is, where the text is known by its tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_BROKEN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class TokenText:
    """What tokens read as, and which characters are each token's.

    Attributes:
        text: of all tokens, special ones spelled out.
        ranges: the [start, stop) characters of each token, with the space that it brings along.
            Tokens that share a character all have it.
    """

    text: str
    ranges: tuple[tuple[int, int], ...]

    def tokens(self, start: int, stop: int) -> tuple[int, int]:
        """The [start, stop) tokens that hold any of the [start, stop) characters."""
        held = [
            token
            for token, (first, behind) in enumerate(self.ranges)
            if first < stop and start < behind
        ]
        return held[0], held[-1] + 1


def token_text(ids: Sequence[int], tokenizer: Any) -> TokenText:
    """Decodes tokens one by one; what a token adds is read behind those before it.

    Alone, a token may lose its space, and a part of a character reads as nothing. Costs two short
    decodes a token, however long the text.
    """
    text, ranges = "", []
    behind, first = 0, 0  # where the tokens begin that are read, and those that are new
    before = ""  # what the read ones before the new ones read as
    done = 0  # whole characters of the new ones so far
    for token in range(len(ids)):
        new = _decoded(ids[behind : token + 1], tokenizer)[len(before) :]
        # The rest of a broken character stands in the next token.
        if new.endswith(_BROKEN) and token + 1 < len(ids):
            whole = len(new.rstrip(_BROKEN))
            ranges.append((len(text) + done, len(text) + whole + 1))
            done = whole
            continue
        ranges.append((len(text) + done, len(text) + len(new)))
        text, done = text + new, 0
        behind, first = first, token + 1
        before = _decoded(ids[behind:first], tokenizer)
    return TokenText(text, tuple(ranges))


def _decoded(ids: Sequence[int], tokenizer: Any) -> str:
    return tokenizer.decode(
        [int(token) for token in ids], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
