from __future__ import annotations

from difflib import SequenceMatcher
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from interp.behavior.calibration.answer_spans import Which, answer_span, matched_span, reprompted
from interp.behavior.calibration.token_text import token_text
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.conftest import prompt_set

SAID = [
    "First I thought Rome. So the answer is Paris, the capital.",
    "it was 2012, so 12 apples, or 3.5 or 1,000 of them - not 312",
    "café naïve 東京都 🙂🙃 **Canberra**\n\nParis (Canberra) Paris\n",
]


def _byte_level() -> PreTrainedTokenizerFast:
    """Words with their space are one token; digits and rare characters are several."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<pad>", "<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["the answer is Paris the capital Paris"] * 20, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<end>")


def _metaspace() -> PreTrainedTokenizerFast:
    """As Llama 2's: spaces become part of words, the first one is put there, rare bytes alone."""
    words = ["<pad>", "<end>", "▁", "▁Paris", "Paris", "▁is", "▁the", ".", ",", *"▁answerofthPi123"]
    words += [f"<0x{byte:02X}>" for byte in range(256)]
    vocab = {word: number for number, word in enumerate(dict.fromkeys(words))}
    merges = [("P", "a"), ("Pa", "r"), ("Par", "i"), ("Pari", "s"), ("▁", "Paris")]
    for piece in ("Pa", "Par", "Pari"):
        vocab.setdefault(piece, len(vocab))
    backend = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<end>")


BYTES, META = _byte_level(), _metaspace()


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


def read_of(ids: list[int], span: tuple[int, int]) -> str:
    return str(BYTES.decode(ids[slice(*span)])).strip()


def texts() -> st.SearchStrategy[str]:
    return st.text(st.sampled_from("Paris the. ,12é東🙂\n"), min_size=1, max_size=25)


@given(text=texts())
def test_characters_of_tokens_are_those_the_tokenizer_counts(text: str) -> None:
    encoding = BYTES(text, add_special_tokens=False).encodings[0]
    read = token_text(encoding.ids, BYTES)
    assert read.text == text
    assert list(read.ranges) == encoding.offsets


@given(text=texts())
def test_characters_of_tokens_are_those_that_their_bytes_are_in(text: str) -> None:
    ids = ids_of(META, text)
    read = token_text(ids, META)
    assert read.text == text
    behind = -1  # the space that is put in front of all is no character of the text
    for piece, (start, stop) in zip(META.convert_ids_to_tokens(ids), read.ranges, strict=True):
        size = 1 if piece.startswith("<0x") else len(piece.replace("▁", " ").encode())
        first, behind = max(behind, 0), behind + size
        if first == behind:
            assert start == stop == 0
            continue
        before, up_to = (text.encode()[:n].decode(errors="ignore") for n in (first, behind))
        broken = up_to.encode() != text.encode()[:behind]
        assert (start, stop) == (len(before), len(up_to) + broken)
    assert behind == len(text.encode())


def test_special_tokens_are_spelled_out_in_their_own_place() -> None:
    ids = [*ids_of(BYTES, "the answer"), BYTES.eos_token_id, *ids_of(BYTES, " is Paris")]
    read = token_text(ids, BYTES)
    assert read.text == "the answer<end> is Paris"
    assert read.text[slice(*read.ranges[ids.index(BYTES.eos_token_id)])] == "<end>"


@given(text=texts(), data=st.data())
def test_a_span_of_text_is_the_fewest_tokens_that_hold_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.integers(start + 1, len(text)))
    encoding = BYTES(text, add_special_tokens=False).encodings[0]
    first, behind = token_text(encoding.ids, BYTES).tokens(start, stop)
    holding = {encoding.char_to_token(character) for character in range(start, stop)}
    held = [
        token
        for token, (left, right) in enumerate(encoding.offsets)
        if any(left <= character < right for character in range(start, stop))
    ]
    assert [first, behind - 1] == [held[0], held[-1]]
    assert holding <= set(range(first, behind))


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        *((0, answer) for answer in ("Paris", "the capital")),
        *((1, answer) for answer in ("12", "3.5", "1,000", "12 apples")),
        *((2, answer) for answer in ("Canberra", "東京", "🙂", "café naïve")),
    ],
)
def test_an_answer_is_found_as_words_of_its_own(said: int, answer: str) -> None:
    ids = ids_of(BYTES, SAID[said])
    span = answer_span(ids, f" {answer}\n", BYTES)
    assert span is not None
    assert read_of(ids, span).strip("*(") == answer


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("it is .5", "5", False),
        ("it is .5", ".5", True),
        ("-.5 of it", "5", False),
        ("about ,5", "5", False),
        ("or .5,000", "5", False),
        ("in Rome.5 men", "5", True),
        ("well...5", "5", True),
        ("\u0915\u0940 \u092e\u093e\u0924\u093e", "\u0915", False),  # a letter without its sign
        ("\u0915\u0940 \u092e\u093e\u0924\u093e", "\u0915\u0940", True),
        ("\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48", "\u0e17", False),
        ("\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48", "\u0e19\u0e35\u0e48", True),
        ("\u1780\u1781\u1782", "\u1781", True),  # Khmer
        ("\u1000\u1001\u1002", "\u1001", True),  # Myanmar
        ("\uc11c\uc6b8\uc785\ub2c8\ub2e4", "\uc11c\uc6b8", True),  # Korean, with its particle
    ],
)
def test_marks_and_points_belong_to_what_they_are_written_on(
    text: str, answer: str, found: bool
) -> None:
    ids = ids_of(BYTES, text)
    assert (answer_span(ids, answer, BYTES) is not None) == found
    assert (matched_span(ids, ids_of(BYTES, answer), BYTES) is not None) == found


