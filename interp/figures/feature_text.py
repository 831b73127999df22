"""Tokens and numbers as feature pages show them: nothing in a token is invisible."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import pandas as pd

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
_MARKS = {
    "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}",
    "\t": "\N{RIGHTWARDS ARROW TO BAR}",
    "\r": "\N{SYMBOL FOR CARRIAGE RETURN}",
    "\N{NO-BREAK SPACE}": "\N{OPEN BOX}",
}
# Controls, formatting (which can turn the reading direction), halves of characters, separators.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")


@dataclass(frozen=True)
class Piece:
    """A part of a token: text as it is, one space, or a mark for what cannot be seen."""

    kind: Literal["text", "space", "mark"]
    text: str


def pieces(token: str) -> tuple[Piece, ...]:
    """A token cut where a space or something invisible stands in it."""
    found: list[Piece] = []
    for letter in token:
        if letter == " ":
            found.append(Piece("space", letter))
        elif letter in _MARKS:
            found.append(Piece("mark", _MARKS[letter]))
        elif unicodedata.category(letter) in _UNSEEN:
            found.append(Piece("mark", f"\\u{ord(letter):04x}"))
        elif found and found[-1].kind == "text":
            found[-1] = Piece("text", found[-1].text + letter)
        else:
            found.append(Piece("text", letter))
    return tuple(found) or (Piece("mark", "\N{EMPTY SET}"),)


def plain(value: Any) -> str:
    """A text in which nothing is invisible, for places that hold no marks: names and labels."""
    return "".join(piece.text for piece in pieces(str(value))) if str(value) else ""


def digits(value: float) -> str:
    """Three significant digits with a true minus sign; whole from 1000, powers of ten from 10⁶."""
    if math.isnan(value):
        return NONE
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else f"{MINUS}\N{INFINITY}"
    if value == 0:
        return "0"
    text = f"{value:.0f}" if 999.5 <= abs(value) < 999_999.5 else f"{value:#.3g}".rstrip(".")
    mantissa, e, exponent = text.partition("e")
    return (f"{mantissa}e{int(exponent)}" if e else text).replace("-", MINUS)


def percent(rate: float) -> str:
    """A share in per cent; only all of them are 100%."""
    text = digits(100 * rate)
    return ">99.9%" if text == "100" and rate < 1 else f"{text}%"


def entry(value: Any) -> str:
    """A value of a table: numbers short, yes or no, a dash for nothing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return NONE
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(int(value)).replace("-", MINUS)
    if isinstance(value, Real):
        return digits(float(value))
    return plain(value)


def sort_key(value: Any) -> str:
    """What a value of a table is sorted by: a number in full, else its text; empty for nothing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, (bool, np.bool_, Integral)):
        return str(int(value))
    if isinstance(value, Real):
        number = float(value)
        # As JavaScript spells it.
        return "" if math.isnan(number) else repr(number).replace("inf", "Infinity")
    return plain(value)
