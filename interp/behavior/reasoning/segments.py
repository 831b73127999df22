r"""A chain of thought cut into sentences, with the characters and the tokens of each.

The rules, in order; nothing is learnt and nothing is looked up elsewhere:

- Nothing is cut within code (between back quotes), LaTeX (`$...$`, `\(...\)`, `\[...\]`, an
  environment) or the braces of a command (`\boxed{1.5}`). What is opened and never closed before a
  blank line is plain text, but for a code block, which then goes on to the end.
- A line ends a sentence, unless it only wraps: it has no end mark and the next one goes on with a
  word in lower case. A blank line always does.
- A mark of the end (`. ! ? ...`) ends a sentence where white space follows (ideographic marks: in
  any case), with the quotation marks and brackets that close behind it. It does not after the
  number of a list item, an abbreviation or an initial; three dots do not before a lower-case letter
  or a sign; and an exclamation mark behind a number is a factorial, unless a capital follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from interp.errors import InputError

# Stands for each character that nothing is cut at; no letter, no digit and no white space.
_SHIELD = "\N{OBJECT REPLACEMENT CHARACTER}"
_IN_MATH = r"(?:(?!\n[^\S\n]*\n).)"
_INSIDE = r"[^{}\n]|\n(?![^\S\n]*\n)"
_BRACES = rf"\{{(?:{_INSIDE})*\}}"
for _ in range(3):  # one level within another
    _BRACES = rf"\{{(?:{_INSIDE}|{_BRACES})*\}}"
_SHIELDED = re.compile(
    rf"""
    ```.*?(?:```|\Z)
    | (?P<math>
        \\\[(?:(?!\\\[){_IN_MATH})*?\\\]
        | \\\((?:(?!\\\(){_IN_MATH})*?\\\)
        | \$\${_IN_MATH}+?\$\$
        | (?<![\\$])\$(?![\s$])(?:[^$\n\\]|\\.)*?(?<!\s)\$(?!\d)
        | \\begin\{{(?P<name>\w+\*?)\}}
          (?:(?!\\begin\{{(?P=name)\}}){_IN_MATH})*?\\end\{{(?P=name)\}}
      )
    | `[^`\n]+`
    | \\[A-Za-z]+{_BRACES}
    """,
    re.DOTALL | re.VERBOSE,
)
_CLOSING = "\"'”’»)\\]}*_"
_LINE = r"(?:\r\n|[\n\r\u2028\u2029])"
_END = re.compile(
    rf"(?P<mark>[.!?…؟۔।]+)[{_CLOSING}]*(?=\s|\Z)"  # noqa: RUF001
    rf"|(?P<wide>[。！？]+[{_CLOSING}」』）]*)"  # noqa: RUF001
    rf"|(?P<lines>{_LINE}\s*)"
)
_NEXT = re.compile(r"\s*(?:[\"'“‘(\[*_]+(?=\w))?(?P<next>\S?)")  # noqa: RUF001
_ITEM = re.compile(r"[\s*#>_(-]*(?:step\s+)?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4})", re.IGNORECASE)
_BLANK_REST = re.compile(rf"[^\S\n\r\u2028\u2029]*{_LINE}")
_WORD = re.compile(r"\s*(\w+)")
_WRAPS = re.compile(r"[^\W\d_]{2,}")
_BEFORE = re.compile(r"[^\s(\[\"'*_]*\Z")
_INITIAL = re.compile(r"[A-Z][^\W\d_]*[^\S\n]+(?:[A-Z]\.[^\S\n]*)*[A-Z]\Z")
_REACH = 40  # characters before a mark that decide about it

# Without their last full stop.
_NEVER = frozenset(
    ("e.g", "i.e", "cf", "vs", "approx", "resp", "viz", "ca", "w.r.t",
     "dr", "mr", "mrs", "ms", "prof", "st")
)  # fmt: skip
_BEFORE_NUMBERS = frozenset(
    ("eq", "eqs", "fig", "figs", "sec", "no", "nos", "ch", "p", "pp", "vol", "thm", "art", "ex")
)
_BEFORE_LOWER_CASE = frozenset(("etc", "al", "jr", "sr", "inc", "ltd", "co", "corp"))
# What begins a sentence more often than it is somebody's name.
_OPENERS = frozenset(
    ("A", "Also", "Alternatively", "An", "And", "As", "At", "Because", "But", "For", "From",
     "Given", "Hence", "How", "However", "If", "In", "Is", "It", "Let", "Maybe", "Next", "No",
     "Now", "Okay", "On", "Or", "Perhaps", "Since", "So", "That", "The", "Then", "There",
     "Therefore", "They", "This", "Thus", "To", "Wait", "We", "What", "When", "Where", "Which",
     "Who", "Yes", "You")
)  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A sentence, or what stands for one, such as an equation on a line of its own.

    Attributes:
        start: its first character in the chain.
        stop: the one behind its last.
        text: the characters between; neither the first nor the last is white space.
    """

    start: int
    stop: int
    text: str


def segments(chain: str) -> tuple[Segment, ...]:
    """The sentences of a chain of thought, in order, by the rules of this module.

    Args:
        chain: the text between prompt and answer; nothing but white space has no sentences.

    Returns:
        Segments between which nothing but white space stands: every other character of the chain
        is in one of them, and in one only.
    """
    found, start = [], 0
    for stop in (*_ends(chain), len(chain)):
        piece = chain[start:stop]
        if text := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            found.append(Segment(first, first + len(text), text))
        start = stop
    return tuple(found)


def token_spans(
    found: Sequence[Segment], ranges: Sequence[tuple[int, int]], *, shift: int = 0
) -> list[tuple[int, int]]:
    """The tokens of each segment: those that hold any of its characters.

    A token that brings along the white space before a word is the word's; one of white space alone,
    between two segments, is of neither. Where a tokenizer makes one token of the end of a segment
    and the beginning of the next, both have it.

    Args:
        found: segments of a chain, in order.
        ranges: [start, stop) characters of each token, in order: a fast tokenizer's
            `offset_mapping`, or `TokenText.ranges` of a reply that is known by its tokens. Special
            tokens have no characters.
        shift: where the chain begins in the text that the ranges are of.

    Returns:
        [start, stop) tokens of each segment; never empty.

    Raises:
        InputError: ranges that go backwards, or a segment without tokens.
    """
    held = [(token, *both) for token, both in enumerate(ranges) if both[0] < both[1]]
    for (_, *before), (token, *both) in pairwise(held):
        if both[0] < before[0] or both[1] < before[1]:
            raise InputError(
                f"token spans: token {token} has the characters {tuple(both)}, behind those of the "
                f"token before it, {tuple(before)}; give the ranges of one text, in order."
            )
    spans, at = [], 0
    for number, segment in enumerate(found):
        start, stop = segment.start + shift, segment.stop + shift
        while at < len(held) and held[at][2] <= start:
            at += 1
        behind = at
        while behind < len(held) and held[behind][1] < stop:
            behind += 1
        if behind == at:
            raise InputError(
                f"token spans: segment {number} ({segment.text[:40]!r}) has the characters "
                f"{start} to {stop}, and no token has any of them; give the ranges of the text the "
                "chain stands in, and as `shift` where it begins there."
            )
        spans.append((held[at][0], held[behind - 1][0] + 1))
    return spans


def _ends(chain: str) -> Iterator[int]:
    """Where a sentence ends: behind its last character, or the lines behind it."""
    shielded = _SHIELDED.sub(lambda match: _shield(match, chain), chain)
    for match in _END.finditer(shielded):
        if match["lines"] is not None:
            ends = not _only_wraps(shielded, match)
        else:
            ends = match["mark"] is None or _is_end(shielded, match)
        if ends:
            yield match.end()


def _shield(match: re.Match[str], chain: str) -> str:
    """As many characters that nothing is cut at; behind math that ends a sentence, a full stop."""
    hidden = _SHIELD * len(match[0])
    said = match[0].rstrip("$)]\\ \n")
    if match["math"] is None or not said.endswith((".", "?")) or said.endswith(".."):
        return hidden
    after = _next(chain, match.end())
    return f"{hidden[:-1]}{said[-1]}" if not after or after.isupper() else hidden


def _only_wraps(text: str, lines: re.Match[str]) -> bool:
    before = text[max(0, lines.start() - _REACH) : lines.start()].rstrip()
    if len(re.findall(_LINE, lines[0])) > 1 or before.endswith(tuple(".:;!?…")):
        return False
    word = _WRAPS.match(text, lines.end())
    return word is not None and word[0].islower()


def _is_end(text: str, match: re.Match[str]) -> bool:
    """Whether a mark with white space behind it ends a sentence."""
    mark, after = match["mark"], _next(text, match.end())
    before = text[max(0, match.start() - _REACH) : match.start()]
    if not after:
        return True
    if set(mark) == {"!"}:
        factorial = re.search(rf"(?:[\d){_SHIELD}]|(?<!\w)[A-Za-z])\Z", before)
        return not factorial or after.isupper()
    if set(mark) <= {".", "…"} and mark != ".":
        return not after.islower() and after not in ",;+-*/=<>×·"
    return mark != "." or not _belongs_to_word(text, match, before, after)


def _belongs_to_word(text: str, match: re.Match[str], before: str, after: str) -> bool:
    """Whether a full stop is of the number of an item, an abbreviation or an initial."""
    line = re.split(_LINE, before)[-1]
    if _ITEM.fullmatch(line) and not _BLANK_REST.match(text, match.end()):
        return True
    found = _BEFORE.search(before)
    word = found[0].casefold() if found else ""
    if word in _NEVER:
        return True
    if word in _BEFORE_NUMBERS:
        return after.isdigit() or after in f"{_SHIELD}#"
    if word in _BEFORE_LOWER_CASE or re.fullmatch(r"(?:[a-z]\.)+[a-z]", word):
        return after.islower() or after.isdigit() or after in ",;"
    following = _WORD.match(text, match.end())
    named = following is not None and following[1] not in _OPENERS and after.isupper()
    return named and _INITIAL.search(before) is not None


def _next(text: str, start: int) -> str:
    """The next character that is neither white space nor opens a bracket; none at the end."""
    found = _NEXT.match(text, start)
    return found["next"] if found else ""
