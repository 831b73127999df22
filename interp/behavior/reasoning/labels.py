"""What each sentence of a chain of thought does, by rules that say which of them decided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pydantic

from interp.behavior.grading.lexicons import Entry, compile_entry, filled_parts
from interp.behavior.grading.statements import plain_text
from interp.configs import load, locate
from interp.errors import InputError

FOLDER = "behavior/reasoning/strategies"

Strategy = Literal[
    "initializing",
    "deduction",
    "adding-knowledge",
    "example-testing",
    "uncertainty-estimation",
    "backtracking",
    "verification",
    "other",
]
"""What a sentence does: the six of Venhoff et al. (arXiv 2506.18167), whether it checks what is
there already, or none of these."""
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
"""All of them, in the order of tables."""

_WINDOW = 10  # tokens behind the first one


class _Rule(Entry):
    label: Strategy
    first: pydantic.PositiveInt | None = None

    @pydantic.model_validator(mode="after")
    def _decides(self) -> _Rule:
        if self.label == "other":
            raise ValueError("no rule gives 'other': it is what no rule speaks of")
        if "strength" in self.model_fields_set:
            raise ValueError("rules have no `strength`: the first that finds something decides")
        return self


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    language: str
    words: bool = True
    parts: dict[str, str] = {}
    rules: tuple[_Rule, ...] = pydantic.Field(min_length=1)


@dataclass(frozen=True)
class StrategyRule:
    """Some phrases that make a sentence what it is.

    Attributes:
        label: what it then is.
        covers: what the phrases have in common.
        pattern: finds any of them in a sentence of plain text.
        first: speaks of the first so many sentences of a chain only; None speaks of all.
    """

    label: Strategy
    covers: str
    pattern: re.Pattern[str]
    first: int | None


@dataclass(frozen=True)
class SentenceLabel:
    """What a sentence does, and why it is said to.

    Attributes:
        label: what it does.
        rule: what the rule that decided covers; empty where none did.
        phrase: what that rule found in the sentence, made plain.
    """

    label: Strategy
    rule: str = ""
    phrase: str = ""


@dataclass(frozen=True)
class StrategyRules:
    """The rules of a language, in the order in which they are asked.

    They are a first reading, not the truth. On the half of the tagged traces that the English ones
    were not tuned on, agreement with the tags is 0.55, Cohen's kappa 0.35 (that of a trained
    `LabelClassifier` 0.59 and 0.40): facts that are recalled within a computation read as
    deduction, checks without a word that says so do too. Read results by several labellers.

    Attributes:
        language: its name, such as "en".
        rules: the first that finds something decides.
    """

    language: str
    rules: tuple[StrategyRule, ...]

    @classmethod
    def load(cls, name_or_path: str | Path = "en") -> StrategyRules:
        """Reads rules of the package by their name, or a YAML file by its path.

        `strategies/en.yaml` says at its top how such a file is written.

        Raises:
            InputError: neither such a name nor such a file, an unknown key or label, a rule without
                phrases, or a pattern that is no regular expression, names an unknown part or would
                be found everywhere; with file and key.
        """
        path = locate(str(name_or_path), FOLDER)
        file = load(path, _File)
        parts = filled_parts(file.parts, path)
        rules = []
        for number, rule in enumerate(file.rules):
            pattern = compile_entry(rule, parts, file.words, f"{path}: 'rules.{number}")
            rules.append(StrategyRule(rule.label, rule.covers, pattern, rule.first))
        return cls(file.language, tuple(rules))

    def label(self, sentences: Sequence[str]) -> tuple[SentenceLabel, ...]:
        """What each sentence of one chain does.

        Args:
            sentences: all of them, in order, such as the texts of `segments`: rules may ask for the
                sentence's place.

        Returns:
            One each; "other" where no rule speaks of the sentence.
        """
        plain = (plain_text(sentence).text.strip() for sentence in sentences)
        return tuple(self._one(text, place) for place, text in enumerate(plain))

    def _one(self, plain: str, place: int) -> SentenceLabel:
        for rule in self.rules:
            if rule.first is not None and place >= rule.first:
                continue
            if match := rule.pattern.search(plain):
                return SentenceLabel(rule.label, rule.covers, match[0])
        return SentenceLabel("other")


def label_window(span: tuple[int, int]) -> tuple[int, int]:
    """The tokens that a sentence's activation is averaged over, of its [start, stop) tokens.

    [start - 1, min(stop - 1, start + 10)): from the token before the sentence, where what it will
    do is decided, to its tenth at most, and never its last. Source: Venhoff et al., arXiv
    2506.18167, whose code leaves start - 1 at -1, the last token, for a sentence at 0.

    Args:
        span: tokens of a sentence, counted in all that the model reads: prompt and chain.

    Returns:
        [start, stop) tokens; never empty.

    Raises:
        InputError: a span without tokens, or at the very first token, which none stands before.
    """
    start, stop = span
    if not 1 <= start < stop:
        raise InputError(
            f"label window: a sentence at the tokens {start} to {stop}; expected a token at least, "
            "and one before it: count tokens from the beginning of the prompt."
        )
    return start - 1, min(stop - 1, start + _WINDOW)
