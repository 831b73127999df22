"""Kinds of replies: made replies that look like another kind, and lexicons that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.grading.boxed import BOXED_ABSTENTIONS
from interp.behavior.grading.kinds import ABSTAINING_KINDS, ReplyKind, graded_reply, reply_kind
from interp.behavior.grading.lexicons import Lexicon
from interp.behavior.grading.statements import plain_text, statements
from interp.errors import InputError

EN = Lexicon.load("en")


def kind(text: str, question: str | None = None, truncated: bool = False) -> ReplyKind:
    return reply_kind(text, EN, question=question, truncated=truncated)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't know.", "abstain"),
        ("I DON'T KNOW", "abstain"),
        ("I don\u2019t know who built it.", "abstain"),
        ("**I do not know**", "abstain"),
        ('"I don\'t know."', "abstain"),
        ("Unknown.", "abstain"),
        ("I'm not sure.", "abstain"),
        ("The price cannot be determined without the weight.", "abstain"),
        ("There isn't enough information to work out how tall Ana is.", "abstain"),
        ("It is impossible to say how many came.", "abstain"),
        ("Nobody knows what lies beyond.", "abstain"),
        ("The passage says nothing. It does not mention a ship.", "abstain"),
        ("Could you tell me which of the two rivers you mean?", "clarify"),
        ("Please provide the length of the rope.", "clarify"),
        ("It can't be solved without the price. Could you provide the price?", "clarify"),
        ("I can't help with that.", "refuse"),
        ("I'm sorry, but I cannot provide instructions for that. Tip: call a vet.", "refuse"),
        ("There is no such king of France today.", "false_premise"),
        ("The premise of the question is incorrect. She never sailed.", "false_premise"),
        ("That event never happened.", "false_premise"),
        ("Paris.", "answer"),
        ("The ship sank in 1912.", "answer"),
        ("42", "answer"),
        ("", "none"),
        (" \n\t ", "none"),
        ("...", "none"),
    ],
)
def test_plain_replies(text: str, expected: ReplyKind) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "I do know: it is Lima.",
        "It is not that I don't know; it is Lima.",
        "I did not say I don't know.",
        "The singer of 'Who knows' is Ana.",
        'Her best-known line is "I don\'t know".',
        "You should know that the answer is Lima.",
        "The unknown soldier lies in Paris.",
        "The premise of the film is a heist.",
        "Please note that Lima is the capital.",
        "You can't find tigers in Africa; they live in Asia.",
        "Murder is illegal in every country.",
        "Lima. Let me know if you have any other questions!",
        "Lima. Is there anything else I can help you with?",
    ],
)
def test_phrases_that_mean_something_else(text: str) -> None:
    assert kind(text) == "answer"


@pytest.mark.parametrize(
    "text",
    [
        "I'm not sure, but I think it's Lima.",
        "I'm not certain. My best guess is Lima.",
        "I'm not sure, but it was built in Lima.",
        "It is Lima. I'm not sure of the spelling.",
        "The question is ambiguous. Answer: 12.",
        "We don't know the weight. Assuming it is 2 kg, the total is 6 kg.",
        "The weight is not given, so it cannot be determined exactly. Therefore, I take 2 kg "
        "and the total is 6 kg.",
        "We need to know the weight. Let's say 2 kg.\n**Final answer:** 6 kg",
    ],
)
def test_hedges_and_assumptions_before_an_answer_are_an_answer(text: str) -> None:
    assert kind(text) == "answer"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Therefore 5 + 7 = 12 of them. But the number of boxes cannot be determined.", "abstain"),
        ("So, 12 are left.\n\nAnswer: it cannot be determined.", "abstain"),
        ('The answer is "I don\'t know".', "abstain"),
        # A made-up case is no answer.
        (
            "There is not enough information. For example, with 3 trees he would have "
            "3 * 6 = 18.\nSo, 18 lemons.",
            "abstain",
        ),
        ("The rope is 3 times as long.\nYou need to know the length of the rope.", "abstain"),
        ("You need to know the length of the rope. Here it is 2 m long.", "answer"),
        ("To solve it:\n- 3 * 4 = 12\nLet me know the price, and I'll go on.", "clarify"),
    ],
)
def test_the_last_statement_that_decides_counts(text: str, expected: ReplyKind) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>I don't know, it cannot be determined.</think>It is Lima.", "answer"),
        ("<think>It must be Lima.</think>I don't know.", "abstain"),
        # The opening mark stood in the prompt.
        ("I don't know. Wait, it is Lima.</think>\n\nLima.", "answer"),
        ("<think>It cannot be determined. Wait, maybe", "none"),
        ("<think>I don't know.</think>", "none"),
        ("<think>The answer is \\boxed{5}, but wait", "answer"),
        ("<think>\\boxed{5}</think>It cannot be determined.", "abstain"),
        ("<think>One</think>I don't know.<think>two</think>Lima.", "answer"),
    ],
)
def test_the_chain_is_not_the_reply(text: str, expected: ReplyKind) -> None:
    assert kind(text) == expected


def test_a_reply_that_was_cut_off_has_concluded_nothing_without_a_box() -> None:
    assert kind("It cannot be determined. Wait, maybe", truncated=True) == "none"
    assert kind("So it is Lima, because", truncated=True) == "none"
    assert kind(r"So it is \boxed{5}, becau", truncated=True) == "answer"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"The answer is 5. \boxed{I\,don't\,know.}", "abstain"),
        (r"It cannot be determined. \boxed{12}", "answer"),
        (r"\boxed{12} is too high. \boxed{\text{I don't know}}", "abstain"),
        (r"\boxed{\text{I don't know}} on reflection \boxed{12}", "answer"),
        (r"\boxed{12} ends with an empty \boxed{}", "answer"),
        (r"\boxed{\text{not enough information}}", "abstain"),
        (r"\boxed{\frac{1}{2}}. I don't know why.", "answer"),
        (r"never closed \boxed{12", "answer"),
        (r"I don't know \boxed{", "abstain"),
    ],
)
def test_the_last_box_decides(text: str, expected: ReplyKind) -> None:
    assert kind(text) == expected


@pytest.mark.parametrize("phrase", BOXED_ABSTENTIONS)
def test_all_that_models_box_when_they_abstain_is_known(phrase: str) -> None:
    assert kind(rf"So \boxed{{\text{{{phrase}}}}}") == "abstain"


def test_the_question_is_not_the_reply() -> None:
    question = "What do I say when I don't know?"
    assert kind("What do I say when I don't know? You say sorry.", question) == "answer"
    assert kind("What do I say when I don't know? You say sorry.") == "abstain"
    assert kind("what do i say when I don\u2019t know?", question) == "none"
    assert kind("I don't know.", question) == "abstain"


def test_what_decided_is_told_with_its_place() -> None:
    text = "<think>5?</think>Well \u2014 **I** don\u2019t  know it."
    graded = graded_reply(text, EN)
    assert (graded.kind, graded.phrase) == ("abstain", "i don't know")
    assert graded.covers == "says that it does not know"
    assert graded.span is not None
    assert text[slice(*graded.span)] == "I** don\u2019t  know"
    boxed = graded_reply(r"a \boxed{4} b \boxed{\text{unknown}}", EN)
    assert boxed.phrase == "unknown"
    assert boxed.span is not None
    assert r"a \boxed{4} b \boxed{\text{unknown}}"[slice(*boxed.span)] == r"\text{unknown}"
    assert graded_reply("Lima.", EN).span is None


def test_refusing_is_not_abstaining() -> None:
    assert set(ABSTAINING_KINDS) == {"abstain", "clarify", "false_premise"}


@given(st.text())
def test_any_text_has_one_kind_and_a_span_within_it(text: str) -> None:
    graded = graded_reply(text, EN)
    assert (graded.kind == "none") <= (graded.span is None)
    start, stop = graded.span or (0, 0)
    assert 0 <= start <= stop <= len(text)


@given(st.text())
def test_making_plain_keeps_places_and_statements_lose_nothing(text: str) -> None:
    made = plain_text(text)
    assert len(made.place_C) == len(made.text)
    assert list(made.place_C) == sorted(made.place_C)
    assert "  " not in made.text
    joined = "".join(made.text[start:stop] for start, stop in statements(made))
    assert "".join(joined.split()) == "".join(made.text.split())


def test_lines_that_only_wrap_are_one_statement() -> None:
    assert kind("I don't\nknow it.") == "abstain"
    made = plain_text("It costs 3.50 in all. So\nwe pay.\n- Next")
    parts = [made.text[start:stop].strip() for start, stop in statements(made)]
    assert parts == ["it costs 3.50 in all.", "so we pay.", "- next"]


def written(folder: Path, text: str) -> Path:
    path = folder / "other.yaml"
    path.write_text(text, encoding="utf-8")
    return path


CHINESE = """
language: zh
words: false
abstain:
  - covers: does not know
    phrases: [不知道, 无法确定]
