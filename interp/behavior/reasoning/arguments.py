"""Who argues: written arguments read out, and helpers that rewrite what a persuader drafts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from interp.behavior.reasoning.stances import Dialogue, Turn
from interp.errors import InputError

Speaker = Callable[[Sequence[Dialogue]], Sequence[str | None]]
"""What comes next in each dialogue; None where nothing can: no room, or no argument left."""


def scripted(arguments: Mapping[str, Sequence[str]]) -> Speaker:
    """A persuader that reads out written arguments, one a round, whatever it is told.

    Args:
        arguments: claim id -> its arguments in order; a dialogue ends where they do.

    Raises:
        InputError: a claim has none.
    """
    for claim_id, written in arguments.items():
        if isinstance(written, str) or not written:
            raise InputError(f"scripted arguments, claim {claim_id}: expected a list of texts")

    def speak(dialogues: Sequence[Dialogue]) -> list[str | None]:
        said: list[str | None] = []
        for dialogue in dialogues:
            if dialogue.claim_id not in arguments:
                raise InputError(f"scripted arguments: none for the claim {dialogue.claim_id}")
            written = arguments[dialogue.claim_id]
            place = dialogue.heard
            said.append(written[place] if place < len(written) else None)
        return said

    return speak


def helped(persuader: Speaker, helper: Speaker) -> Speaker:
    """A persuader whose arguments a helper rewrites before they are heard, as in LOGICOM.

    Args:
        persuader: drafts the argument.
        helper: is given a dialogue of the draft alone, and says what is heard in its place.
    """

    def speak(dialogues: Sequence[Dialogue]) -> list[str | None]:
        drafts = asked("persuader", persuader, dialogues)
        given = [row for row, draft in enumerate(drafts) if draft is not None]
        alone = [
            replace(dialogues[row], turns=(*dialogues[row].turns, Turn("draft", str(drafts[row]))))
            for row in given
        ]
        said: list[str | None] = [None] * len(dialogues)
        for row, text in zip(given, asked("helper", helper, alone), strict=True):
            said[row] = text
        return said

    return speak


def asked(who: str, ask: Callable[[Sequence[Dialogue]], Sequence[Any]], what: Any) -> list[Any]:
    """Answers, one a dialogue; nobody is asked about none.

    Raises:
        InputError: they are not one a dialogue.
    """
    answers = list(ask(what)) if len(what) else []
    if len(answers) != len(what):
        raise InputError(f"debates: the {who} gave {len(answers)} answers to {len(what)} dialogues")
    return answers
