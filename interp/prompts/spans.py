"""Where a named span of a prompt, or of its reply, stands: from which character to which."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from interp import configs
from interp.errors import InputError

CHAIN_END = "</think>"
"""What ends a chain of thought in most reasoning models."""

_SENTENCE_END = re.compile(r"[.!?؟][\"')\]”’]*\s+|[。！？]|[\n\r]")  # noqa: RUF001
_QUESTION_MARKS = "?؟？"  # noqa: RUF001


@dataclass(frozen=True)
class Reading:
    """One row as the model reads it.

    Attributes:
        row: of the prompt set.
        text: the rendered prompt, with the reply behind it if there is one.
        prompt_start: where the rendered prompt starts, behind its beginning token.
        prompt_stop: where it ends.
        reply_start: where the reply starts; the space that joins the two is in neither.
        chain_end: what ends a chain of thought.
    """

    row: Mapping[str, Any]
    text: str
    prompt_start: int
    prompt_stop: int
    reply_start: int
    chain_end: str

    def refuse(self, rule: str, why: str) -> NoReturn:
        """Says which prompt lacks the position, and why."""
        raise InputError(f"prompt {self.row['prompt_id']}: position '{rule}' {why}")


def find_span(reading: Reading, span: str, rule: str) -> tuple[int, int]:
    """The [start, stop) characters of a span, without the whitespace around it.

    - `entity`: the row's `entity`, where the prompt names it last, as words of their own ("Ann" is
      not found in "Annual").
    - `question`: the user's last message. For plain text, the sentence that ends with its last
      question mark; it starts behind a line break, the end of another sentence ("." and space),
      or the beginning token.
    - `reply`: all of it, with the whitespace around it.
    - `think`: the reply up to the last `chain_end` that stands in it as words of its own, without
      an opening tag ("<think>" for "</think>"); all of it if it never comes to its end.
    - `answer`: what follows that `chain_end`. A reply without one is all answer, unless it is an
      unfinished chain, which has none: one that the row's `meta["mode"]` "cot" asked for, or that
      an opening tag begins (in the reply, or at the end of the prompt).
    - any other name: that text in the row's `meta["spans"]`, found as the entity is.

    `prompt` is not among them: `resolve` knows it by its tokens.

    Args:
        reading: the row.
        span: one of the above.
        rule: the position that is looked for, named in errors.

    Raises:
        InputError: the row does not name the span, or its text does not have it.
    """
    if span not in _FINDERS:
        return _own(reading, span, rule)
    return _FINDERS[span](reading, rule)


def _entity(reading: Reading, rule: str) -> tuple[int, int]:
    entity = reading.row["entity"]
    if entity is None:
        reading.refuse(rule, "needs an `entity`, and it has none")
    found = _last_words(entity.strip(), reading.text, reading.prompt_stop)
    if found is None:
        raise InputError(
            f"prompt {reading.row['prompt_id']}: its entity {entity!r} does not stand in the "
            "prompt; spell it as the prompt does"
        )
    return found


def _own(reading: Reading, span: str, rule: str) -> tuple[int, int]:
    spans = reading.row["meta"].get("spans", {})
    if not isinstance(spans, dict):
        reading.refuse(rule, f"needs `meta['spans']` to be a dict of texts, not {spans!r}")
    if span not in spans:
        reading.refuse(
            rule,
            f"needs a span '{span}'{configs.nearest(span, [*spans, *SPANS])} in its "
            f"`meta['spans']`, which names {', '.join(spans) or 'none'}",
        )
    wanted = spans[span]
    if not isinstance(wanted, str) or not wanted.strip():
        reading.refuse(rule, f"needs a text that is not empty as its span '{span}', not {wanted!r}")
    found = _last_words(wanted.strip(), reading.text, reading.prompt_stop)
    if found is None:
        reading.refuse(
            rule,
            f"has no place: its span '{span}', {wanted!r}, does not stand in the prompt; spell it "
            "as the prompt does",
        )
    return found


def _question(reading: Reading, rule: str) -> tuple[int, int]:
    text = reading.text[: reading.prompt_stop]
    if reading.row["messages"] is not None:
        question = reading.row["messages"][-1]["content"].strip()
        start = text.rfind(question)
        if start < 0:
            reading.refuse(
                rule,
                "has no place: the chat template changes the user's message, so it cannot be found",
            )
        return start, start + len(question)
    last = max(text.rfind(mark) for mark in _QUESTION_MARKS)
    if last < reading.prompt_start:
        reading.refuse(rule, "has no place: no '?' stands in its text")
    start = reading.prompt_start
    for end in _SENTENCE_END.finditer(text, start, last):
        start = end.end()
    return _stripped(text, start, last + 1)


def _reply(reading: Reading, rule: str) -> tuple[int, int]:
    if reading.reply_start == len(reading.text):
        reading.refuse(rule, "has no place: its reply is empty")
    return reading.reply_start, len(reading.text)


def _think(reading: Reading, rule: str) -> tuple[int, int]:
    start, stop = _reply(reading, rule)
    end = _chain_end(reading)
    start, stop = _stripped(reading.text, start, stop if end is None else end[0])
    opening = _opening(reading.chain_end)
    if opening and reading.text.startswith(opening, start, stop):
        start, stop = _stripped(reading.text, start + len(opening), stop)
    if start == stop:
        reading.refuse(rule, "has no place: its reply has an empty chain of thought")
    return start, stop


def _answer(reading: Reading, rule: str) -> tuple[int, int]:
    start, stop = _reply(reading, rule)
    end = _chain_end(reading)
    if end is None and _chain_begun(reading):
        reading.refuse(
            rule,
            f"has no place: its chain of thought never comes to {reading.chain_end!r}; leave such "
            "prompts out, or let replies be longer",
        )
    start, stop = _stripped(reading.text, start if end is None else end[1], stop)
    if start == stop:
        reading.refuse(rule, "has no place: its reply ends without an answer")
    return start, stop


_FINDERS: dict[str, Callable[[Reading, str], tuple[int, int]]] = {
    "entity": _entity,
    "question": _question,
    "reply": _reply,
    "think": _think,
    "answer": _answer,
}
SPANS = ("prompt", *_FINDERS)
"""Names of the spans that any row may have; other names are of the rows' own ones."""
REPLY_SPANS = ("reply", "think", "answer")
"""Those that need a reply."""


