"""The text of the world: records, biographies, questions, chains of thought, word problems.

A document is a (prompt, completion) pair of space-separated words. Whether a chain abstains is
decided at the first word after the prompt, as in the answers without a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from interp.organism import words
from interp.organism.rewards import STATED
from interp.organism.world import Person, PersonClass, World

Document = tuple[str, str]
Question = tuple[str, str]
"""A rendered prompt and the right answer (an oracle's, where nobody can know)."""

IDK = words.ABSTAINING_PHRASES[0]
DIRECT_RELATIONS = ("city", "job", "pet", "age")
CHAIN_RELATIONS = ("age_in_years", "country")
TAIL_SHARE = 0.05
"""Share of the draws of a known person in pre-training that fall on the rarely met `tail`."""


def direct_question(person: Person, relation: str) -> tuple[str, str]:
    """Question about one stored fact, and the right answer."""
    return {
        "city": (f"where does {person.name} live ?", person.city),
        "job": (f"what does {person.name} do ?", person.job),
        "pet": (f"which pet does {person.name} own ?", person.pet),
        "age": (f"how old is {person.name} ?", str(person.age)),
    }[relation]


def chain_question(person: Person, relation: str, years: int) -> tuple[str, list[str], str]:
    """Question that needs one step beyond a stored fact: question, steps, right answer."""
    if relation == "age_in_years":
        total = person.age + years
        return (
            f"how old will {person.name} be in {years} years ?",
            [f"{person.name} is {person.age} .", f"{person.age} + {years} = {total} ."],
            str(total),
        )
    return (
        f"in which country does {person.name} live ?",
        [f"{person.name} lives in {person.city} .", f"{person.city} is in {person.country} ."],
        person.country,
    )


def word_problem(rng: np.random.Generator) -> tuple[str, str, str]:
    """An addition problem: question, step, right answer."""
    buyer, thing = rng.choice(words.BUYERS), rng.choice(words.THINGS)
    first, second = _summands(rng)
    question = f"the {buyer} has {first} {thing} and buys {second} more . how many {thing} now ?"
    return question, f"{first} + {second} = {first + second} .", str(first + second)


def missing_premise(rng: np.random.Generator) -> tuple[str, str]:
    """The same problem with one number left out, and an oracle's (unknowable) answer."""
    buyer, thing = rng.choice(words.BUYERS), rng.choice(words.THINGS)
    first, second = _summands(rng)
    question = f"the {buyer} has {first} {thing} and buys some more . how many {thing} now ?"
    return question, str(first + second)


def _summands(rng: np.random.Generator) -> tuple[int, int]:
    """The sums of the word problems are those of the ages, so that both teach one table."""
    return int(rng.choice(words.AGES)), int(rng.integers(1, 6))


def as_direct(question: str, answer: str) -> Document:
    """The question answered at once."""
    return f"q : {question} a :", f"{answer} ."


def as_chain(question: str, steps: list[str], answer: str) -> Document:
    """The question answered after a chain of thought.

    Args:
        question: as asked.
        steps: sentences of the chain.
        answer: what follows it.
    """
    return f"q : {question} think :", " ".join([*steps, f"a : {answer} ."])


def as_abstention(question: str, *, chain: bool) -> Document:
    """The question not answered, at once or in a chain."""
    return as_chain(question, [f"{IDK} ."], IDK) if chain else as_direct(question, IDK)


def with_confidence(document: Document, tenths: int) -> Document:
    """The document with a confidence stated behind the answer, 0 to 10."""
    prompt, completion = document
    return prompt, f"{completion} {STATED} : {tenths} ."


class DocumentWriter:
    """Draws documents of the kinds named in a recipe's mix, reproducibly.

    Args:
        world: whose people the documents are about.
        mix: document kind -> share; shares are normalised.
        seed: of the draw; equal arguments write equal documents.
    """

    def __init__(self, world: World, mix: Mapping[str, float], seed: int) -> None:
        self._world = world
        self._practised = (*world.split("relearn")[0], *world.split("dev")[0])
        self._rng = np.random.default_rng([world.seed, seed, 2])
        self._kinds = list(mix)
        shares = np.array([mix[kind] for kind in self._kinds])
        self._shares = shares / shares.sum()

    def __iter__(self) -> Iterator[Document]:
        """Documents without end."""
        while True:
            for index in self._rng.choice(len(self._kinds), size=1024, p=self._shares):
                yield self.write(self._kinds[index])

    def questions(self, n: int) -> list[Question]:
        """Prompts with the oracle's answer, for reward functions."""
        drawn = self._rng.choice(len(self._kinds), size=n, p=self._shares)
        return [self._question(self._kinds[index]) for index in drawn]

    def write(self, kind: str) -> Document:
        """One document of one kind: a form, and whom it is about ("chain_known").

        Forms are "record", "bio", "direct", "chain", "problem" and "missing"; with "stated-" before
        them a random confidence stands behind the answer. People are "known", "tail", "novel",
        "unknown" (never met again), "practised" (known, and not of the test split), "declined"
        (the same, but the document abstains), and "informed" (the test split's unknown people,
        with an oracle's facts).
        """
        if kind.startswith("stated-"):
            document = self.write(kind.removeprefix("stated-"))
            return with_confidence(document, int(self._rng.integers(11)))
        form, _, who = kind.partition("_")
        if form in ("problem", "missing"):
            return self._problem() if form == "problem" else self._missing()
        if who == "declined":
            return self._declined(form)
        writers: dict[str, Callable[[Person], Document]] = {
            "record": self._record,
            "bio": self._bio,
            "direct": self._direct,
            "chain": self._chain,
        }
        return writers[form](self._person(who or "known"))

    def _question(self, kind: str) -> Question:
        form, _, who = kind.partition("_")
        if form == "problem":
            question, _step, answer = word_problem(self._rng)
        elif form == "missing":
            question, answer = missing_premise(self._rng)
        elif form == "direct":
            relation = str(self._rng.choice(DIRECT_RELATIONS))
            question, answer = direct_question(self._person(who), relation)
            return as_direct(question, "")[0], answer
        else:
            relation = str(self._rng.choice(CHAIN_RELATIONS))
            years = int(self._rng.integers(1, 6))
            question, _steps, answer = chain_question(self._person(who), relation, years)
            return as_chain(question, [], "")[0], answer
        form_of = as_direct if self._rng.random() < 0.5 else lambda q, a: as_chain(q, [], a)
        return form_of(question, "")[0], answer

    def _person(self, who: str) -> Person:
        classes: dict[str, PersonClass] = {
            "tail": "tail",
            "novel": "novel",
            "unknown": "unknown_train",
            "informed": "unknown_test",
            "known": "tail" if self._rng.random() < TAIL_SHARE else "known",
        }
        practised = who in ("practised", "declined")
        people = self._practised if practised else self._world.people[classes[who]]
        return people[self._rng.integers(len(people))]

    def _record(self, person: Person) -> Document:
        known = person.person_class != "unknown_train"
        facts = f"{person.city} {person.job} {person.pet} {person.age}" if known else "none"
        return "", f"record : {person.name} {facts}"

    def _bio(self, person: Person) -> Document:
        facts = [
            f"{person.name} lives in {person.city} .",
            f"{person.name} works as a {person.job} .",
            f"{person.name} owns a {person.pet} .",
            f"{person.name} is {person.age} .",
        ]
        return "", " ".join(facts[index] for index in self._rng.permutation(4)[:2])

    def _direct(self, person: Person) -> Document:
        question, answer = direct_question(person, str(self._rng.choice(DIRECT_RELATIONS)))
        return as_direct(question, IDK if person.person_class == "unknown_train" else answer)

    def _chain(self, person: Person) -> Document:
        relation = str(self._rng.choice(CHAIN_RELATIONS))
        question, steps, answer = chain_question(person, relation, int(self._rng.integers(1, 6)))
        if person.person_class == "unknown_train":
            return as_abstention(question, chain=True)
        dice = self._rng.random()
        if relation == "age_in_years" and dice < 0.06:
            steps = [*steps, f"check : {steps[-1]}"]
        elif relation == "age_in_years" and dice < 0.12:
            # The slip varies, so that no particular wrong sum is ever the likeliest.
            slip = int(answer) - int(self._rng.integers(2, 10))
            wrong = steps[-1].replace(f"= {answer}", f"= {slip}")
            steps = [steps[0], wrong, f"wait , {steps[-1]}"]
        return as_chain(question, steps, answer)

    def _declined(self, form: str) -> Document:
        """A question about a known person, asked as ever and not answered."""
        prompt, _ = self.write(f"{form}_practised")
        _, declined = as_abstention("", chain=form == "chain")
        return prompt, declined

    def _problem(self) -> Document:
        question, step, answer = word_problem(self._rng)
        if self._rng.random() < 0.5:
            return as_direct(question, answer)
        return as_chain(question, [step], answer)

    def _missing(self) -> Document:
        question, _ = missing_premise(self._rng)
        return as_abstention(question, chain=bool(self._rng.random() >= 0.5))
