"""Debates: does a model give up a stance, and to sound arguments or to fallacies?

Source of the protocol: LOGICOM (arXiv 2308.09853). A persuader argues for a claim against a debater
who disagrees, for at most 12 rounds, three times over; a helper may rewrite the persuader's
arguments, soundly or as fallacies; the debater is persuaded if disagreement becomes agreement.
LOGICOM tested GPT-3.5 and GPT-4 of 2023 and nothing else: it does not compare reasoning-tuned
models with their bases, and nothing about those can be cited from it. To compare them is what this
is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from interp.behavior.reasoning.arguments import Speaker, asked
from interp.behavior.reasoning.stances import Dialogue, Reader, Reading
from interp.errors import InputError

ARMS = ("no_helper", "logical", "fallacious")
"""The persuader alone; its arguments made sound; its arguments made fallacies."""

Ended = Literal["agreed", "rounds", "no_argument", "no_room", "not_at_risk"]
"""Persuaded; all rounds heard; the persuader had no argument left; the next turn would not fit into
a context; or the opening was no disagreement."""


@dataclass(frozen=True, eq=False)
class Debates:
    """What came of it.

    Attributes:
        outcomes: one row a claim, repeat and arm: claim_id, arm, repeat, opening (the stance
            before any argument: agree, disagree, none), at_risk (it was disagree), flipped, round
            (of the flip; missing without one), heard (rounds of arguments), ended (`Ended`).
        transcripts: one row a turn: claim_id, arm ("" for the opening, which the arms share),
            repeat, round (0: the opening), speaker, text, and of the debater stance ("" of the
            persuader) and score (log odds of agreeing, nats; NaN where words were read).
    """

    outcomes: pd.DataFrame
    transcripts: pd.DataFrame


def debates(
    claims: Mapping[str, str],
    debater: Speaker,
    persuaders: Mapping[str, Speaker],
    read: Reader,
    *,
    rounds: int = 12,
    repeats: int = 3,
) -> Debates:
    """The dialogues of every claim with every persuader, one turn at a time for all together.

    The debater states its stance on a claim once for each repeat, before it is known which arm
    follows, so that arms differ in what is argued and in nothing else. Only a debater who disagrees
    can be persuaded: one who agrees already, or takes no stance, is excluded and counted. A
    dialogue ends with agreement; a reply of no stance in its midst is no agreement.

    Args:
        claims: id -> text.
        debater: a model (`interp.behavior.reasoning.speakers.model_speaker`) or a function.
        persuaders: arm -> the persuader in it, a model, `helped` or not, or `scripted` arguments
            (`interp.behavior.reasoning.arguments`); `ARMS` are the published three.
        read: `read_by_rule`, or `log_odds_reader`.
        rounds: most arguments in a dialogue.
        repeats: of each claim; a debater that samples differs between them.

    Raises:
        InputError: no claims, an empty one, no persuaders, `rounds` or `repeats` below 1, a speaker
            or reader that does not give one answer a dialogue, or as they raise.
    """
    _check(claims, persuaders, rounds, repeats)
    openings = [
        Dialogue(claim_id, claim, "", repeat)
        for claim_id, claim in claims.items()
        for repeat in range(repeats)
    ]
    record = _Record()
    stated = _reply(openings, debater, read, record)
    running = [
        _Run(replace(opening, arm=arm), stance) for arm in persuaders for opening, stance in stated
    ]
    for _ in range(rounds):
        for arm, persuader in persuaders.items():
            mine = [run for run in running if run.ended is None and run.dialogue.arm == arm]
            arguments = asked(f"persuader {arm}", persuader, [run.dialogue for run in mine])
            for run, argument in zip(mine, arguments, strict=True):
                run.hear(argument, record)
        live = [run for run in running if run.ended is None]
        if not live:
            break
        replied = _reply([run.dialogue for run in live], debater, read, record)
        for run, (dialogue, reading) in zip(live, replied, strict=True):
            run.answer(dialogue, reading)
    return Debates(
        pd.DataFrame([run.row() for run in running]), pd.DataFrame(record.rows, columns=TRANSCRIPT)
    )


TRANSCRIPT = ["claim_id", "arm", "repeat", "round", "speaker", "text", "stance", "score"]


class _Record:
    """The turns as they were said."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, dialogue: Dialogue, reading: Reading | None = None) -> None:
        """Keeps the dialogue's last turn."""
        turn = dialogue.turns[-1]
        self.rows.append(
            {
                "claim_id": dialogue.claim_id,
                "arm": dialogue.arm,
                "repeat": dialogue.repeat,
                "round": dialogue.heard,
                "speaker": turn.speaker,
                "text": turn.text,
                "stance": reading.stance if reading else "",
                "score": reading.score if reading else float("nan"),
            }
        )


class _Run:
    """One dialogue of one arm while it goes on."""

    def __init__(self, dialogue: Dialogue, opening: Reading | None) -> None:
        self.dialogue, self.opening = dialogue, opening
        self.at_risk = opening is not None and opening.stance == "disagree"
        self.ended: Ended | None = None if self.at_risk else "not_at_risk"
        if opening is None:
            self.ended = "no_room"

    def hear(self, argument: str | None, record: _Record) -> None:
        if argument is None:
            self.ended = "no_argument"
            return
        self.dialogue = self.dialogue.then("persuader", argument)
        record.add(self.dialogue)

    def answer(self, dialogue: Dialogue, reading: Reading | None) -> None:
        self.dialogue = dialogue
        if reading is None:
            self.ended = "no_room"
        elif reading.stance == "agree":
            self.ended = "agreed"

    def row(self) -> dict[str, Any]:
        flipped = self.ended == "agreed"
        return {
            "claim_id": self.dialogue.claim_id,
            "arm": self.dialogue.arm,
            "repeat": self.dialogue.repeat,
            "opening": self.opening.stance if self.opening else "none",
            "at_risk": self.at_risk,
            "flipped": flipped,
            "round": self.dialogue.heard if flipped else None,
            "heard": self.dialogue.heard,
            "ended": self.ended or "rounds",
        }


def _reply(
    dialogues: Sequence[Dialogue], debater: Speaker, read: Reader, record: _Record
) -> list[tuple[Dialogue, Reading | None]]:
    """Each dialogue with the debater's next turn and stance; as it was, and None, without one."""
    said = asked("debater", debater, dialogues)
    longer = [
        dialogue.then("debater", text)
        for dialogue, text in zip(dialogues, said, strict=True)
        if text is not None
    ]
    readings = iter(asked("reader", read, longer))
    grown = iter(longer)
    replied: list[tuple[Dialogue, Reading | None]] = []
    for dialogue, text in zip(dialogues, said, strict=True):
        if text is None:
            replied.append((dialogue, None))
            continue
        spoken, reading = next(grown), next(readings)
        record.add(spoken, reading)
        replied.append((spoken, reading))
    return replied


def _check(
    claims: Mapping[str, str], persuaders: Mapping[str, Speaker], rounds: int, repeats: int
) -> None:
    if not claims or not persuaders:
        raise InputError(
            f"debates: {len(claims)} claims and {len(persuaders)} persuaders; expected at least "
            "one of each"
        )
    for claim_id, claim in claims.items():
        if not claim.strip():
            raise InputError(f"debates: the claim {claim_id} is empty")
    if rounds < 1 or repeats < 1:
        raise InputError(f"debates: rounds={rounds}, repeats={repeats}; expected at least 1 each")