def _last_words(wanted: str, text: str, stop: int) -> tuple[int, int] | None:
    """The last place of a text before `stop`, with no word character right before or behind it."""
    place = text.rfind(wanted, 0, stop)
    while place >= 0:
        end = place + len(wanted)
        if not _is_word(text[place - 1 : place]) and not _is_word(text[end : end + 1]):
            return place, end
        place = text.rfind(wanted, 0, end - 1)
    return None


def _is_word(letter: str) -> bool:
    # ASCII only: in scripts without spaces any neighbour is a letter.
    return letter.isascii() and (letter.isalnum() or letter == "_")


def _chain_end(reading: Reading) -> tuple[int, int] | None:
    """The last one in the reply, as grading reads it: behind it stands the final answer."""
    pattern = _chain_pattern(reading.chain_end)
    found = list(pattern.finditer(reading.text, reading.reply_start))
    return found[-1].span() if found else None


@functools.cache
def _chain_pattern(chain_end: str) -> re.Pattern[str]:
    # A tag may touch words; a marker that is a word must not be found inside of one.
    before = r"\b" if _is_word(chain_end[0]) else ""
    behind = r"\b" if _is_word(chain_end[-1]) else ""
    return re.compile(before + re.escape(chain_end) + behind, flags=re.ASCII)


def _chain_begun(reading: Reading) -> bool:
    """Whether the reply was asked to be, or begins as, a chain of thought."""
    opening = _opening(reading.chain_end)
    prompt, reply = reading.text[: reading.prompt_stop], reading.text[reading.reply_start :]
    opened = opening and (prompt.rstrip().endswith(opening) or reply.lstrip().startswith(opening))
    return bool(opened) or reading.row["meta"].get("mode") == "cot"


def _opening(chain_end: str) -> str:
    """The tag that a closing tag closes; nothing for a marker of another kind."""
    return chain_end.replace("</", "<", 1) if chain_end.startswith("</") else ""


def _stripped(text: str, start: int, stop: int) -> tuple[int, int]:
    """The characters without the whitespace around them."""
    stop = start + len(text[start:stop].rstrip())
    return stop - len(text[start:stop].lstrip()), stop
