"""Tokenizers of several kinds, and the characters of their tokens without the offsets they give."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import NFKC, Lowercase, Sequence
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import ByteLevel as Trimming
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import PreTrainedTokenizerFast

from tests.checkpoints.tiny import WORDS, word_tokenizer

# Latin with and without accents, a ligature, a wide letter, digits, Chinese, Arabic, and emoji of
# four bytes and of several characters.
VOCABULARY = [
    *("where", "is", "the", "capital", "of", "Paris", "Zoë", "Éire", "office", "12", "x-ray"),
    *("ﬁnal", "Ａｎｎ", "東京", "日本", "القاهرة", "مصر", "😀", "👩‍🚀", "a", "in", "it's"),  # noqa: RUF001
]
UNSPACED = ("東京", "日本")
"""Those of a script without spaces: no space stands between them and what they are joined to."""

_CORPUS = [
    " ".join(VOCABULARY),
    "where is the capital of Paris",
    "office 12 : ? . 東京 القاهرة in",
] * 3
Characters = Callable[[str], list[set[int]]]
"""The characters that each token of a text holds."""


def byte_tokenizer(*, trained: bool = False, trimming: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level, as of GPT-2 and Qwen; untrained it has one token a byte.

    Trimming, as in Llama 3, leaves leading and trailing spaces out of the offsets.
    """
    vocab = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    backend = Tokenizer(BPE() if trained else BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    if trimming:
        backend.post_processor = Trimming(trim_offsets=True)
    if trained:
        trainer = BpeTrainer(
            vocab_size=300, initial_alphabet=ByteLevel.alphabet(), show_progress=False
        )
        backend.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def piece_tokenizer() -> PreTrainedTokenizerFast:
    """Word pieces of compatibility-normalised lower case, as of BERT."""
    backend = Tokenizer(WordPiece(unk_token="[UNK]"))
    backend.normalizer = Sequence([NFKC(), Lowercase()])
    backend.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=95, special_tokens=["[UNK]"], show_progress=False)
    backend.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


def by_bytes(tokenizer: PreTrainedTokenizerFast) -> Characters:
    """A byte-level token spells its bytes."""

    def characters(text: str) -> list[set[int]]:
        owner = [place for place, letter in enumerate(text) for _ in letter.encode()]
        held, start = [], 0
        for token in tokenizer.tokenize(text, add_special_tokens=False):
            held.append(set(owner[start : start + len(token)]))
            start += len(token)
        assert start == len(owner)
        return held

    return characters


def by_normal_letters(tokenizer: PreTrainedTokenizerFast) -> Characters:
    """A word piece spells normalised letters, and every letter becomes one or more of those."""

    def characters(text: str) -> list[set[int]]:
        normal = [
            (letter, place)
            for place, original in enumerate(text)
            for letter in unicodedata.normalize("NFKC", original).lower()
            if not letter.isspace()
        ]
        held, start = [], 0
        for token in tokenizer.tokenize(text, add_special_tokens=False):
            piece = token.removeprefix("##")
            assert piece == "".join(letter for letter, _ in normal[start : start + len(piece)])
            held.append({place for _, place in normal[start : start + len(piece)]})
            start += len(piece)
        return held

    return characters


def by_words(text: str) -> list[set[int]]:
    """A word-level token is what stands between spaces."""
    held: list[set[int]] = []
    for place, letter in enumerate(text):
        if letter.isspace():
            continue
        if place == 0 or text[place - 1].isspace():
            held.append(set())
        held[-1].add(place)
    return held


_BYTES, _PIECES = byte_tokenizer(trained=True), piece_tokenizer()
KINDS: dict[str, tuple[PreTrainedTokenizerFast, Characters]] = {
    "bytes": (_BYTES, by_bytes(_BYTES)),
    "pieces": (_PIECES, by_normal_letters(_PIECES)),
    "words": (word_tokenizer(tuple(word for word in VOCABULARY if word not in WORDS)), by_words),
}