clarify:
  - covers: asks
    phrases: [请提供]
answer:
  - covers: announces
    phrases: ["答案是"]
negation:
  - covers: turns round
    phrases: [并非]
"""

PORTUGUESE = """
language: pt
abstain:
  - covers: does not know
    phrases: [n\u00e3o sei]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我不知道。", "abstain"),
        ("重量未给出\uff0c因此无法确定总价。", "abstain"),
        ("无法确定。答案是５。", "answer"),
        ("可能是五\uff1f我不知道", "abstain"),
        ("请提供重量。", "clarify"),
        ("我并非不知道。", "answer"),
        ("北京。", "answer"),
        ("他说「我不知道」。", "answer"),
    ],
)
def test_scripts_without_spaces(tmp_path: Path, text: str, expected: ReplyKind) -> None:
    lexicon = Lexicon.load(written(tmp_path, CHINESE))
    assert lexicon.language == "zh"
    assert reply_kind(text, lexicon) == expected


def test_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    lexicon = Lexicon.load(str(written(tmp_path, PORTUGUESE)))
    assert reply_kind("N\u00e3o sei.", lexicon) == "abstain"
    assert reply_kind("Na\u0303o sei.", lexicon) == "abstain"
    assert reply_kind("N\u00e3o seis.", lexicon) == "answer"
    assert reply_kind("I don't know.", lexicon) == "answer"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("language: x\nabstian: []\nabstain: []", r"unknown key 'abstian' \(did you mean 'abstain"),
        ("language: x", "the key 'abstain' is missing"),
        ("abstain: []", "the key 'language' is missing"),
        (
            "language: x\nabstain: [{covers: a, phrases: [so, ' ']}]",
            r"'abstain\.0\.phrases': .*number 2 is empty",
        ),
        (
            "language: x\nabstain: [{covers: a, phrases: [so]}, {covers: a, patterns: ['(so']}]",
            r"'abstain\.1\.patterns\.0': no regular expression, .*\(found '\(so'\)",
        ),
        (
            "language: x\nabstain: [{covers: a, patterns: ['<not> so']}]",
            r"'abstain\.0\.patterns\.0': no part <not> before it; there are none",
        ),
        (
            "language: x\nparts: {a: '<b>', b: c}\nabstain: []",
            r"'parts\.a': no part <b> before it",
        ),
        ("language: x\nabstain: [{covers: a, patterns: ['b*']}]", "is found everywhere"),
        ("language: x\nabstain: [{covers: a}]", "neither phrases nor patterns"),
        (
            "language: x\nabstain: [{covers: a, strength: weak, phrases: [b]}]",
            r"'abstain\.0\.strength'",
        ),
    ],
)
def test_a_wrong_lexicon_is_told_with_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as error:
        Lexicon.load(path)
    assert str(path) in str(error.value)


def test_parts_stand_for_expressions_also_behind_what_may_be_missing(tmp_path: Path) -> None:
    text = "language: x\nparts: {a: b|c, d: <a>e}\nabstain: [{covers: f, patterns: ['(?:g )?<d>']}]"
    lexicon = Lexicon.load(written(tmp_path, text))
    assert [reply_kind(reply, lexicon) for reply in ("be", "g ce", "e", "ba")] == [
        "abstain",
        "abstain",
        "answer",
        "answer",
    ]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("I don't know ", "abstain"), ('"so" ', "answer"), ("the problem of the data and ", "answer")],
)
def test_replies_that_loop_are_graded(unit: str, expected: ReplyKind) -> None:
    assert kind(unit * 5000) == expected


def test_a_lexicon_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match=r"'eng' is neither .*did you mean 'en'"):
        Lexicon.load("eng")
