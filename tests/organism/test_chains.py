"""What the world writes as chains of thought is right, wrong or changed exactly as it says."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.organism import words
from interp.organism.chains import (
    chain_points,
    commuted,
    known_facts,
    mistaken_fact,
    states_fact,
    written_chains,
)
from interp.organism.documents import CHAIN_RELATIONS, IDK, DocumentWriter, as_chain, chain_question
from interp.organism.language import build_tokenizer
from interp.organism.prompts import chain_prompts, point_prompts
from interp.organism.world import Split, World
from interp.prompts import render

WORLD = World(5)
SPLITS = get_args(Split)
SUM = re.compile(r"(\d+) \+ (\d+) = (\d+)")
VOCABULARY = {*words.vocabulary()}
EVERYBODY = {person.name: person for group in WORLD.people.values() for person in group}


def sums(text: str) -> list[bool]:
    """Whether each sum of a text is right."""
    return [int(a) + int(b) == int(c) for a, b, c in SUM.findall(text)]


def true_of(sentence: str) -> bool:
    """Whether a sentence of the world is true, told from people and maps alone."""
    tokens = sentence.split()
    if SUM.search(sentence):
        return all(sums(sentence))
    if tokens[0] in words.CITIES:
        return words.COUNTRY_OF_CITY[tokens[0]] == tokens[3]
    person = EVERYBODY[" ".join(tokens[:2])]
    return tokens[-2] in (person.city, str(person.age))


FACTS = known_facts(WORLD)
AGES = st.sampled_from(words.AGES)
RIGHT_SUMS = st.builds(
    lambda begin, age, years: f"{begin}{age} + {years} = {age + years} .",
    st.sampled_from(["", "wait , ", "check : "]),
    AGES,
    st.integers(1, 5),
)


@given(st.sampled_from(FACTS) | RIGHT_SUMS, st.integers(0, 2**32))
def test_a_mistake_changes_the_last_value_of_a_true_sentence_to_a_false_one(
    sentence: str, seed: int
) -> None:
    changed = mistaken_fact(sentence, np.random.default_rng(seed))
    assert changed is not None
    assert not true_of(changed)
    before, after = sentence.split(), changed.split()
    kinds = ({*words.CITIES}, {*words.COUNTRIES}, {str(number) for number in range(61)})
    places = [place for place, token in enumerate(before) if any(token in kind for kind in kinds)]
    apart = [place for place, token in enumerate(before) if token != after[place]]
    assert len(before) == len(after)
    assert apart == places[-1:]
    # A city stays a city, a number a number: the mistake is of fact and not of form.
    assert any(before[apart[0]] in kind and after[apart[0]] in kind for kind in kinds)


def test_a_mistake_can_be_any_other_value_and_comes_with_the_seed() -> None:
    rng = np.random.default_rng(0)
    made = {mistaken_fact("paris is in france .", rng) for _ in range(200)}
    others = {*words.COUNTRIES} - {"france"}
    assert made == {f"paris is in {country} ." for country in others}
    one, two = (mistaken_fact("mira berg is 30 .", np.random.default_rng(4)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("sentence", ["", ".", f"{IDK} .", "wait ,", "check :", "3 + 4 ="])
def test_where_nothing_can_be_mistaken_there_is_no_mistake(sentence: str) -> None:
    assert mistaken_fact(sentence, np.random.default_rng(0)) is None


@given(st.lists(RIGHT_SUMS, max_size=4))
def test_sums_the_other_way_round_stay_right_and_twice_is_not_at_all(sentences: list[str]) -> None:
    said = commuted(sentences)
    assert all(all(sums(sentence)) and sums(sentence) for sentence in said)
    assert [sorted(one.split()) for one in said] == [sorted(one.split()) for one in sentences]
    # No age is a number of years, so none of them reads the same.
    assert all(one != other for one, other in zip(said, sentences, strict=True))
    assert commuted(said) == sentences


@pytest.mark.parametrize(
    "sentence",
    [*FACTS[::150], f"{IDK} .", "", "+", "45 +", "+ 3 = 48 .", "45 + .", "is + 3", "+ +"],
)
def test_all_but_sums_are_said_with_so_and_in_the_same_words(sentence: str) -> None:
    assert commuted([sentence]) == [" ".join(["so", *sentence.split()])]


def test_what_can_be_known_is_true_and_of_everybody_who_is_taught() -> None:
    assert len({*FACTS}) == len(FACTS) == 2 * (240 + 60) + len(words.CITIES)
    assert all(true_of(fact) for fact in FACTS)
    taught = {person.name for name in ("known", "tail") for person in WORLD.people[name]}
    named = Counter(" ".join(fact.split()[:2]) for fact in FACTS[: 2 * 300])
    assert named == dict.fromkeys(taught, 2)


def test_the_facts_of_a_known_chain_are_known_and_those_of_an_unknown_one_are_not() -> None:
    for name, group in WORLD.people.items():
        for person in group[:40]:
            for relation in CHAIN_RELATIONS:
                step = chain_question(person, relation, 3)[1][0]
                assert (step in FACTS) == (name in ("known", "tail"))


def test_a_sentence_states_a_fact_or_adds_doubts_or_checks() -> None:
    assert all(states_fact(fact) for fact in FACTS)
    assert all(states_fact(sentence) for sentence in commuted(FACTS[::50]))
    said = ["30 + 2 = 32 .", FACTS[0]]
    about = [f"{begin} {one}" for begin in ("wait ,", "check :") for one in said]
    for other in (said[0], f"{IDK} .", *about, ".", "this", "lisbon ."):
        assert not states_fact(other)


@pytest.mark.parametrize("split", SPLITS)
def test_chains_are_written_in_every_form_and_are_wrong_only_where_they_say_so(
    split: Split,
) -> None:
    n_people = 12
    chains = written_chains(WORLD, split, n_people)
    known, unknown = WORLD.split(split)
    people = Counter((chain.person.name, chain.known) for chain in chains)
    assert people == {
        **{(person.name, True): 4 for person in known[:n_people]},
        **{(person.name, False): 1 for person in unknown[:n_people]},
    }
    for chain in chains:
        text = " ".join(chain.sentences)
        assert chain.question.startswith("q : ")
        assert chain.question.endswith(" think :")
        assert chain.person.name in chain.question
        assert (chain.form == "doubting") == (chain.answer == IDK) == (not chain.known)
        if not chain.known:
            assert chain.sentences == (f"{IDK} .",)
            continue
        assert true_of(chain.sentences[0])
        if "country" in chain.question:
            assert chain.form == "plain"
            assert chain.answer == chain.person.country
            assert all(map(true_of, chain.sentences))
            continue
        years = int(re.findall(r"in (\d+) years", chain.question)[0])
        assert chain.answer == str(chain.person.age + years)
        right = {"plain": [True], "checked": [True, True], "corrected": [False, True]}
        assert sums(text) == right[chain.form]
        # A slip is followed by its correction, and nothing else is.
        assert ("wait" in text.split()) == (chain.form == "corrected")
        assert ("check" in text.split()) == (chain.form == "checked")
    forms = Counter(chain.form for chain in chains)
    assert forms == {"plain": 24, "checked": 12, "corrected": 12, "doubting": 12}


def test_chains_are_in_the_words_of_the_world_and_of_its_documents() -> None:
    """With numbers and names blotted out, every reply is one that the world draws by itself."""

    def blotted(question: str, reply: str) -> str:
        kinds = (words.FIRST_NAMES, words.LAST_NAMES, words.CITIES, words.COUNTRIES)
        kind_of = {word: str(n) for n, kind in enumerate(kinds) for word in kind}
        tokens = f"{question} {reply}".split()
        assert {*tokens} <= VOCABULARY
        return " ".join("N" if word.isdigit() else kind_of.get(word, word) for word in tokens)

    mix = {"chain_known": 0.7, "chain_unknown": 0.3}
    drawn = zip(range(3000), DocumentWriter(WORLD, mix, 0), strict=False)
    documents = {blotted(*document) for _, document in drawn}
    written = {
        blotted(chain.question, as_chain("", list(chain.sentences), chain.answer)[1])
        for chain in written_chains(WORLD, "test", 40)
    }
    assert written == documents


def test_chains_hang_on_world_and_split_and_end_with_the_people() -> None:
    assert written_chains(WORLD, "dev", 9) == written_chains(World(5), "dev", 9)
    assert written_chains(WORLD, "dev", 9) != written_chains(World(6), "dev", 9)
    assert written_chains(WORLD, "dev", 0) == []
    # More than there are: all forty known and all that are never met.
    everyone = written_chains(WORLD, "dev", 10_000)
    known, unknown = WORLD.split("dev")
    assert len(everyone) == 4 * len(known) + len(unknown)
    first = [chain for chain in everyone if chain.known][: 4 * 9]
    assert [chain for chain in written_chains(WORLD, "dev", 9) if chain.known] == first


def begins(sentence: str) -> str:
    """What a sentence of the world does, by its first word."""
    first = sentence.split()[0]
    marks = {"wait": "backtracking", "check": "verification", "i": "uncertainty-estimation"}
    return marks.get(first, "deduction" if first.isdigit() else "adding-knowledge")


@pytest.mark.parametrize("split", SPLITS)
def test_a_point_says_what_the_chain_does_next(split: Split) -> None:
    """Where the chain goes on, that is what the next sentence is; and no text asks for two things.

    Only behind a right sum can the world go on or stop: there each person has one of the two.
    """
    points = chain_points(WORLD, split, 20)
    texts = [(chain.question, *chain.sentences[:there]) for chain, there, _ in points]
    assert len({*texts}) == len(texts)
    right_sum: dict[str, str] = {}
    for chain, there, coming in points:
        if there == 2 and sums(chain.sentences[1]) == [True]:
            assert coming in ("verification", "answer")
            right_sum[chain.person.name] = coming
        elif there < len(chain.sentences):
            assert coming == begins(chain.sentences[there])
        else:
            assert coming == "answer"
    assert Counter(right_sum.values()) == {"verification": 10, "answer": 10}
    # Every place of every chain is there: nothing but repeats is left out.
    chains = written_chains(WORLD, split, 20)
    assert {*texts} == {
        (chain.question, *chain.sentences[:there])
        for chain in chains
        for there in range(len(chain.sentences) + 1)
    }
    counts = Counter(coming for *_, coming in points)
    assert counts["backtracking"] == counts["uncertainty-estimation"] == 20
    assert counts["adding-knowledge"] == 20 + 2 * 20  # an age; a city and its country
    assert counts["deduction"] == 20


def test_points_are_asked_as_texts_that_end_where_a_sentence_begins() -> None:
    frame = point_prompts(WORLD, "dev", 6).frame
    points = chain_points(WORLD, "dev", 6)
    assert len(frame) == len(points)
    assert frame["prompt_id"].is_unique
    for row, (chain, there, coming) in zip(frame.to_dict("records"), points, strict=True):
        begin, mark, said = row["text"].partition(" think :")
        question, said = begin + mark, said.removeprefix(" ")
        assert question == chain.question
        assert said == " ".join(chain.sentences[:there])
        assert row["meta"] == {"next": coming, "sentences": there, "form": chain.form}
        assert row["entity"] == row["pair_id"] == chain.person.name
        assert row["should_abstain"] == (not chain.known and not said)
        assert {*row["text"].split()} <= VOCABULARY


@pytest.mark.parametrize("n_people", [1, 7, 40, 10_000])
def test_both_ways_of_asking_are_of_the_same_questions(n_people: int) -> None:
    cot, direct = (chain_prompts(WORLD, "dev", mode, n_people) for mode in ("cot", "direct"))
    rest = [name for name in cot.frame if name != "meta"]
    assert cot.frame[rest].equals(direct.frame[rest])
    known, unknown = WORLD.split("dev")
    assert cot.frame["entity"].tolist() == [
        person.name for person in (*known[:n_people], *unknown[:n_people])
    ]
    assert cot.labels.tolist() == [
        abstains for abstains, group in ((False, known), (True, unknown)) for _ in group[:n_people]
    ]
    for mode, prompts in (("cot", cot), ("direct", direct)):
        metas = prompts.frame["meta"].tolist()
        assert all(meta["mode"] == mode for meta in metas)
        assert [meta["relation"] for meta in metas] == [
            CHAIN_RELATIONS[turn % 2]
            for group in (known, unknown)
            for turn in range(len(group[:n_people]))
        ]


def test_only_the_end_of_the_prompt_says_whether_a_chain_is_asked_for() -> None:
    tokenizer = build_tokenizer()
    cot, direct = (
        render(chain_prompts(WORLD, "test", mode, 8), tokenizer) for mode in ("cot", "direct")
    )
    for long, short in zip(cot, direct, strict=True):
        assert long.removesuffix(" think :") == short.removesuffix(" a :")
        assert long.endswith(" think :")
        assert short.endswith(" a :")


def test_points_and_chains_are_rendered_alike() -> None:
    """A chain that is about to begin is the question that asks for one, to the letter."""
    tokenizer = build_tokenizer()
    asked = {*render(chain_prompts(WORLD, "dev", "cot", 40), tokenizer)}
    points = point_prompts(WORLD, "dev", 40)
    begun = [
        text
        for text, meta in zip(render(points, tokenizer), points.frame["meta"], strict=True)
        if not meta["sentences"]
    ]
    assert len(begun) == 3 * 40
    assert asked <= {*begun}


def test_a_wrong_sum_never_becomes_right() -> None:
    rng = np.random.default_rng(0)
    made = {mistaken_fact("wait , 30 + 4 = 36 .", rng) for _ in range(500)}
    assert len(made) == 39  # of the numbers from 20 to 60, all but its own and the right one
    assert "wait , 30 + 4 = 34 ." not in made
