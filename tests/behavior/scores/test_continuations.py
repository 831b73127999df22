from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from interp import configs
from interp.behavior.grading.kinds import ReplyKind
from interp.behavior.scores.continuations import (
    FOLDER,
    KINDS,
    Continuations,
    check_readable,
    read_continuations,
)
from interp.errors import InputError
from interp.organism import ABSTAINING_PHRASES, build_tokenizer
from tests.behavior.spaced import spaced_tokenizer

SOUND = "language: de\nabstain: [Keine Ahnung, Ich weiss es nicht]\nanswer: [Es ist, Das ist]\n"


def written(folder: Path, text: str) -> str:
    path = folder / "de.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("language", configs.packaged(FOLDER))
def test_a_shipped_language_has_enough_of_every_kind(language: str) -> None:
    continuations = read_continuations(language)
    assert continuations.language == language
    assert set(continuations.kinds) == set(KINDS)
    assert len(continuations.abstain) >= 8
    assert len(continuations.answer) >= 8
    assert len({text.split()[0] for text in continuations.abstain}) >= 8


def test_english_is_shipped() -> None:
    assert "en" in configs.packaged(FOLDER)


def test_kinds_are_those_of_replies_that_say_something() -> None:
    assert set(KINDS) == set(get_args(ReplyKind)) - {"none"}


def test_a_file_of_ones_own_is_read_kind_by_kind(tmp_path: Path) -> None:
    path = written(tmp_path, SOUND + "refuse: [Dabei helfe ich nicht]\n")
    read = read_continuations(path)
    assert (read.language, read.source) == ("de", path)
    assert read.kinds == ("abstain", "answer", "refuse")
    assert dict(zip(read.texts, read.kind_of_each, strict=True)) == {
        "Keine Ahnung": "abstain",
        "Ich weiss es nicht": "abstain",
        "Es ist": "answer",
        "Das ist": "answer",
        "Dabei helfe ich nicht": "refuse",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language: de\nanswer: [Ja]\n", r"de\.yaml, line 1: the key 'abstain' is missing"),
        ("language: de\nabstain: []\nanswer: [Ja]\n", r"de\.yaml: 'abstain' has no continuation"),
        ("language: ' '\nabstain: [Nein]\nanswer: [Ja]\n", r"de\.yaml: 'language' is empty"),
        (
            SOUND + "abstian: [Wer weiss]\n",
            r"de\.yaml, line 4: unknown key 'abstian' \(did you mean",
        ),
        (SOUND + "hedge: [Vielleicht]\n", r"de\.yaml, line 4: unknown key 'hedge'"),
        (SOUND + "clarify: [Wer, '  ']\n", r"de\.yaml: 'clarify\.1' is empty"),
        (SOUND + "clarify: [Wer, ' Wo']\n", r"de\.yaml: 'clarify\.1' \(' Wo'\) has space around"),
        (SOUND + "clarify: [Es ist]\n", r"de\.yaml: 'clarify\.0' is 'answer\.0' again"),
        (
            SOUND + "clarify: [no]\n",
            r"de\.yaml, line 4: 'clarify\.0': Input should be a valid string",
        ),
        (SOUND + "clarify: Wer\n", r"de\.yaml, line 4: 'clarify': Input"),
        ("- Nein\n", r"de\.yaml: expected a mapping"),
    ],
)
def test_a_bad_file_has_one_error_with_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_continuations(written(tmp_path, text))


def test_whether_one_begins_with_another_is_up_to_the_tokenizer(tmp_path: Path) -> None:
    """In letters "No" begins "Not known", in tokens it need not: `continuation_scores` sees."""
    path = written(tmp_path, SOUND + "clarify: [Es ist nicht klar]\nrefuse: [Keine]\n")
    assert read_continuations(path).clarify == ("Es ist nicht klar",)


def test_a_language_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"'tlh' is neither one of the packaged .*\(en"):
        read_continuations("tlh")


def test_only_keeps_order_and_kinds() -> None:
    whole = Continuations("xx", ("a", "b", "c"), ("d", "e"), refuse=("f",))
    part = whole.only({"e", "c", "a"})
    assert part == Continuations("xx", ("a", "c"), ("e",))
    assert whole.only(whole.texts) == whole


@pytest.mark.parametrize(
    ("texts", "message"),
    [(("a", "d", "z"), "'z' is none of its"), (("a", "b"), "'answer' has no continuation")],
)
def test_only_refuses_what_leaves_no_score(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Continuations("xx", ("a", "b", "c"), ("d", "e")).only(texts)


def test_words_that_a_tokenizer_lacks_are_refused() -> None:
    with pytest.raises(InputError, match=r"en\.yaml: 'abstain\.0' .* does not know"):
        check_readable(read_continuations("en"), build_tokenizer())


def test_words_that_a_tokenizer_has_are_not() -> None:
    check_readable(Continuations("world", ABSTAINING_PHRASES, ("paris",)), build_tokenizer())


def test_a_tokenizer_of_bytes_has_all_words() -> None:
    check_readable(read_continuations("en"), spaced_tokenizer())
