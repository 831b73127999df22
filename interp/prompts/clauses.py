"""Clauses that a word problem does not need: found by a rule that would rather find none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import pydantic

from interp import configs

_WORDS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# A sentence ends before a space or a capital (published problems lack some spaces), or at the end:
# not within 2.5, and not after Mr. or an initial.
_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bMrs)(?<!\b[A-Z])[.?!]+['\"’”)]*(?=\s|[A-Z]|$)\s*"
)
_LAST_WORDS = re.compile(
    r"(?<=\s)(?=((?:\w+['\w-]*\s){1,4}\w+['\w-]*)(?:[.!]*$|, (?:and|but|so|then|he|she|they)\s))"
)
_ALTOGETHER = re.compile(r"\b(?:in all|in total|in the end|at the end)\b")
_ENDING = re.compile(r"(?<=\w{3})(?:ies|es|s|ing|ed|y|e)$")
_FIRST_LETTERS = 4
_CARRYING = ("quantity", "change", "price", "measure", "time", "binding")


class _Lists(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    quantity: str
    change: str
    having: str
    price: str
    measure: str
    time: str
    binding: str
    beings: str
    plain: str
    adjunct: str
    place: str
    definite: str
    reference: str
    wanting: str
    situation: str


@dataclass(frozen=True)
class Clause:
    """A part of a text that can be cut out.

    Attributes:
        start: its first character.
        stop: one past its last, with the space behind it.
        text: what stands there, without that space.
    """

    start: int
    stop: int
    text: str

    def cut_from(self, text: str) -> str:
        """The text without it; what then begins a sentence has a capital."""
        rest = text[self.stop :]
        return (text[: self.start] + rest[:1].upper() + rest[1:]).strip()


def irrelevant_clauses(text: str) -> list[Clause]:
    """The clauses of a word problem that its answer does not need, by the rule below.

    The question is every sentence that ends with a question mark, or else the last one. Looked at
    is each other sentence before its end; where that is needed, its part before the first comma if
    it begins with a preposition ("At the arcade, "); and where that is needed too, up to five words
    at its end, or before a comma and another clause, that begin with a preposition and a definite
    word ("in the garden"). A clause is irrelevant if all of this holds, with the word lists of
    `irrelevance.yaml`:

    1. It has no digit or sign of a quantity; no word of number, amount, comparison, sharing out,
       gain or loss, price, measure or time; and no "a" beside a word of having or acquiring.
    2. It has no word of a condition, negation, list ("and", "with") or reference to a thing ("it",
       "they", "this"): it neither binds another clause nor leans on one.
    3. It has no word for people or kin: it brings in no one who might count. A sentence may have
       one name, which the question says only if another sentence does; a part of one has none.
    4. Its content words, names apart, are in no question, and in no other clause that breaks rule
       1 or 2, so that it cannot relate what is counted to anything. Words are the same if, without
       a common ending, their first four letters are. One word may be, if it is a sentence before
       all such clauses: it sets the scene of what has not been counted yet.
    5. If it is a sentence, the next one has no word that could speak of what it brings in ("it",
       "they").
    6. If it is the end of one, the word in front of it can do without it, what is left of the
       sentence has no percentage, which may be of this, and the question asks for nothing at a
       place or time ("at home", "while"), which this may stand against.

    The rule knows no idioms and nothing of the world: that a clock has two hands is a quantity
    without a word of one.

    Args:
        text: a problem with its question.

    Returns:
        At most one clause a sentence, the longest kind, in their order.
    """
    sentences = list(_sentences(text))
    asked = [one for one in sentences if one.text.rstrip("'\"’”)").endswith("?")]
    asked = asked or sentences[-1:]
    found = []
    for place, sentence in enumerate(sentences):
        if sentence in asked or sentence.start > asked[-1].start:
            continue
        before, behind = sentences[:place], sentences[place + 1 :]
        for clause, rest in _parts(sentence):
            # A sentence cut whole leaves nothing behind, and is judged by more.
            whole = not rest
            told = [one for one in [*before, *rest, *behind] if one not in asked]
            ending = clause.start > sentence.start
            scene = whole and not any(_carries(one.text) for one in before)
            if (
                _needs_nothing(clause.text, n_names=int(whole))
                and _is_apart(clause.text, told, asked, n_shared=int(scene))
                and not (whole and behind and _among(behind[0].text, "reference"))
                and not (ending and _is_in_question(clause.text, rest[0].text, asked))
            ):
                found.append(clause)
                break
    return found


def _sentences(text: str) -> Iterator[Clause]:
    start = len(text) - len(text.lstrip())
    for stop in [*(end.end() for end in _SENTENCE_END.finditer(text)), len(text)]:
        if text[start:stop].strip():
            yield Clause(start, stop, text[start:stop].strip())
        start = stop


def _parts(sentence: Clause) -> Iterator[tuple[Clause, list[Clause]]]:
    """What may be cut from a sentence, each with what is left of it."""
    start, text = sentence.start, sentence.text
    yield sentence, []
    head, comma, tail = text.partition(", ")
    if comma and _first(head) in _list("adjunct"):
        stop = start + len(head) + len(comma)
        yield Clause(start, stop, head + ","), [Clause(stop, sentence.stop, tail)]
    for found in _LAST_WORDS.finditer(text):
        first, second, *_ = found.group(1).lower().split()
        if first in _list("place") and second in _list("definite"):
            left = text[: found.start(1)]
            last = left.split()[-1]
            if not _carries(last) and not _among(last, "wanting"):
                cut = Clause(start + found.start(1) - 1, start + found.end(1), found.group(1))
                yield cut, [Clause(start, sentence.stop, left + text[found.end(1) :])]


def _needs_nothing(text: str, n_names: int) -> bool:
    """Rules 1, 2, and the first half of 3."""
    return not _carries(text) and len(_names(text)) <= n_names and not _among(text, "beings")


def _carries(text: str) -> bool:
    """Whether a clause breaks rule 1 or 2."""
    signs = any(letter.isdigit() or letter in "$€£%=+*/<>:;" for letter in text)
    one_more = bool({"a", "an"} & _spoken(text)) and _among(text, "having")
    return signs or one_more or any(_among(text, name) for name in _CARRYING)


def _is_apart(text: str, told: Sequence[Clause], asked: Sequence[Clause], n_shared: int) -> bool:
    """The second half of rule 3, and rule 4."""
    names = _names(text)
    said_N = [names <= set(_words(one.text)) for one in told]
    if any(names & set(_words(one.text)) for one in asked) and not any(said_N):
        return False
    content = _stems(text) - {_stem(name) for name in names}
    carrying = [one.text for one in told if _carries(one.text)]
    shared = content & {stem for one in carrying for stem in _stems(one)}
    return len(shared) <= n_shared and not any(content & _stems(one.text) for one in asked)


def _is_in_question(ending: str, left: str, asked: Sequence[Clause]) -> bool:
    """Whether the end of a sentence breaks rule 6, or says nothing by itself ("for her")."""
    questions = [_ALTOGETHER.sub("", one.text) for one in asked]
    placed = any(_among(question, "situation") for question in questions)
    return placed or "%" in left or "percent" in left or not _stems(ending)


def _words(text: str) -> list[str]:
    return [re.sub("['’]s$", "", word) for word in _WORDS.findall(text)]


def _names(text: str) -> set[str]:
    """Words with a capital; the first one only if it is not a plain word."""
    plain = _list("plain") | _list("adjunct") | _list("binding") | _list("quantity")
    return {word for word in _words(text) if word[0].isupper() and word.lower() not in plain}


def _first(text: str) -> str:
    return (_words(text) or [""])[0].lower()


def _stem(word: str) -> str:
    return _ENDING.sub("", word.lower())[:_FIRST_LETTERS]


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _words(text) if word.lower() not in _list("plain")}


def _among(text: str, name: str) -> bool:
    return not _list(name).isdisjoint(_spoken(text))


@lru_cache(maxsize=4096)
def _spoken(text: str) -> frozenset[str]:
    return frozenset(word.lower().replace("’", "'") for word in _WORDS.findall(text))


@cache
def _list(name: str) -> frozenset[str]:
    lists = configs.load(configs.locate("irrelevance", "prompts"), _Lists)
    return frozenset(getattr(lists, name).split())
