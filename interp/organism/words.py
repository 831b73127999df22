"""The closed vocabulary of the embedded lineage's world: names, values, and the words between."""

from __future__ import annotations


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


def vocabulary() -> list[str]:
    """All tokens in id order, special tokens first, without repeats."""
    numbers = [str(number) for number in range(MAX_NUMBER + 1)]
    words = [
        *SPECIAL_TOKENS, *GLUE, *numbers, *FIRST_NAMES, *LAST_NAMES, *CITIES, *COUNTRIES,
        *JOBS, *PETS, *BUYERS, *THINGS,
    ]  # fmt: skip
    return list(dict.fromkeys(words))
