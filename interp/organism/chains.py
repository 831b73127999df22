"""The world's chains of thought: written out, changed, and the facts they are held against."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from interp.organism import words
from interp.organism.documents import CHAIN_RELATIONS, IDK, as_chain, chain_question
from interp.organism.world import Person, Split, World

Form = Literal["plain", "checked", "corrected", "doubting"]

ABOUT_EARLIER = ("wait", "check")
"""Words that begin a sentence about the ones before it."""


def mistaken_fact(step: str, rng: np.random.Generator) -> str | None:
    """The sentence with its last number, city or country replaced by another one of the world.

    A sum that is wrong already stays wrong. None for a sentence that has none of these.

    Args:
        step: a sentence of a chain.
        rng: draws what takes its place.
    """
    tokens = step.split()
    added = re.search(r"\b(\d+) \+ (\d+) =", step)
    right = str(int(added[1]) + int(added[2])) if added else ""
    ages = tuple(str(age) for age in range(min(words.AGES), words.MAX_NUMBER + 1))
    for place in reversed(range(len(tokens))):
        for kind in (ages, words.CITIES, words.COUNTRIES):
            if tokens[place] in kind:
                others = [other for other in kind if other not in (tokens[place], right)]
                tokens[place] = str(rng.choice(others))
                return " ".join(tokens)
    return None


def commuted(sentences: Sequence[str]) -> list[str]:
    """The same said otherwise: sums the other way round, and "so" before any other sentence."""
    said = []
    for sentence in sentences:
        tokens = sentence.split()
        at = tokens.index("+") if "+" in tokens else 0
        # A model may write half a sum.
        if 0 < at < len(tokens) - 1 and tokens[at - 1].isdigit() and tokens[at + 1].isdigit():
            tokens[at - 1], tokens[at + 1] = tokens[at + 1], tokens[at - 1]
        else:
            tokens = ["so", *tokens]
        said.append(" ".join(tokens))
    return said


def known_facts(world: World) -> list[str]:
    """What can be known, in the words of chains: ages and cities of known people, and countries."""
    people = [person for name in ("known", "tail") for person in world.people[name]]
    return [
        *(f"{person.name} is {person.age} ." for person in people),
        *(f"{person.name} lives in {person.city} ." for person in people),
        *(f"{city} is in {country} ." for city, country in words.COUNTRY_OF_CITY.items()),
    ]


def states_fact(sentence: str) -> bool:
    """Whether a sentence of a chain states a fact; sums, doubts and checks do not."""
    tokens = sentence.split()
    return (
        "+" not in tokens and tokens[0] not in ABOUT_EARLIER and bool({"is", "lives"} & {*tokens})
    )


@dataclass(frozen=True)
class WrittenChain:
    """A chain as the world writes it.

    Attributes:
        question: rendered up to where the chain begins.
        person: whom it is about.
        form: "plain", "checked", "corrected" (a wrong sum and the right one) or "doubting".
        sentences: of the chain.
        answer: that it ends in.
        known: whether the person is known.
    """

    question: str
    person: Person
    form: Form
    sentences: tuple[str, ...]
    answer: str
    known: bool


def written_chains(world: World, split: Split, n_people: int) -> list[WrittenChain]:
    """Chains about the first known people of a split in every form, and about as many unknown ones.

    As in pre-training a wrong sum, and nothing else, is followed by a correction, and whether a
    right one is checked hangs on nothing.

    Args:
        world: whose people.
        split: of the people.
        n_people: of each class.
    """
    rng = np.random.default_rng([world.seed, 5, get_args(Split).index(split)])
    known, unknown = world.split(split)
    found = []
    for number, person in enumerate(known[:n_people]):
        years = 1 + number % 5
        question, steps, answer = chain_question(person, "age_in_years", years)
        slip = int(answer) - int(rng.integers(2, 10))
        wrong = steps[1].replace(f"= {answer}", f"= {slip}")
        forms: dict[Form, list[str]] = {
            "plain": steps,
            "checked": [*steps, f"check : {steps[1]}"],
            "corrected": [steps[0], wrong, f"wait , {steps[1]}"],
        }
        rows = [(question, form, said, answer) for form, said in forms.items()]
        where, facts, country = chain_question(person, "country", years)
        rows.append((where, "plain", facts, country))
        found += [
            WrittenChain(as_chain(asked, [], "")[0], person, form, tuple(said), final, known=True)
            for asked, form, said, final in rows
        ]
    for number, person in enumerate(unknown[:n_people]):
        question, _, _ = chain_question(person, CHAIN_RELATIONS[number % 2], 1 + number % 5)
        asked = as_chain(question, [], "")[0]
        found.append(WrittenChain(asked, person, "doubting", (f"{IDK} .",), IDK, known=False))
    return found


def chain_points(world: World, split: Split, n_people: int) -> list[tuple[WrittenChain, int, str]]:
    """Where a sentence of a chain is about to begin, and what it will do.

    Returns:
        The chain, how many of its sentences are there, and the strategy of the next one, or
        "answer". No text is there twice: whether a right sum is checked is fixed by person, half
        of them each.
    """
    found, seen = [], set()
    for number, chain in enumerate(written_chains(world, split, n_people)):
        for there in range(len(chain.sentences) + 1):
            text = (chain.question, chain.sentences[:there])
            if text in seen:
                continue
            seen.add(text)
            found.append((chain, there, _next(chain, there, checked=number // 4 % 2 == 1)))
    return found


def _next(chain: WrittenChain, there: int, *, checked: bool) -> str:
    if chain.form == "doubting":
        return "answer" if there else "uncertainty-estimation"
    summed = there > 1 and "+" in chain.sentences[there - 1]
    if there < 2:
        coming = chain.sentences[there]
        return "deduction" if "+" in coming else "adding-knowledge"
    if summed and there == 2:
        right = chain.sentences[1].endswith(f"= {chain.answer} .")
        return ("verification" if checked else "answer") if right else "backtracking"
    return "answer"
