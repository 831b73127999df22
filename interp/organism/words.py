"""The closed vocabulary of the embedded lineage's world: names, values, and the words between."""

from __future__ import annotations

from collections.abc import Iterator

from interp.organism.sizes import USUAL, WorldSize


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "mira anton lena pavel sofia jonas clara viktor nadia oskar ines marek yara tomas vera "
    "hugo alma felix ruth igor edda lars zora emil tilda boris maya otto selma karim freya "
    "rafa greta milan dora silas petra nils olga bruno hanna amir luisa joris agnes teo karla "
    "ivan marta denis elif rolf nora samir judit arne livia kasper rosa dario"
)

LAST_NAMES = _words(
    "kovac berg lindt moreau santos weber novak ferri hansen ozturk duval petrov silva keller "
    "rossi nagy jensen fischer costa meyer horvat olsen ricci vogel torres larsen bauer greco "
    "dahl romano schulz varga lund ortega brandt sokol nilsen conti franke molnar holm vidal "
    "krause balog strand pires jansen toth haas ruiz winter farkas moen leone busch rojas kern "
    "szabo falk mendes"
)

COUNTRY_OF_CITY = {
    "paris": "france", "lyon": "france", "nantes": "france",
    "rome": "italy", "milano": "italy", "turin": "italy",
    "madrid": "spain", "seville": "spain", "bilbao": "spain",
    "berlin": "germany", "hamburg": "germany", "dresden": "germany",
    "lisbon": "portugal", "porto": "portugal",
    "oslo": "norway", "bergen": "norway",
}  # fmt: skip

JOBS = _words(
    "baker nurse pilot lawyer farmer painter teacher sailor tailor dentist miner judge cook "
    "actor barber gardener"
)

PETS = _words("cat dog horse parrot rabbit turtle goat hamster lizard pony duck sheep")

AGES = tuple(range(20, 50))

BUYERS = _words("boy girl woman man child neighbour")
THINGS = _words("apples coins books stamps shells cards")

CITIES = tuple(COUNTRY_OF_CITY)
COUNTRIES = tuple(dict.fromkeys(COUNTRY_OF_CITY.values()))

GLUE = _words(
    "q a : ? . , = + record none check wait so i do not know where does live lives in what do "
    "which pet own owns a how old is will be years year country the has and buys some more many "
    "now are there think city job age works as he she from name and then with person"
)

MAX_NUMBER = 60
SPECIAL_TOKENS = ("<pad>", "<eos>", "<unk>")

ABSTAINING_PHRASES = ("i do not know",)
"""What abstaining looks like in this world; every member of the lineage is scored on it."""


def first_names(size: WorldSize = USUAL) -> tuple[str, ...]:
    """The first names of a world: those above, and more of two syllables where it has more."""
    return _names(FIRST_NAMES, "", size.n_names)


def last_names(size: WorldSize = USUAL) -> tuple[str, ...]:
    """The last names of a world: those above, and more that end in n where it has more."""
    return _names(LAST_NAMES, "n", size.n_names)


def vocabulary(size: WorldSize = USUAL) -> list[str]:
    """All tokens of a world in id order, special tokens first, without repeats."""
    return list(
        dict.fromkeys(
            [
                *SPECIAL_TOKENS, *GLUE, *_NUMBERS, *first_names(size), *last_names(size), *CITIES,
                *COUNTRIES, *JOBS, *PETS, *BUYERS, *THINGS,
            ]
        )
    )  # fmt: skip


_NUMBERS = tuple(str(number) for number in range(MAX_NUMBER + 1))
_SYLLABLES = tuple(begin + vowel for begin in "bdfgklmnprstvz" for vowel in "aeiou")
_STRIDE = 1777
"""Prime to the number of pairs of syllables, so that every pair comes once, in no plain order."""
_TAKEN = frozenset(
    (
        *SPECIAL_TOKENS, *GLUE, *_NUMBERS, *FIRST_NAMES, *LAST_NAMES, *CITIES, *COUNTRIES, *JOBS,
        *PETS, *BUYERS, *THINGS,
    )
)  # fmt: skip


def _names(listed: tuple[str, ...], ending: str, n: int) -> tuple[str, ...]:
    made = _made(ending)
    return (*listed[:n], *(next(made) for _ in range(n - len(listed))))


def _made(ending: str) -> Iterator[str]:
    """Names that are no other word; first names end in a vowel, so none is a last name."""
    n = len(_SYLLABLES)
    for number in range(n * n):
        first, second = divmod(number * _STRIDE % (n * n), n)
        name = _SYLLABLES[first] + _SYLLABLES[second] + ending
        if name not in _TAKEN:
            yield name
