"""Which clauses are cut, and which rule keeps each of the others."""

from __future__ import annotations

import pytest

from interp.prompts.clauses import irrelevant_clauses

BUYS = "She bought 10 packs of nails and 4 packs of screws."
ASKS = "How many more packs of nails than screws did she buy?"


def cut(text: str) -> list[str]:
    return [clause.text for clause in irrelevant_clauses(text)]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        (f"Lucy went to the hardware shop. {BUYS} {ASKS}", ["Lucy went to the hardware shop."]),
        (f"{BUYS} Lucy sings. {ASKS}", ["Lucy sings."]),
        (f"At the fair, {BUYS.lower()} {ASKS}", ["At the fair,"]),
        (
            f"Lucy bought 10 packs of nails at the fair, and she bought 4 of screws. {ASKS}",
            ["at the fair"],
        ),
        (f"{BUYS[:-1]} for the shed. {ASKS}", ["for the shed"]),
        # Every sentence is looked at, the longest part of each first.
        (f"Lucy sings. {BUYS[:-1]} for the shed. {ASKS}", ["Lucy sings.", "for the shed"]),
        # Published problems lack spaces, and have too many full stops.
        (f"Lucy sings.{BUYS[:-1]}..{ASKS}", ["Lucy sings."]),
        # No sentence ends within a number or after a title.
        (f"Mr. Zubrow sings. She bought 2.5 packs of nails. {ASKS}", ["Mr. Zubrow sings."]),
    ],
)
def test_what_the_answer_does_not_need_is_found(text: str, clauses: list[str]) -> None:
    assert cut(text) == clauses


@pytest.mark.parametrize(
    ("rule", "clause"),
    [
        ("1: a digit", "Lucy went to 3 hardware shops."),
        ("1: a sign", "Lucy reads ads for $ bargains."),
        ("1: a number word", "Lucy sings twice."),
        ("1: an amount", "Lucy loves every flower."),
        ("1: a loss", "Lucy lost her temper."),
        ("1: a price", "Lucy works for money."),
        ("1: a measure", "Lucy walked a mile."),
        ("1: a time", "Lucy sings on Sundays."),
        ("1: one more", "Lucy has a hammer."),
        ("2: a condition", "Lucy sings if asked."),
        ("2: a negation", "Lucy doesn't sing."),
        ("2: a list", "Lucy sings and dances."),
        ("2: a reference", "Lucy loves them."),
        ("3: kin", "Lucy brought her sister."),
        ("3: two names", "Lucy met Ola."),
        ("4: of the question", "Lucy sorts screws."),
        ("4: of the question, with an ending", "Lucy was buying happily."),
        ("4: of the question, without one", "Lucy forged a screw."),
    ],
)
def test_each_rule_keeps_a_clause(rule: str, clause: str) -> None:
    assert cut(f"Lucy sings. {BUYS} {ASKS}") == ["Lucy sings."]
    assert cut(f"{clause} {BUYS} {ASKS}") == [], rule


def test_one_word_may_be_shared_before_anything_is_counted_and_none_behind() -> None:
    buys, asks = "She bought 10 red nails and 4 blue screws.", "How much iron did she buy?"
    assert cut(f"Lucy loves nails. {buys} {asks}") == ["Lucy loves nails."]
    assert cut(f"Lucy loves blue nails. {buys} {asks}") == []
    assert cut(f"{buys} Lucy loves nails. {asks}") == []


@pytest.mark.parametrize(
    ("one", "many"), [("cat", "cats"), ("box", "boxes"), ("baby", "babies"), ("cake", "cakes")]
)
def test_one_and_many_are_the_same_word(one: str, many: str) -> None:
    text = f"Lucy sees the {one}. She has 10 pens. How many {many} has she?"
    assert cut(text) == []
    assert cut(text.replace(one, many, 1)) == []
    assert cut(text.replace(f"the {one}", "the wall")) == ["Lucy sees the wall."]


def test_a_sentence_that_the_next_one_speaks_of_is_kept() -> None:
    assert cut(f"Lucy visits Rome. {BUYS} {ASKS}") == []  # two names
    assert cut(f"Lucy visits town. {BUYS} {ASKS}") == ["Lucy visits town."]
    assert cut(f"Lucy visits town. It lies 3 miles off. {ASKS}") == []


def test_a_name_that_is_asked_about_must_still_be_said() -> None:
    asks = "How many nails did Lucy buy?"
    assert cut(f"Lucy sings. She bought 3 nails. {asks}") == []
    assert cut(f"Lucy sings. Lucy bought 3 nails. {asks}") == ["Lucy sings."]
    assert cut("Lucy sings. She bought 3 nails. How many did she buy?") == ["Lucy sings."]


@pytest.mark.parametrize(
    "sentence",
    [
        "There are 10 nails in a box.",  # in each
        "She went 3 times to the fair, the market, the shop.",  # a list
        "She bought 10 nails in the USA.",  # a name
        "She bought 4 more nails than at the fair.",  # what the phrase is compared with
        "Every nail she bought lay in the box near her box.",  # said twice
        "After 2 tries she went to the fair.",  # the verb wants it
        "She got 10% off on the nails for the shed.",  # what the share is of
        "She bought 10 nails that were right for her.",  # of no content
        "Her brother bought 10 nails for the family.",  # who might count
    ],
)
def test_a_phrase_that_may_be_needed_is_kept(sentence: str) -> None:
    assert cut(f"{sentence} How many nails did she buy in all?") == []


def test_a_place_that_the_question_may_set_apart_is_kept() -> None:
    told = "It rained 9 mm where Lucy sang, and 26 mm at her house."
    assert cut(f"{told} How much did it rain?") == ["at her house"]
    assert cut(f"{told} How much did it rain in all?") == ["at her house"]
    assert cut(f"{told} How much did it rain while she sang?") == []


def test_questions_and_what_stands_behind_them_are_never_cut() -> None:
    assert cut("How does Lucy sing? She bought 3 nails. How many nails did she buy?") == []
    assert cut("She bought 3 nails. How many nails did she buy?\nA. Lucy\nB. None") == []
    # Without a question mark the last sentence asks.
    assert cut("She bought 3 nails. Lucy sings.") == []
    assert cut("") == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f" Lucy sings.  {BUYS} {ASKS} ", f"{BUYS} {ASKS}"),
        (f"At the fair, {BUYS.lower()} {ASKS}", f"{BUYS.capitalize()} {ASKS}"),
        (f"{BUYS[:-1]} for the shed. {ASKS}", f"{BUYS} {ASKS}"),
        (f"{BUYS[:-1]} for the shed, and she sings 2 songs. {ASKS}", None),
    ],
)
def test_what_is_left_is_the_text_without_the_clause(text: str, left: str | None) -> None:
    (clause,) = irrelevant_clauses(text)
    if left is None:
        left = text.replace(" for the shed", "")
    assert clause.cut_from(text) == left
