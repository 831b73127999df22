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
        {"prompt_id": "void", "text": "Who will win?", "should_abstain": True},
        {"prompt_id": "open", "text": "Why?", "should_abstain": False},
    ]
)


def graded(prompt_id: str, text: str, **more: object) -> tuple[str, str | None]:
    reply = {"prompt_id": prompt_id, "sample": 0, "text": text, "answer": text, "truncated": False}
    row = grade_replies(PROMPTS, pd.DataFrame([reply | more]), LEXICON).iloc[0]
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


def test_a_chain_is_graded_by_what_follows_it() -> None:
    chain = {"answer": "Oslo", "text": "I don't know... </think> Oslo"}
    assert graded("city", **{"text": chain["text"]}, answer=chain["answer"])[0] == "answer"
    unfinished = {"answer": "", "truncated": True}
    assert graded("city", "Hm, I don't know", **unfinished) == ("none", None)


def test_bad_replies_are_refused() -> None:
    with pytest.raises(InputError, match="reply to nobody: no such prompt"):
        graded("nobody", "x")
    short = pd.DataFrame([{"prompt_id": "city", "sample": 0, "text": "", "answer": ""}])
    with pytest.raises(InputError, match="lack the column truncated"):
        grade_replies(PROMPTS, short, LEXICON)
