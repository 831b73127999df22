"""Word lists for `reason_score`, and how they are spelt as tokens."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from interp.errors import InputError

REASONING_WORDS = (
    "alternatively", "hmm", "maybe", "wait", "perhaps", "therefore", "however", "but", "another",
    "let me check",
)  # fmt: skip
"""Words that reasoning models say far more often than others while they think."""

ABSTAINING_WORDS = (
    "i don't know", "i do not know", "not sure", "unknown", "unclear", "cannot determine",
    "can't determine", "not enough information", "insufficient information", "unanswerable",
    "no information", "not specified",
)  # fmt: skip
"""Words of not knowing, of a missing premise, and of giving up an answer."""


def lexicon_of(
    words: Iterable[str], tokenizer: PreTrainedTokenizerBase
) -> dict[str, list[list[int]]]:
    """Each word's spellings as token ids: plain and capitalised, with and without a space before.

    Words that the vocabulary lacks (a spelling with an unknown token) are left out.

    Args:
        words: as in `REASONING_WORDS`.
        tokenizer: that of the model the codes are of.

    Raises:
        InputError: no word is left.
    """
    unknown, lexicon = tokenizer.unk_token_id, {}
    for word in words:
        spellings = []
        for text in (word, word.capitalize()):
            for form in (text, f" {text}"):
                ids = tokenizer.encode(form, add_special_tokens=False)
                if ids and unknown not in ids and ids not in spellings:
                    spellings.append(ids)
        if spellings:
            lexicon[word] = spellings
    if not lexicon:
        raise InputError("lexicon: the tokenizer's vocabulary has none of the words")
    return lexicon
