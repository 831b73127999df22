"""Dialogues about a claim, and which stance a debater takes in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Stance = Literal["agree", "disagree", "none"]


@dataclass(frozen=True)
class Turn:
    """What was said: by the persuader, by the debater, or a draft that nobody heard yet."""

    speaker: Literal["persuader", "debater", "draft"]
    text: str


@dataclass(frozen=True)
class Dialogue:
    """A debate so far.

    Attributes:
        claim_id: of the claim.
        claim: its text.
        arm: who argues; "" while nobody has.
        repeat: number of the debate among those of its claim.
        turns: from the first, the debater's opening.
    """

    claim_id: str
    claim: str
    arm: str
    repeat: int
    turns: tuple[Turn, ...] = ()

    @property
    def heard(self) -> int:
        """Arguments that the debater has heard."""
        return sum(turn.speaker == "persuader" for turn in self.turns)

    @property
    def prompt_id(self) -> str:
        """Names the next turn: a reply's draws depend on it, and so on claim, arm and repeat."""
        return f"{self.claim_id} / {self.arm or 'opening'} / {self.repeat} / {len(self.turns)}"

    def then(self, speaker: Literal["persuader", "debater", "draft"], text: str) -> Dialogue:
        """The dialogue with one turn more.

        Args:
            speaker: whose turn it is.
            text: what is said.
        """
        return replace(self, turns=(*self.turns, Turn(speaker, text)))


@dataclass(frozen=True)
class Reading:
    """A debater's stance.

    Attributes:
        stance: "none" where it takes neither side, or both.
        score: log odds of agreeing against disagreeing, nats; NaN if read from the words.
    """

    stance: Stance
    score: float = float("nan")


Reader = Callable[[Sequence[Dialogue]], Sequence[Reading]]
"""The stance in each dialogue's last turn, the debater's."""

# Not a side taken on the claim: agreeing to disagree, and no longer doing what one did.
_ASIDE = re.compile(r"\bagree(?:ing)? to disagree\b|\b(?:no longer|neither|nor) (?:dis)?agree\w*\b")
_NOT = r"(?:not|n't|never|cannot|hardly)"
_DISAGREES = re.compile(
    rf"\bdisagree[ds]?\b|\bdisagreeing\b|\bdisagreement\b|{_NOT}(?:\s+\w+){{0,2}}?\s+agree\w*\b"
)
_AGREES = re.compile(r"\bagree[ds]?\b|\bagreeing\b|\bagreement\b")
# "I don't disagree" is no agreement either.
_NOT_DISAGREES = re.compile(rf"{_NOT}(?:\s+\w+){{0,2}}?\s+disagree\w*\b")


def stated_stance(text: str) -> Stance:
    """The side that a text takes by saying that it agrees or disagrees, in English.

    Negations count: "cannot fully agree" disagrees. A text that says both ("I agree that it is
    costly, but I disagree") or neither takes none: which of the two is about the claim is not for a
    rule to guess. "I don't disagree" and "I no longer disagree" say neither.

    Args:
        text: a reply, without its chain of thought.
    """
    said = " ".join(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    said = _NOT_DISAGREES.sub(" ", _ASIDE.sub(" ", said))
    disagrees = bool(_DISAGREES.search(said))
    agrees = bool(_AGREES.search(_DISAGREES.sub(" ", said)))
    if agrees == disagrees:
        return "none"
    return "agree" if agrees else "disagree"


def read_by_rule(dialogues: Sequence[Dialogue]) -> list[Reading]:
    """`stated_stance` of each dialogue's last turn."""
    return [Reading(stated_stance(dialogue.turns[-1].text)) for dialogue in dialogues]
