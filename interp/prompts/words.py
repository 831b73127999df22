"""What prompts say, as words: one spelling, without punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from interp.prompts.promptset import PromptSet

# Numbers stay whole with their decimals, words with their apostrophes. Scripts that are written
# without spaces give a word a character: a sentence of theirs would otherwise be one word.
_UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|\d+(?:[.,]\d+)+|[^\W{_UNSPACED}]+(?:'[^\W{_UNSPACED}]+)*")


def texts_of(prompts: PromptSet) -> list[str]:
    """What each prompt says: its text, or its user messages, one a line."""
    rows = zip(prompts.frame["text"], prompts.frame["messages"], strict=True)
    return [_users(messages) if text is None else text for text, messages in rows]


def words_of(text: str) -> list[str]:
    """A text's words in one spelling (NFKC, case folded), without punctuation.

    A text that has no words, such as "+ - ?", gives its signs.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = plain.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _WORD.findall(plain) or [sign for sign in plain if not sign.isspace()]


def word_counts(prompts: PromptSet) -> Int[np.ndarray, " n"]:
    """Words of each prompt."""
    return np.array([len(words_of(text)) for text in texts_of(prompts)], dtype=np.int64)


def _users(messages: Sequence[dict[str, str]]) -> str:
    return "\n".join(one["content"] for one in messages if one["role"] == "user")
