"""A reply made plain and cut into statements, each with its place in the reply."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_PLAIN = {
    ord(letter): plain
    for plain, letters in {
        "-": "\u2010\u2011\u2012\u2013\u2014\u2212",
        "'": "\u2018\u2019\u02bc\u00b4",
        '"': "\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f",
        "?": "\u061f",
    }.items()
    for letter in letters
}
# Emphasis, headings and list marks of Markdown carry no words.
_MARKUP = "*_#`"
_BLANK = "\N{WHITE SQUARE}"
_QUOTED = re.compile(r'"[^"\n]+"')
# A full stop ends a statement where a blank follows, so that 3.5 stays whole.
_END = re.compile(r"(?:\.+[\"')\]]*(?=\s)|[!?\u3002\u0964]+[\"')\]]*|\n)+")
_NEXT = re.compile(r"\S")


@dataclass(frozen=True)
class PlainText:
    """A text made plain.

    Attributes:
        text: lower case, one width of letters, one apostrophe, quotation mark and dash, single
            blanks, no Markdown; lines stay lines, unless one only wraps.
        place_C: where each character of `text` stood in the original.
    """

    text: str
    place_C: tuple[int, ...]

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Where in the original a part of `text` stood."""
        return self.place_C[start], self.place_C[stop - 1] + 1

    def says_something(self) -> bool:
        """Whether there is a letter or a digit."""
        return _says_something(self.text)


def plain_text(text: str) -> PlainText:
    """Makes a text plain (Unicode NFKC, case folded), keeping the place of every character."""
    letters: list[str] = []
    places: list[int] = []
    for place, cluster in _clusters(text):
        for letter in unicodedata.normalize("NFKC", cluster.translate(_PLAIN)).casefold():
            if letter in _MARKUP:
                continue
            blank = _blank(text, place, letters) if letter.isspace() else ""
            if blank and letters and letters[-1].isspace():
                letters[-1] = "\n" if "\n" in (blank, letters[-1]) else " "
                continue
            letters.append(blank or letter)
            places.append(place)
    return PlainText("".join(letters), tuple(places))


def statements(plain: PlainText) -> Iterator[tuple[int, int]]:
    """Where each statement begins and ends in `plain.text`: sentences and lines."""
    start = 0
    for stop in (*(match.end() for match in _END.finditer(plain.text)), len(plain.text)):
        if plain.text[start:stop].strip():
            yield start, stop
        start = stop


def without_question(plain: PlainText, question: str | None) -> PlainText:
    """Blanks out the question where the text repeats it word for word."""
    asked = plain_text(question or "").text.strip()
    return (
        PlainText(plain.text.replace(asked, _BLANK * len(asked)), plain.place_C) if asked else plain
    )


def without_quotations(plain: PlainText, own: Callable[[str], bool]) -> PlainText:
    """Blanks out what stands in quotation marks, as somebody else's words.

    Args:
        plain: the text; if there is nothing besides quotations, it is left as it is.
        own: whether what follows a text is the reply's own words, quotation marks or not.
    """
    rest = _QUOTED.sub(lambda match: _BLANK * len(match[0]), plain.text)
    if not _says_something(rest):
        return plain
    kept = _QUOTED.sub(
        lambda match: match[0] if own(plain.text[: match.start()]) else _BLANK * len(match[0]),
        plain.text,
    )
    return PlainText(kept, plain.place_C)


def _says_something(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _blank(text: str, place: int, before: list[str]) -> str:
    """A line break, or a blank where a line only wraps: the next one goes on in lower case."""
    if text[place] not in "\n\r\u2028\u2029":
        return " "
    ended = bool(before) and before[-1] in ".:;!?"
    following = _NEXT.search(text, place)
    return " " if not ended and following and following[0].islower() else "\n"


def _clusters(text: str) -> Iterator[tuple[int, str]]:
    """Each letter with the marks that combine with it."""
    start = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or not unicodedata.combining(text[place]):
            yield start, text[start:place]
            start = place
