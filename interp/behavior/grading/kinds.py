"""What kind of reply a free text is: an answer, or one of the ways of not giving one.

Rules and a lexicon, no judge model. What counts is what a reply comes to, not the doubts on its
way there: what follows `</think>`, the last box if there is one, and otherwise the last statement
that decides. A reply that hedges or assumes something, and then announces an answer, is an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from interp.behavior.grading.boxed import boxed_answers, plain
from interp.behavior.grading.lexicons import Lexicon, Phrase
from interp.behavior.grading.statements import (
    plain_text,
    statements,
    without_question,
    without_quotations,
)

ReplyKind = Literal["answer", "abstain", "clarify", "refuse", "false_premise", "none"]
"""abstain: says that it does not know or that it cannot be found out. clarify: asks for what is
missing. refuse: will not, for reasons of policy or safety. false_premise: says that what the
question takes for granted is not so. none: nothing concluded; empty, or cut off before."""
ABSTAINING_KINDS: tuple[ReplyKind, ...] = ("abstain", "clarify", "false_premise")
"""The kinds that count as abstaining in AbstentionBench (Kirichenko et al., arXiv 2506.09038)."""

_Kind = Literal["abstain", "clarify", "refuse", "false_premise"]
# Which of several kinds a reply is: the more telling one.
_ORDER: tuple[_Kind, ...] = ("refuse", "clarify", "false_premise", "abstain")
_THINK, _THOUGHT = "<think>", "</think>"
_FIGURE = re.compile(r"[\d=≈]|\\[a-z(\[]")


@dataclass(frozen=True)
class GradedReply:
    """A reply's kind, and why.

    Attributes:
        kind: as `ReplyKind`.
        phrase: what decided, in plain text (`plain_text`); None for answers without a box and
            for none.
        covers: what the lexicon says about that phrase.
        span: where it stands in the reply; for a box, its content.
    """

    kind: ReplyKind
    phrase: str | None = None
    covers: str | None = None
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Sign:
    """A phrase that was found: in which statement, and where in the plain text."""

    statement: int
    start: int
    stop: int
    phrase: Phrase

    @property
    def strength(self) -> str:
        return self.phrase.strength


@dataclass(frozen=True)
class _Signs:
    """What a reply holds.

    Attributes:
        kinds: signs of one of four kinds, in no order.
        announced: where the last answer is announced; -1 for nowhere.
        substance: first and last statement that say something of the matter and are no sign.
    """

    kinds: tuple[_Sign, ...]
    announced: int
    substance: tuple[int, int] | None


def reply_kind(
    text: str, lexicon: Lexicon, *, question: str | None = None, truncated: bool = False
) -> ReplyKind:
    """The kind of a reply; see `graded_reply`.

    Args:
        text: the reply.
        lexicon: phrases of its language.
        question: what was asked, so that words of it are not taken for the reply's own.
        truncated: the reply was cut off.
    """
    return graded_reply(text, lexicon, question=question, truncated=truncated).kind


def graded_reply(
    text: str, lexicon: Lexicon, *, question: str | None = None, truncated: bool = False
) -> GradedReply:
    r"""Grades a reply by what it comes to.

    In this order: the last `\boxed{...}` with something in it, behind `</think>` if there is one
    there; none, if the reply is empty, only repeats the question or was cut off; a refusal,
    whatever is said besides; the phrases that stand (`Strength`) after the last announced answer;
    else an answer. Nothing is found in quotations, nor where the reply repeats the question.

    Args:
        text: the reply, without special tokens other than the marks around thinking.
        lexicon: phrases of the reply's language.
        question: what was asked.
        truncated: whether it was cut off while it was still working towards a conclusion, as in
            a chain of thought without end; then only a box counts. A chain with `<think>` and no
            `</think>` is always read like this. A reply that runs on after its conclusion, as of
            a base model, is cut there beforehand and is not truncated.
    """
    _, thought, reply = text.rpartition(_THOUGHT)
    skipped = len(text) - len(reply)
    if boxed := _of_box(text, skipped if reply.strip() else 0, lexicon):
        return boxed
    if truncated or (_THINK in text and not thought):
        return GradedReply("none")
    own = without_question(plain_text(reply), question)
    if not own.says_something():
        return GradedReply("none")
    own = without_quotations(own, lambda before: lexicon.ends_in("answer", before.rstrip(" :")))
    signs = _signs(list(statements(own)), own.text, lexicon)
    found = min(_standing(signs), key=_rank, default=None)
    if found is None:
        return GradedReply("answer")
    start, stop = own.span(found.start, found.stop)
    return GradedReply(
        cast(_Kind, found.phrase.sign),
        own.text[found.start : found.stop],
        found.phrase.covers,
        (skipped + start, skipped + stop),
    )


def _of_box(text: str, start: int, lexicon: Lexicon) -> GradedReply | None:
    """What the last box from `start` on says; None without a box."""
    boxes = [box for box in boxed_answers(text[start:]) if plain(box)]
    if not boxes:
        return None
    start = text.rindex("{" + boxes[-1] + "}") + 1
    span = (start, start + len(boxes[-1]))
    shown = plain_text(plain(boxes[-1])).text
    for sign in _ORDER:
        for phrase, match in lexicon.find(sign, shown):
            return GradedReply(sign, match[0], phrase.covers, span)
    return GradedReply("answer", shown, "a box", span)


def _signs(parts: list[tuple[int, int]], text: str, lexicon: Lexicon) -> _Signs:
    kinds: list[_Sign] = []
    substance: list[int] = []
    announced, example = -1, False
    for number, (start, stop) in enumerate(parts):
        part = text[start:stop]
        polite = any(lexicon.find("courtesy", part))
        found = [
            _Sign(number, start + match.start(), start + match.end(), phrase)
            for sign in _ORDER
            for phrase, match in lexicon.find(sign, part)
            if phrase.strength == "firm" or not polite
        ]
        kinds += found
        example = example or any(lexicon.find("example", part))
        for phrase, match in lexicon.find("answer", part):
            if phrase.strength == "firm" or (not example and _FIGURE.search(part, match.end())):
                announced = max(announced, start + match.start())
        if not (found or polite or example or part.rstrip().endswith("?")):
            substance.append(number)
    return _Signs(tuple(kinds), announced, (substance[0], substance[-1]) if substance else None)


def _standing(signs: _Signs) -> Iterator[_Sign]:
    """The signs that decide."""
    for sign in signs.kinds:
        if sign.phrase.sign == "refuse" or (sign.start > signs.announced and _stands(sign, signs)):
            yield sign


def _stands(sign: _Sign, signs: _Signs) -> bool:
    if sign.strength == "firm" or signs.substance is None:
        return sign.strength != "passing" or signs.announced < 0
    return sign.strength == "closing" and sign.statement > signs.substance[1]


def _rank(sign: _Sign) -> tuple[int, int]:
    return _ORDER.index(sign.phrase.sign), sign.start
