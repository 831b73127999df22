"""Boxed final answers: found, made plain, compared with the right one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from interp.behavior.grading.outcomes import Outcome, outcome

BoxedOutcome = Outcome | Literal["none"]
"""As `Outcome`; "none" where nothing is boxed, as in a reply that was cut off."""

BOXED_ABSTENTIONS = (
    "i don't know", "i do not know", "idk", "unknown", "unanswerable", "unsolvable",
    "not enough information", "insufficient information", "cannot be determined",
    "can't be determined", "undetermined", "no solution can be determined",
)  # fmt: skip
"""What models box when they abstain."""

_BRACE = re.compile(r"\\(?:boxed|fbox)\s*\{|[{}]")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textit|mbox)\s*\{([^{}]*)\}")
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SPACE = re.compile(r"\\[ ,;:!]|\\q?quad\b|~")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)?")
_TOLERANCE = 1e-6


def boxed_answers(text: str) -> list[str]:
    r"""What stands in each `\boxed{...}`, braces balanced, in order; an open box counts nothing."""
    opened: list[tuple[int, bool]] = []
    found: dict[int, str] = {}
    for match in _BRACE.finditer(text):
        if match[0] != "}":
            opened.append((match.end(), match[0] != "{"))
        elif opened:
            start, is_box = opened.pop()
            if is_box:
                found[start] = text[start : match.start()]
    return [found[start] for start in sorted(found)]


def plain(latex: str) -> str:
    r"""An answer without typesetting: `I\,don't\,know`, `\text{...}`, `\frac{1}{2}`, `10,\!011`."""
    text = latex.replace(r"\!", "").replace("{,}", ",")
    text = _FRACTION.sub(r"\1/\2", _WRAPPER.sub(r" \1 ", _SPACE.sub(" ", text)))
    text = text.replace(r"\%", "%").replace(r"\$", "$").replace("$", " ")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    return " ".join(text.split())


def boxed_outcome(
    text: str, answers: Sequence[str], abstentions: Sequence[str] = BOXED_ABSTENTIONS
) -> BoxedOutcome:
    """Grades a reply by its last box that is not empty.

    A number is right if it is the only one in the box and equal within a millionth, whatever unit
    stands beside it; other answers as whole words (`interp.behavior.outcome`).

    Args:
        text: the reply.
        answers: right answers; none if the right thing is to abstain.
        abstentions: phrases that abstain.

    Raises:
        InputError: no phrases.
    """
    boxes = [shown for box in boxed_answers(text) if (shown := plain(box))]
    if not boxes:
        return "none"
    shown, right = boxes[-1], [plain(answer) for answer in answers]
    numbers = [answer for answer in right if _NUMBER.fullmatch(answer)]
    words = [answer for answer in right if answer not in numbers]
    graded = outcome(shown, words, abstentions, chain=False)
    if graded == "wrong" and any(same_number(shown, answer) for answer in numbers):
        return "correct"
    return graded


def same_number(shown: str, answer: str) -> bool:
    """Whether the only number that is shown is the answer."""
    numbers = _NUMBER.findall(shown)
    if len(numbers) != 1:
        return False
    try:
        right = _value(answer)
        return abs(_value(numbers[0]) - right) <= _TOLERANCE * max(1, abs(right))
    except ZeroDivisionError:
        return False


def _value(number: str) -> float:
    above, _, below = number.partition("/")
    return float(above) / (float(below) if below else 1.0)
