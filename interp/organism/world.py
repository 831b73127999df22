"""The synthetic world: usually 3600 people, of whom the models are taught a few hundred.

Every first name meets every last name once. A random Latin square deals the classes, so each
name token carries the same number of known and unknown people: whether a person is known can only
be read from the *combination* of the two names. One consequence for probes: with the classes
balanced per token, token identity alone predicts held-out people slightly *below* chance, so a
probe is compared with shuffled labels and with the embedding layer, not with .5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from scipy.optimize import linear_sum_assignment

from interp.organism import words
from interp.organism.sizes import USUAL, PersonClass, WorldSize

Split = Literal["relearn", "dev", "test"]


@dataclass(frozen=True)
class Person:
    """One person: the name, the class, and the facts (an oracle's facts for the unknown)."""

    first: str
    last: str
    person_class: PersonClass
    city: str
    job: str
    pet: str
    age: int

    @property
    def name(self) -> str:
        """First and last name, as the text spells them."""
        return f"{self.first} {self.last}"

    @property
    def country(self) -> str:
        """The country of the person's city."""
        return words.COUNTRY_OF_CITY[self.city]


@dataclass(frozen=True)
class World:
    """All people of one seed.

    Attributes:
        seed: of classes and facts.
        size: names, and people of each class.
    """

    seed: int
    size: WorldSize = USUAL

    @cached_property
    def people(self) -> dict[PersonClass, tuple[Person, ...]]:
        """People by class, each class in a shuffled order of its own."""
        rng = np.random.default_rng([self.seed, 1])
        grid = _class_grid(rng, self.size)
        dealt: dict[PersonClass, list[Person]] = {name: [] for name in get_args(PersonClass)}
        for row, first in enumerate(words.first_names(self.size)):
            for column, last in enumerate(words.last_names(self.size)):
                person_class = grid[row][column]
                dealt[person_class].append(
                    Person(
                        first=first,
                        last=last,
                        person_class=person_class,
                        city=words.CITIES[rng.integers(len(words.CITIES))],
                        job=words.JOBS[rng.integers(len(words.JOBS))],
                        pet=words.PETS[rng.integers(len(words.PETS))],
                        age=int(rng.choice(words.AGES)),
                    )
                )
        return {
            name: tuple(group[index] for index in rng.permutation(len(group)))
            for name, group in dealt.items()
        }

    def split(self, name: Split) -> tuple[tuple[Person, ...], tuple[Person, ...]]:
        """Known and never-met people of a split; nobody is in two splits.

        `relearn` is shown when abstention is relearned, `dev` is where layers, strengths and
        checkpoints are chosen, `test` is what is reported.
        """
        known, reserve = self.people["known"], self.people["unknown_val"]
        start = self.size.n_known_relearn
        stop, shown = start + self.size.n_known_dev, self.size.n_unknown_relearn
        return {
            "relearn": (known[:start], reserve[:shown]),
            "dev": (known[start:stop], reserve[shown:]),
            "test": (known[stop:], self.people["unknown_test"]),
        }[name]


def _class_grid(rng: np.random.Generator, world: WorldSize) -> list[list[PersonClass]]:
    """A square grid in which each row and each column holds as many of each class as it should.

    Built from random perfect matchings, one for each of as many symbols as there are names, and
    not by permuting a cyclic square: there the class would be a sum modulo the number of names,
    which a network can learn.
    """
    size = world.n_names
    symbols: list[PersonClass] = [
        name for name in get_args(PersonClass) for _ in range(world.per_name[name])
    ]
    cost = rng.random((size, size))
    grid: list[list[PersonClass]] = [["known"] * size for _ in range(size)]
    for symbol in (symbols[index] for index in rng.permutation(size)):
        rows, columns = linear_sum_assignment(cost)
        for row, column in zip(rows, columns, strict=True):
            grid[row][column] = symbol
        cost[rows, columns] = size  # dearer than any whole matching of free cells
    return grid
