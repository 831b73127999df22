"""Where an answer stands in a reply: the tokens that a confidence is read from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interp.behavior.calibration.token_text import TokenText, token_text
from interp.errors import InputError
from interp.prompts import PromptSet, render
from interp.prompts.encoding import join
from interp.prompts.words import MARKS, UNSPACED

REPROMPT = "So the answer is"
"""What RLSF puts behind a reply, so that the model says its answer once more and shortly."""
REPROMPT_TOKENS = 20
"""New tokens at most of that short answer."""

Which = Literal["last", "first"]
"""Which of several places an answer is read at.

The last one, by default: a chain of thought names answers that it then drops, and states its own at
the end. RLSF's code takes the first.
"""

# Scripts without spaces are read character by character, and so is Korean, which has spaces but
# writes particles onto a word: an answer stands there with one behind it.
_HANGUL = r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_LETTER = rf"[^\W_{UNSPACED}{_HANGUL}]"
_LETTERS = rf"{_LETTER}+(?:[{MARKS}]+{_LETTER}*)*"
# A number is one word with its decimals and thousands, and may begin with a point; a sign or a
# symbol is one by itself.
_POINT = rf"(?<!{_LETTER})(?<![.,{MARKS}])[.,](?=\d)"
_WORD = re.compile(rf"(?:{_POINT})?{_LETTERS}(?:(?<=\d)[.,](?=\d){_LETTERS})*|\S[{MARKS}]*")
# What may stand around an answer without being part of it: no signs, units or currencies.
_EDGES = frozenset(".,;:!?\"'`*()[]{}<>|\\~“”‘’„«»—–…。，！？；：、（）「」")  # noqa: RUF001


def reprompted(
    prompts: PromptSet, replies: Sequence[str], tokenizer: Any, *, reprompt: str = REPROMPT
) -> PromptSet:
    """The prompts with their replies behind them and the request for a short answer behind those.

    The same prompts otherwise, to be continued by `interp.behavior.generate` with
    `REPROMPT_TOKENS`. As in RLSF's code, a reply is made one line and ends in a full stop before
    the request stands behind it.

    Args:
        prompts: what was asked.
        replies: one a prompt, without special tokens.
        tokenizer: with the chat template that the prompts are rendered by.
        reprompt: the request.

    Raises:
        InputError: not one reply a prompt, or an empty request.
    """
    if len(replies) != len(prompts):
        raise InputError(
            f"reprompted: {len(replies)} replies for {len(prompts)} prompts; expected one each."
        )
    if not reprompt.strip():
        raise InputError("reprompted: the request is empty; ask for the answer in some words.")
    said = []
    for reply in replies:
        line = " ".join(reply.split())
        stop = "" if not line else " " if line.endswith(".") else ". "
        said.append(f"{line}{stop}{reprompt.strip()}")
    texts = join(render(prompts, tokenizer), said, tokenizer)
    return PromptSet(prompts.frame.assign(text=texts, messages=None))


def matched_span(
    reply_ids: Sequence[int],
    answer_ids: Sequence[int],
    tokenizer: Any,
    *,
    which: Which = "last",
) -> tuple[int, int] | None:
    """The longest run of the answer's tokens that stands in the reply: RLSF's span.

    Tokens are compared by what they read as, word by word: the white space before a word, and how
    it is cut into tokens (which depends on what stands before it), do not count. Case does: an
    option "A" is no article. A run holds no special token, and neither begins nor ends with
    punctuation or inside of a word or number: "12" is not found in "2012", "0.12" or ".12".

    Source: RLSF, arXiv 2507.21931, whose code compares token ids, leaves out line breaks and full
    stops, and takes the first of equally long runs.

    Args:
        reply_ids: tokens of the reply.
        answer_ids: tokens of the short answer that the model was prompted for (`reprompted`).
        tokenizer: of both.
        which: of equally long runs.

    Returns:
        The [start, stop) tokens of the reply, or None if the two have no word in common.
    """
    reply, answer = token_text(reply_ids, tokenizer), token_text(answer_ids, tokenizer)
    said, wanted = _words(reply, reply_ids, tokenizer), _words(answer, answer_ids, tokenizer)
    best: tuple[int, int] | None = None
    span = None
    for (first, last), (begin, end) in _runs(said, wanted):
        start, stop = answer.tokens(wanted[begin].start, wanted[end].stop)
        rank = (stop - start, first if which == "last" else -first)
        if best is None or rank > best:
            best, span = rank, (said[first].start, said[last].stop)
    return None if span is None else reply.tokens(*span)


def answer_span(
    reply_ids: Sequence[int],
    answer_text: str,
    tokenizer: Any,
    *,
    after: str | None = None,
    which: Which = "last",
) -> tuple[int, int] | None:
    r"""The tokens of an answer whose text is known, such as that of the last box of a reply.

    Args:
        reply_ids: tokens of the reply.
        answer_text: as the reply spells it; found as words of their own, without the white space
            around it.
        tokenizer: of the reply.
        after: a marker ("a :", r"\boxed{"): only what follows its last place is searched.
        which: place, if the answer stands in several.

    Returns:
        The [start, stop) tokens that hold any of its characters, or None if it does not stand
        there, or the marker does not.

    Raises:
        InputError: an answer or marker of no characters.
    """
    wanted = answer_text.strip()
    if not wanted or after == "":
        raise InputError(
            f"answer span: {'the answer' if not wanted else 'the marker'} is empty; expected text."
        )
    read = token_text(reply_ids, tokenizer)
    begin = 0
    if after is not None:
        marker = read.text.rfind(after)
        if marker < 0:
            return None
        begin = marker + len(after)
    places = list(_whole(read.text, wanted, begin))
    if not places:
        return None
    start = places[-1 if which == "last" else 0]
    return read.tokens(start, start + len(wanted))


@dataclass(frozen=True)
class _Word:
    """A word or a mark: how it reads (None in a special token), and its characters."""

    key: str | None
    start: int
    stop: int

    @property
    def ends_runs(self) -> bool:
        return self.key not in _EDGES


def _words(read: TokenText, ids: Sequence[int], tokenizer: Any) -> list[_Word]:
    special = set(tokenizer.all_special_ids)
    hidden = [r for token, r in zip(ids, read.ranges, strict=True) if token in special]
    words = []
    for match in _WORD.finditer(read.text):
        start, stop = match.span()
        in_special = any(first < stop and start < behind for first, behind in hidden)
        words.append(_Word(None if in_special else match.group(), start, stop))
    return words


def _runs(
    said: Sequence[_Word], wanted: Sequence[_Word]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """First and last word of common runs, in the reply and in the answer.

    For every place where one may end, the longest: the usual table of common suffixes, row by row.
    """
    length_A = [0] * (len(wanted) + 1)
    for i, word in enumerate(said):
        above, length_A = length_A, [0] * (len(wanted) + 1)
        for j, other in enumerate(wanted):
            if word.key is None or word.key != other.key:
                continue
            length_A[j + 1] = above[j] + 1
            if word.ends_runs:
                # There is one: this very word.
                back = next(n for n in range(above[j], -1, -1) if said[i - n].ends_runs)
                yield (i - back, i), (j - back, j)


def _whole(text: str, wanted: str, begin: int) -> Iterator[int]:
    """Where a text stands without cutting a word at its ends."""
    inside = {
        place
        for match in _WORD.finditer(text, begin)
        for place in range(match.start() + 1, match.end())
    }
    start = text.find(wanted, begin)
    while start >= 0:
        if start not in inside and start + len(wanted) not in inside:
            yield start
        start = text.find(wanted, start + 1)
