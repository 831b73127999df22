"""What prompts say, as words: one spelling, without punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

import numpy as np
from jaxtyping import Int

from interp.prompts.promptset import PromptSet

UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer
    r"\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9ff\uaa60-\uaadf"  # Tai, Balinese, Javanese
    r"\u3005-\u3007\u3040-\u312f\u31f0-\u31ff\uff66-\uff9f"  # kana, Bopomofo
    r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Scripts written without spaces, as a part of a character class. Korean has spaces: not here."""


def _marks() -> str:
    """Combining marks and the two joiners, as a part of a character class."""
    # No plane between these holds any.
    places = chain(range(0x300, 0x20000), range(0xE0100, 0xE01F0))
    return "\u200c\u200d" + "".join(
        chr(place) for place in places if unicodedata.category(chr(place))[0] == "M"
    )


MARKS = _marks()
r"""What continues the character before it, as a part of a character class.

Vowel signs of Indic scripts and of Thai are such marks, which `\w` of `re` leaves out.
"""

# Numbers stay whole with their decimals, words with their apostrophes. Unspaced scripts give a word
# a character: a sentence of theirs would otherwise be one word.
_RUN = rf"[^\W{UNSPACED}]+(?:[{MARKS}]+[^\W{UNSPACED}]*)*"
_WORD = re.compile(rf"[{UNSPACED}][{MARKS}]*|\d+(?:[.,]\d+)+|{_RUN}(?:'{_RUN})*")
# The same where there is nothing but ASCII, three times as fast.
_PLAIN = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:'\w+)*")
_OF_UNSPACED = re.compile(f"[{UNSPACED}]")


def texts_of(prompts: PromptSet) -> list[str]:
    """What each prompt says: its text, or its user messages, one a line."""
    rows = zip(prompts.frame["text"], prompts.frame["messages"], strict=True)
    return [_users(messages) if text is None else text for text, messages in rows]


def words_of(text: str) -> list[str]:
    """A text's words in one spelling (NFKC, case folded), without punctuation.

    In scripts written without spaces a word is one character with its marks.
    A text that has no words, such as "+ - ?", gives its signs.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = plain.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    found = (_PLAIN if plain.isascii() else _WORD).findall(plain)
    return found or [sign for sign in plain if not sign.isspace()]


def is_unspaced(word: str) -> bool:
    """Whether a word, or a character, is of a script written without spaces."""
    return _OF_UNSPACED.match(word) is not None


def word_counts(prompts: PromptSet) -> Int[np.ndarray, " n"]:
    """Words of each prompt."""
    return np.array([len(words_of(text)) for text in texts_of(prompts)], dtype=np.int64)


def _users(messages: Sequence[dict[str, str]]) -> str:
    return "\n".join(one["content"] for one in messages if one["role"] == "user")