@pytest.mark.parametrize("absent", ["5", "2", "000", "31", "an", "caf", "fé", "Sydney"])
def test_a_part_of_a_word_or_number_is_no_answer(absent: str) -> None:
    for text in SAID:
        assert answer_span(ids_of(BYTES, text), absent, BYTES) is None


def test_where_an_answer_stands_twice() -> None:
    text = "Paris or not Paris"
    ids = ids_of(BYTES, text)
    last, first = (answer_span(ids, "Paris", BYTES, which=which) for which in ("last", "first"))
    assert first == (0, len(ids_of(BYTES, "Paris")))
    assert last is not None
    assert last[1] == len(ids)
    assert last[0] > first[1]


def test_an_answer_behind_its_marker() -> None:
    text = r"so 7 it is \boxed{7} and 7 again"
    ids = ids_of(BYTES, text)
    read = token_text(ids, BYTES)
    span = answer_span(ids, "7", BYTES, after=r"\boxed{", which="first")
    assert span is not None
    assert read.ranges[span[0]][0] <= text.index("{7}") + 1 < read.ranges[span[1] - 1][1]
    assert answer_span(ids, "7", BYTES, after="again") is None
    assert answer_span(ids, "7", BYTES, after="a :") is None


def longest_by_hand(reply: list[str], answer: list[str], which: Which) -> tuple[int, int] | None:
    """Every run of the answer at every place of the reply."""
    found = [
        (length, start)
        for length in range(1, len(answer) + 1)
        for begin in range(len(answer) - length + 1)
        for start in range(len(reply) - length + 1)
        if reply[start : start + length] == answer[begin : begin + length]
    ]
    if not found:
        return None
    best = max(length for length, _ in found)
    starts = [start for length, start in found if length == best]
    start = max(starts) if which == "last" else min(starts)
    return start, start + best


@given(
    reply=st.lists(st.sampled_from("abcd"), max_size=12),
    answer=st.lists(st.sampled_from("abcde"), max_size=5),
    which=st.sampled_from(get_args(Which)),
)
def test_the_longest_run_is_the_one_found_by_trying_all(
    reply: list[str], answer: list[str], which: Which
) -> None:
    ids = {letter: ids_of(BYTES, f" {letter}") for letter in "abcde"}
    assert all(len(own) == 2 for own in ids.values()), "a token for the space, one for the letter"
    said, asked = ([token for a in letters for token in ids[a]] for letters in (reply, answer))
    expected = longest_by_hand(reply, answer, which)
    if which == "first" and expected is not None:  # what RLSF's code calls
        match = SequenceMatcher(None, reply, answer).find_longest_match()
        assert expected == (match.a, match.a + match.size)
    got = matched_span(said, asked, BYTES, which=which)
    if expected is None:
        assert got is None
    else:
        # Spaces are tokens of their own here, and belong to no run's ends.
        assert got == (2 * expected[0] + 1, 2 * expected[1])


@pytest.mark.parametrize(
    ("reply", "answer", "read"),
    [
        (SAID[0], " Paris.", "Paris"),
        (SAID[0], " the capital of", "the capital"),
        ("Paris is the answer", "the answer is Paris.", "the answer"),
        ("in the Parisian answer", " the Parisian in the", "the Parisian"),
        ("Paris\nParis", " Paris", "Paris"),
        ("was it 12? no 2012", " 12", "12"),
        ("12 of 0.12", "12", "12"),
        ("12 of .12", "12", "12"),
        ("3.5 and 3 5", " 3.5", "3.5"),
        ("the answer is **Paris**.", " Paris", "Paris"),
        ("the the", ". the <end>", "the"),
        ("Paris", " paris", None),
        ("Paris.", ".", None),
        ("Paris", "", None),
        ("", " Paris", None),
        ("Parish", " Paris", None),
    ],
)
def test_runs_of_words(reply: str, answer: str, read: str | None) -> None:
    reply_ids, answer_ids = ids_of(BYTES, reply), ids_of(BYTES, answer)
    span = matched_span(reply_ids, answer_ids, BYTES)
    assert (None if span is None else read_of(reply_ids, span)) == read


def test_tokens_with_and_without_their_space_are_the_same() -> None:
    bare, spaced = META.get_vocab()["Paris"], META.get_vocab()["▁Paris"]
    assert bare != spaced
    assert matched_span([spaced, 2, bare], [spaced], META) == (2, 3)
    assert matched_span([spaced, 2, bare], [bare], META, which="first") == (0, 1)


def test_special_tokens_end_a_run_and_are_in_none() -> None:
    the, paris = ids_of(BYTES, " the"), ids_of(BYTES, " Paris")
    end = BYTES.eos_token_id
    reply = [*the, end, *paris, end]
    assert matched_span(reply, [*the, *paris, end], BYTES) == (len(the) + 1, len(reply) - 1)
    assert matched_span(reply, [end], BYTES) is None


def test_replies_are_prompted_for_their_answer_as_rlsf_does(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    asked = prompt_set(["w1 w2", "w3", "w4"])
    again = reprompted(asked, ["w5\n w6", "w7.", ""], loaded.tokenizer, reprompt="i know")
    assert again.frame["text"].tolist() == [
        "w1 w2 w5 w6. i know",
        "w3 w7. i know",
        "w4 i know",
    ]
    for column in ("prompt_id", "pair_id", "answers", "entity"):
        assert again.frame[column].tolist() == asked.frame[column].tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: answer_span([1], " ", BYTES), "the answer is empty"),
        (lambda: answer_span([1], "a", BYTES, after=""), "the marker is empty"),
        (lambda: reprompted(prompt_set(["w1"]), [], BYTES), "0 replies for 1 prompts"),
        (lambda: reprompted(prompt_set(["w1"]), ["a"], BYTES, reprompt=" "), "request is empty"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
