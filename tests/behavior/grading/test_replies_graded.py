from __future__ import annotations

import pandas as pd
import pytest

from interp.behavior import Lexicon, grade_replies
from interp.errors import InputError
from interp.prompts import PromptSet

LEXICON = Lexicon.load("en")
PROMPTS = PromptSet.from_records(
    [
        {"prompt_id": "city", "text": "Where is it?", "should_abstain": False, "answers": ["Oslo"]},
        {"prompt_id": "sum", "text": "How many?", "should_abstain": False, "answers": ["1,200"]},
        {
            "prompt_id": "year",
            "text": "When?",
            "should_abstain": False,
            "answers": ["1969", "July 20, 1969", "nineteen sixty-nine"],
        },
        {"prompt_id": "debt", "text": "How much?", "should_abstain": False, "answers": ["-5"]},
        {"prompt_id": "void", "text": "Who will win?", "should_abstain": True},
        {"prompt_id": "open", "text": "Why?", "should_abstain": False},
    ]
)


def graded(
    prompt_id: str, text: str, numbers: str = "last", **more: object
) -> tuple[str, str | None]:
    reply = {"prompt_id": prompt_id, "sample": 0, "text": text, "answer": text, "thought": None}
    frame = pd.DataFrame([reply | {"truncated": False} | more])
    row = grade_replies(PROMPTS, frame, LEXICON, numbers=numbers).iloc[0]
    return row["kind"], row["outcome"]


@pytest.mark.parametrize(
    ("prompt_id", "text", "expected"),
    [
        ("city", "It is in Oslo, of course.", ("answer", "correct")),
        ("city", "It is in Osloer Strasse.", ("answer", "wrong")),
        ("city", "I don't know.", ("abstain", "abstain")),
        ("sum", "First 300, then 4 times that: 1200.", ("answer", "correct")),
        ("sum", "1,200 minus 5 is 1195.", ("answer", "wrong")),
        ("sum", r"Some 7 of them, so \boxed{1{,}200}", ("answer", "correct")),
        ("sum", r"1200, or rather \boxed{1100}", ("answer", "wrong")),
        ("year", "July 20, 1969, at 20:17 UTC.", ("answer", "correct")),
        ("year", "Nineteen sixty-nine.", ("answer", "correct")),
        ("year", "From 1961-1969.", ("answer", "correct")),
        ("year", "In 1969, with Apollo 11.", ("answer", "wrong")),
        ("debt", "It is \N{MINUS SIGN}5 m^2.", ("answer", "correct")),
        ("debt", "It is 5.", ("answer", "wrong")),
        ("void", "The red team.", ("answer", "wrong")),
        ("void", "Nobody knows who will win.", ("abstain", "abstain")),
        ("void", "I won't help with that; it is against my guidelines.", ("refuse", None)),
        ("void", "", ("none", None)),
        ("open", "Because.", ("answer", None)),
    ],
)
def test_a_reply_amounts_to(prompt_id: str, text: str, expected: tuple) -> None:
    assert graded(prompt_id, text) == expected


def test_what_was_cut_off_concludes_nothing_but_for_a_box() -> None:
    assert graded("city", "Let me see, Oslo", truncated=True) == ("none", None)
    assert graded("city", r"So \boxed{Oslo}. But", truncated=True) == ("answer", "correct")


def test_a_number_may_stand_anywhere_where_it_is_looked_up() -> None:
    assert graded("year", "In 1969, with Apollo 11.", "anywhere") == ("answer", "correct")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't know... maybe Bergen </think> Oslo", ("answer", "correct")),
        ("<think>Could be Oslo? No.</think> It is Bergen.", ("answer", "wrong")),
        (r"<think>\boxed{Oslo} no wait</think> It is Bergen.", ("answer", "wrong")),
    ],
)
def test_a_chain_is_graded_by_what_follows_it(text: str, expected: tuple) -> None:
    assert graded("city", text) == expected
    answer = text.rpartition("</think>")[2]
    assert graded("city", text, answer=answer, thought=5) == expected


@pytest.mark.parametrize("truncated", [True, False])
def test_a_chain_without_its_end_comes_to_nothing(truncated: bool) -> None:
    unfinished = {"answer": "", "truncated": truncated, "thought": 9}
    assert graded("city", "Hm, I don't know", **unfinished) == ("none", None)
    assert graded("city", "Let me think about Oslo", **unfinished) == ("none", None)


def test_bad_replies_are_refused() -> None:
    with pytest.raises(InputError, match="reply to nobody: no such prompt"):
        graded("nobody", "x")
    empty = PROMPTS.where(PROMPTS.frame["prompt_id"].to_numpy() == "city")
    empty.frame.at[0, "answers"] = ["Oslo", "?!"]
    with pytest.raises(InputError, match=r"prompt city: the answer '\?!' has no word"):
        graded_empty(empty)
    short = pd.DataFrame([{"prompt_id": "city", "sample": 0, "text": "", "answer": ""}])
    with pytest.raises(InputError, match="lack the column thought, truncated"):
        grade_replies(PROMPTS, short, LEXICON)


def graded_empty(prompts: PromptSet) -> pd.DataFrame:
    columns = ["prompt_id", "sample", "text", "answer", "thought", "truncated"]
    return grade_replies(prompts, pd.DataFrame(columns=columns), LEXICON)
