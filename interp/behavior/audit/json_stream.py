"""Files of one JSON object after another, on one line each or pretty-printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from interp.errors import InputError

_HALF = re.compile(
    r"\s*|-|\.|[eE][+-]?|u[0-9a-fA-F]{0,4}|t(?:r|ru)?|f(?:a|al|als)?|n(?:u|ul)?|N|Na|-?I[nfit]*"
)
"""What may stand where the decoder stops on a text that ends too early."""


def read_objects(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """Reads objects until the end of the file, or until one that is cut off.

    Returns:
        The objects, and whether the last one was cut off (as by a run that was killed), and so
        left out.

    Raises:
        InputError: no such file, not UTF-8 (with a byte order mark or without), or something that
            is no object, wherever it stands (with its line).
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    decoder, place = json.JSONDecoder(), 0
    found: list[dict[str, Any]] = []
    while (place := _skipped(text, place)) < len(text):
        try:
            value, stop = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            if text[place] == "{" and _breaks_off(text, error):
                return found, True
            raise InputError(
                f"{path}, line {text.count(chr(10), 0, error.pos) + 1}: not JSON ({error.msg})"
            ) from error
        if not isinstance(value, dict):
            line = text.count("\n", 0, place) + 1
            raise InputError(
                f"{path}, line {line}: expected an object, found {type(value).__name__}"
            )
        found.append(value)
        place = stop
    return found, False


def _breaks_off(text: str, error: json.JSONDecodeError) -> bool:
    """Whether what is wrong is that the text ends, so that more of it might have been right."""
    # Of a text that is never closed the decoder names the beginning, of half a word its own.
    return error.msg.startswith("Unterminated string") or bool(_HALF.fullmatch(text, error.pos))


def _skipped(text: str, place: int) -> int:
    """Behind blanks and the commas that some writers put between objects."""
    while place < len(text) and (text[place].isspace() or text[place] == ","):
        place += 1
    return place
