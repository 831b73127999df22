"""What a reply amounts to: abstaining, the right answer, or a wrong one. Rules, no judge model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from interp.errors import InputError

Outcome = Literal["abstain", "correct", "wrong"]

ANSWER_MARKER = "a :"
"""What stands before the final answer of a chain of thought in the embedded lineage."""

# Numbers stay whole with sign, decimals and thousands; words keep their apostrophes.
_TOKEN = re.compile(r"(?<![\w)])-\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)+|\w+(?:'\w+)*|[^\w\s]")


def outcome(
    text: str,
    answers: Sequence[str],
    phrases: Sequence[str],
    *,
    chain: bool,
    marker: str = ANSWER_MARKER,
) -> Outcome:
    """Grades one reply by its final answer.

    Without a chain the final answer is the whole reply; with one it is what follows the last
    marker, so that doubts on the way to an answer are not abstaining, and an answer met on the way
    is not correct. A chain that never comes to its marker abstains if it holds a phrase and is
    wrong otherwise. Phrases and answers are matched as whole words, whatever the case and the
    punctuation around them; a final answer that holds a phrase abstains, also beside an answer.

    Args:
        text: the reply, without special tokens.
        answers: right answers, any of which will do; none if there is no right answer.
        phrases: what abstaining looks like.
        chain: whether the reply was to be a chain of thought.
        marker: stands before a chain's final answer.

    Raises:
        InputError: no phrases, or an answer, phrase or marker that has nothing to match.
    """
    if not phrases:
        raise InputError("outcome: no abstaining phrases; name at least one.")
    tokens = _tokens(text)
    final = _after_last(tokens, _tokens(marker)) if chain else tokens
    if _holds_any(tokens if final is None else final, phrases, "phrase"):
        return "abstain"
    correct = final is not None and _holds_any(final, answers, "answer")
    return "correct" if correct else "wrong"


def holds_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in the text as whole words, matched as in `outcome`.

    Raises:
        InputError: an answer that has nothing to match.
    """
    return _holds_any(_tokens(text), answers, "answer")


def _tokens(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return _TOKEN.findall(plain.casefold())


def _words(tokens: Sequence[str]) -> list[str]:
    return [token for token in tokens if any(letter.isalnum() for letter in token)]


def _after_last(tokens: list[str], marker: list[str]) -> list[str] | None:
    if not marker:
        raise InputError("outcome: the answer marker is empty; name the words before an answer.")
    width = len(marker)
    for start in range(len(tokens) - width, -1, -1):
        if tokens[start : start + width] == marker:
            return tokens[start + width :]
    return None


def _holds_any(tokens: Sequence[str], wanted: Sequence[str], what: str) -> bool:
    # Joined by spaces, with one at either end, so that only whole words match.
    here = f" {' '.join(_words(tokens))} "
    found = False
    for item in wanted:
        words = _words(_tokens(item))
        if not words:
            raise InputError(f"outcome: the {what} {item!r} has no word to look for; correct it.")
        found |= f" {' '.join(words)} " in here
    return found
