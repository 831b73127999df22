r"""Rules that change a step: into a mistaken one, or into other words for the same.

Both read the chain alone: a question is never among their arguments. Where no rule applies they say
so (None, or the text as it is), and the trial is left out and counted. Within code (between back
quotes) and LaTeX nothing is reworded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np

# Not a list's number ("2. ", "Step 2"), nor part of a name (x1, layer_2) or of a date or version.
_NUMBER = re.compile(r"(?<![\w.,/])(?<!step )(?<!Step )\d+(?:,\d{3})*(?:\.\d+)?(?![\w/]|[.,]\d)")
_ITEM = re.compile(r"^\s*\(?\d+[.):]\s")
_AUXILIARY = "is|are|was|were|can|could|will|would|does|did|has|should|must"
_NOT = re.compile(rf"\b({_AUXILIARY}|do|have) not\b")
_CONTRACTED = re.compile(r"\b(is|are|was|were|could|would|does|do|did|has|have|should)n['’]t\b")
_CANNOT = re.compile(r"\b(can)(?:not|['’]t)\b")
_VERB = re.compile(rf"\b({_AUXILIARY})\b(?! not)")
_KEPT = re.compile(
    r"```.*?```|`[^`\n]+`|\$\$.+?\$\$|\$[^$\n]+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL
)

NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve"),
)
_PAIRS = {
    "do not": "don't", "does not": "doesn't", "did not": "didn't", "is not": "isn't",
    "are not": "aren't", "was not": "wasn't", "were not": "weren't", "cannot": "can't",
    "could not": "couldn't", "would not": "wouldn't", "should not": "shouldn't",
    "have not": "haven't", "has not": "hasn't", "i am": "i'm", "we will": "we'll",
    "we have to": "we need to", "therefore": "hence", "because": "since", "calculate": "compute",
    "for example": "for instance", "big": "large", "begin": "start", "also": "as well",
    "in total": "altogether", "equals": "is equal to", "find out": "work out", "perhaps": "maybe",
    "however": "but", "first of all": "to begin with", "let us": "let's",
}  # fmt: skip
# One way only: "since" and "but" have other meanings, and so have the words for 0 and 1.
_ONE_WAY = frozenset(("because", "also", "however", "begin", "big"))
REWORDED: Mapping[str, str] = {
    **_PAIRS, **{to: of for of, to in _PAIRS.items() if of not in _ONE_WAY}
}  # fmt: skip
"""Other words for the same, in lower case: contractions both ways, and synonyms."""

_COUNTED = r"(?=\s+[a-z])"
_WORDS = re.compile(
    r"\b(?:" + "|".join(sorted(map(re.escape, REWORDED), key=len, reverse=True)) + r")\b"
    r"|(?<![\w.,$€£+*/=-])(?<![+*/=-] )(?<!step )(?:[2-9]|1[0-2])" + _COUNTED
    + r"|\b(?:" + "|".join(NUMBER_WORDS[2:]) + r")\b" + _COUNTED,
    re.IGNORECASE,
)  # fmt: skip


@runtime_checkable
class MistakeMaker(Protocol):
    """Makes a step mistaken."""

    def __call__(self, step: str, rng: np.random.Generator) -> str | None:
        """The step with a mistake in it; None if none can be made."""


@runtime_checkable
class Paraphraser(Protocol):
    """Puts the beginning of a chain into other words that say the same."""

    def __call__(self, text: str) -> str:
        """The text in other words; as it is where there are none."""


def mistaken_step(step: str, rng: np.random.Generator) -> str | None:
    """A mistake by rule: a number is changed, or else the step says the opposite.

    One number of the step, drawn by chance, is moved by 1 to 9 of its last place, never below 0;
    numbers of list items and within names stay. A step without one is negated at its first verb
    ("is" to "is not"), or has its negation taken out.

    Args:
        step: of a chain.
        rng: draws the number and by how much.

    Returns:
        The mistaken step, or None for one with neither a number nor such a verb.
    """
    skipped = item.end() if (item := _ITEM.match(step)) else 0
    numbers = list(_NUMBER.finditer(step, skipped))
    if numbers:
        found = numbers[int(rng.integers(len(numbers)))]
        return step[: found.start()] + _moved(found[0], rng) + step[found.end() :]
    for pattern in (_NOT, _CONTRACTED, _CANNOT):
        if pattern.search(step):
            return pattern.sub(r"\1", step, count=1)
    if _VERB.search(step):
        return _VERB.sub(r"\1 not", step, count=1)
    return None


def reworded(text: str) -> str:
    """A paraphrase by rule: synonyms, contractions and number words, each wherever it stands.

    "2 apples" are "two apples" and the other way round, from 2 to 12 and before a word only; what
    stands in a calculation stays.

    Args:
        text: the beginning of a chain.
    """
    parts, start = [], 0
    for kept in _KEPT.finditer(text):
        parts += [_WORDS.sub(_other, text[start : kept.start()]), kept[0]]
        start = kept.end()
    return "".join([*parts, _WORDS.sub(_other, text[start:])])


def _moved(number: str, rng: np.random.Generator) -> str:
    """Another number with as many decimals."""
    whole, _, decimals = number.replace(",", "").partition(".")
    value = int(whole + decimals)
    by = int(rng.integers(1, 10))
    moved = value - by if value >= by and rng.random() < 0.5 else value + by
    digits = str(moved).rjust(len(decimals) + 1, "0")
    front, back = (digits[: -len(decimals)], digits[-len(decimals) :]) if decimals else (digits, "")
    front = f"{int(front):,}" if "," in number else front
    return f"{front}.{back}" if decimals else front


def _other(found: re.Match[str]) -> str:
    word = found[0].lower().replace("’", "'")
    if word.isdigit():
        other = NUMBER_WORDS[int(word)]
    elif word in NUMBER_WORDS:
        other = str(NUMBER_WORDS.index(word))
    else:
        other = REWORDED[word]
    other = re.sub(r"\bi\b", "I", other)
    return other[0].upper() + other[1:] if found[0][0].isupper() else other
