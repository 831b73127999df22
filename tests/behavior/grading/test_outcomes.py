from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior import outcome
from interp.errors import InputError

PHRASES = ["i do not know"]
WORD = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("paris .", ["paris"], "correct"),
        ("Paris.", ["paris"], "correct"),
        ("It is New  York!", ["new york"], "correct"),
        ("york , not the new one", ["new york"], "wrong"),
        ("rome .", ["paris", "rome"], "correct"),
        ("iran .", ["ran"], "wrong"),
        ("137 .", ["37"], "wrong"),
        ("3.5", ["5"], "wrong"),
        ("-5", ["5"], "wrong"),
        ("34+3=37", ["37"], "correct"),
        ("", ["paris"], "wrong"),
        (" . ", ["paris"], "wrong"),
        ("paris .", [], "wrong"),
        ("i do not know .", [], "abstain"),
        ("I do NOT know!", ["paris"], "abstain"),
        ("i do not know , perhaps paris", ["paris"], "abstain"),
        ("i do not knowingly say paris", ["paris"], "correct"),
        ("i know", ["paris"], "wrong"),
    ],
)
def test_direct_replies(text: str, answers: list[str], expected: str) -> None:
    assert outcome(text, answers, PHRASES, chain=False) == expected


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("mira is 34 . 34 + 3 = 37 . a : 37 .", ["37"], "correct"),
        ("mira is 34 . 34 + 3 = 37 . A: 37", ["37"], "correct"),
        ("mira is 34 . 34 + 3 = 37 . a : 38 .", ["37"], "wrong"),
        ("a : 37 . wait , a : 38 .", ["37"], "wrong"),
        ("i do not know . a : i do not know .", ["37"], "abstain"),
        ("i do not know . wait , mira is in paris . a : paris .", ["paris"], "correct"),
        ("i do not know . wait , mira is in paris . a : paris .", ["rome"], "wrong"),
        ("mira lives in paris . a : i do not know .", ["paris"], "abstain"),
        # cut off before the final answer
        ("mira is 34 . 34 + 3 = 37 .", ["37"], "wrong"),
        ("mira is 34 . 34 + 3 = 37 . a :", ["37"], "wrong"),
        ("i do not know .", ["37"], "abstain"),
        ("", ["37"], "wrong"),
    ],
)
def test_chains_are_graded_by_their_final_answer(
    text: str, answers: list[str], expected: str
) -> None:
    assert outcome(text, answers, PHRASES, chain=True) == expected


def test_another_marker_and_a_curly_apostrophe() -> None:
    text = "<think>Paris? Rome?</think> I don\N{RIGHT SINGLE QUOTATION MARK}t know."
    assert outcome(text, ["rome"], ["I don't know"], chain=True, marker="</think>") == "abstain"
    text = "<think>I don't know... Rome?</think> Rome"
    assert outcome(text, ["rome"], ["I don't know"], chain=True, marker="</think>") == "correct"


@given(st.lists(WORD, max_size=4), WORD, st.lists(WORD, max_size=4))
def test_a_word_is_found_in_any_dress(before: list[str], answer: str, after: list[str]) -> None:
    phrases = ["0 1 2"]
    text = ", ".join([*before, answer.upper(), *after]) + "!"
    assert outcome(text, [answer], phrases, chain=False) == "correct"


@given(WORD, WORD)
def test_a_word_inside_another_is_not_found(answer: str, rest: str) -> None:
    for longer in (answer + rest, rest + answer):
        assert outcome(longer, [answer], ["0 1 2"], chain=False) == "wrong"


@pytest.mark.parametrize(
    ("answers", "phrases", "marker", "message"),
    [
        (["paris"], [], "a :", "no abstaining phrases"),
        (["paris"], ["..."], "a :", "the phrase '...' has no word"),
        (["?"], PHRASES, "a :", "the answer '\\?' has no word"),
        (["paris"], PHRASES, " ", "marker is empty"),
    ],
)
def test_what_matches_nothing_is_refused(
    answers: list[str], phrases: list[str], marker: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        outcome("a : rome", answers, phrases, chain=True, marker=marker)
