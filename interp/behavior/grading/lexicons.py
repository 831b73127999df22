"""Phrases by which replies abstain, ask back, refuse or object: one YAML file a language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pydantic

from interp.behavior.grading.statements import plain_text
from interp.configs import load, locate
from interp.errors import InputError

FOLDER = "behavior/grading/languages"

Sign = Literal[
    "abstain", "clarify", "refuse", "false_premise", "answer", "example", "courtesy", "negation"
]
"""What a phrase is a sign of: four kinds of reply, and four things that decide between them.
"answer" announces what the reply comes to, "example" opens a made-up case, "courtesy" says nothing
of the matter, "negation" stands right before a phrase and turns it round."""
SIGNS: tuple[Sign, ...] = get_args(Sign)

Strength = Literal["firm", "closing", "passing"]
"""Where a phrase decides. firm: unless an answer is announced after it. closing: as firm, and
where nothing of substance comes after it. passing: where nothing of substance stands beside it.
Of the announcements of an answer: a firm one by itself, others only with a figure behind them."""

# <name>, but not the (?<name> of a group or the (?<= of a look behind.
_PART = re.compile(r"(?<!\(\?)(?<!\(\?P)<(\w+)>")


# How far back a phrase right before another may begin; a reply that loops stays cheap.
_REACH = 100


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Entry(_Strict):
    """Some phrases that go together, as they stand in a file; `compile_entry` makes them one.

    Attributes:
        covers: what they have in common.
        strength: where they decide.
        whole: finds only statements that are nothing but one of them.
        phrases: as they are said.
        patterns: regular expressions, with <parts> of the file in them.
    """

    covers: str
    strength: Strength = "firm"
    whole: bool = False
    phrases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    @pydantic.field_validator("phrases", "patterns")
    @classmethod
    def _not_empty(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise ValueError(f"number {number} is empty; write something or take it out")
        return texts

    @pydantic.model_validator(mode="after")
    def _has_any(self) -> Entry:
        if not self.phrases and not self.patterns:
            raise ValueError("neither phrases nor patterns; write at least one")
        return self


class _File(_Strict):
    language: str
    words: bool = True
    parts: dict[str, str] = {}
    abstain: tuple[Entry, ...]
    clarify: tuple[Entry, ...] = ()
    refuse: tuple[Entry, ...] = ()
    false_premise: tuple[Entry, ...] = ()
    answer: tuple[Entry, ...] = ()
    example: tuple[Entry, ...] = ()
    courtesy: tuple[Entry, ...] = ()
    negation: tuple[Entry, ...] = ()


@dataclass(frozen=True)
class Phrase:
    """Some phrases that go together.

    Attributes:
        sign: what they are a sign of.
        covers: what they have in common.
        strength: where they decide.
        pattern: finds any of them in a statement of plain text.
    """

    sign: Sign
    covers: str
    strength: Strength
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Lexicon:
    """The phrases of a language.

    Attributes:
        language: its name, such as "en".
        phrases: by what they are a sign of.
    """

    language: str
    phrases: Mapping[Sign, tuple[Phrase, ...]]

    @classmethod
    def load(cls, name_or_path: str | Path = "en") -> Lexicon:
        """Reads a lexicon of the package by its name, or a YAML file by its path.

        `languages/en.yaml` says at its top how such a file is written.

        Raises:
            InputError: neither such a name nor such a file, an unknown key, a phrase that is
                empty, or a pattern that is no regular expression, names an unknown part or would
                be found everywhere; with file and key.
        """
        path = locate(str(name_or_path), FOLDER)
        file = load(path, _File)
        parts = filled_parts(file.parts, path)
        phrases: dict[Sign, tuple[Phrase, ...]] = {}
        for sign in SIGNS:
            entries: tuple[Entry, ...] = getattr(file, sign)
            phrases[sign] = tuple(
                Phrase(
                    sign,
                    entry.covers,
                    entry.strength,
                    compile_entry(entry, parts, file.words, f"{path}: '{sign}.{number}"),
                )
                for number, entry in enumerate(entries)
            )
        return cls(file.language, phrases)

    def find(self, sign: Sign, statement: str) -> Iterator[tuple[Phrase, re.Match[str]]]:
        """Phrases of a sign in a statement of plain text, but for those that are turned round.

        Args:
            sign: what the phrases say.
            statement: plain text of one statement.
        """
        for phrase in self.phrases[sign]:
            for match in phrase.pattern.finditer(statement):
                if not self.ends_in("negation", statement[: match.start()]):
                    yield phrase, match

    def ends_in(self, sign: Sign, text: str) -> bool:
        """Whether plain text ends in a phrase of a sign.

        Args:
            sign: what the phrases say.
            text: plain text.
        """
        text = text[-_REACH:].rstrip()
        return any(
            match.end() == len(text)
            for phrase in self.phrases[sign]
            for match in phrase.pattern.finditer(text)
        )


def compile_entry(
    entry: Entry, parts: Mapping[str, str], words: bool, where: str
) -> re.Pattern[str]:
    """One expression for all phrases and patterns of an entry.

    Args:
        entry: with one of them at least.
        parts: what `<name>` stands for in a pattern.
        words: whether they are found as whole words only.
        where: file and key of the entry, for messages.

    Raises:
        InputError: as `fill_parts`, or a pattern that would be found everywhere.
    """
    options = [re.escape(plain_text(phrase).text.strip()) for phrase in entry.phrases]
    for number, pattern in enumerate(entry.patterns):
        filled = fill_parts(pattern, parts, f"{where}.patterns.{number}'")
        if re.fullmatch(filled, ""):
            raise InputError(f"{where}.patterns.{number}': is found everywhere (found {pattern!r})")
        options.append(filled)
    any_of = "|".join(f"(?:{option})" for option in options)
    if entry.whole:
        return re.compile(rf"^\W*(?:{any_of})\W*$")
    return re.compile(rf"(?<!\w)(?:{any_of})(?!\w)" if words else f"(?:{any_of})")


def filled_parts(given: Mapping[str, str], path: Path) -> dict[str, str]:
    """The parts of a file, each with those before it in the place of their names.

    Raises:
        InputError: as `fill_parts`.
    """
    parts: dict[str, str] = {}
    for name, text in given.items():
        parts[name] = fill_parts(text, parts, f"{path}: 'parts.{name}'")
    return parts


def fill_parts(pattern: str, parts: Mapping[str, str], where: str) -> str:
    """A pattern with its <parts> put in.

    Raises:
        InputError: an unknown part, or no regular expression; with `where`.
    """
    for name in _PART.findall(pattern):
        if name not in parts:
            raise InputError(
                f"{where}: no part <{name}> before it; there are {', '.join(parts) or 'none'} "
                f"(found {pattern!r})"
            )
    filled = _PART.sub(lambda match: f"(?:{parts[match[1]]})", pattern)
    try:
        re.compile(filled)
    except re.error as error:
        raise InputError(f"{where}: no regular expression, {error} (found {pattern!r})") from error
    return filled
