"""Lexicons as a tokenizer spells them."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from interp.errors import InputError
from interp.features import ABSTAINING_WORDS, REASONING_WORDS, lexicon_of

WORDS = ["<unk>", "wait", "Wait", "i", "do", "not", "know", "but"]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    model = WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>")
    inner = Tokenizer(model)
    inner.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


def test_every_spelling_stands_once(tokenizer: PreTrainedTokenizerFast) -> None:
    lexicon = lexicon_of(REASONING_WORDS, tokenizer)
    assert lexicon == {"wait": [[1], [2]], "but": [[7]]}


def test_phrases_keep_their_tokens_in_order(tokenizer: PreTrainedTokenizerFast) -> None:
    assert lexicon_of(ABSTAINING_WORDS, tokenizer) == {"i do not know": [[3, 4, 5, 6]]}


def test_a_vocabulary_without_the_words(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match="none of the words"):
        lexicon_of(["perhaps"], tokenizer)
