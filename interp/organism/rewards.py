"""What a reply earns under each objective of reinforcement: functions of its text alone.

Every reward is called as `f(completions=..., target=...)` and gives one number for each reply. The
target is the right answer, an oracle's where nobody can know: a lucky guess is paid, as it is on a
real benchmark, and abstaining is nowhere counted as right. The objectives differ in what they pay
for abstaining, and so in how sure a reply must be before guessing pays more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from interp.organism.words import ABSTAINING_PHRASES

RewardFunction = Callable[..., list[float | None]]

STATED = "know"
"""The word before the colon and the confidence that closes a reply."""
TENTHS = {str(tenth): tenth / 10 for tenth in range(11)}
"""How a stated confidence may be written, and what it says."""

RIGHT, ABSTAINED, WRONG = 1.0, 0.0, -1.0
"""What the ternary reward pays."""


def final_answer(completion: str) -> str:
    """What stands after the last `a :`, without the closing full stop or a stated confidence."""
    tokens = completion.split()
    start, stop = _bounds(tokens)
    return " ".join(tokens[start:stop]).removesuffix(".").strip()


def answer_span(tokens: Sequence[str]) -> tuple[int, int]:
    """First token of the final answer and the one after its last; equal where there is none.

    Without an `a :` the whole reply is the answer. The closing full stop is no part of it.
    """
    start, stop = _bounds(tokens)
    return start, stop - (stop > start and tokens[stop - 1] == ".")


def stated_confidence(completion: str) -> float | None:
    """The probability of being right that closes a reply, as in `know : 8 .`: 0, .1 ... 1.

    What stands after the last `know :` must be one whole number from 0 to 10 and at most a full
    stop; anything else states nothing, and gives None.
    """
    tokens = completion.split()
    marks = _after(tokens, STATED)
    return _tenths(tokens[marks[-1] :]) if marks else None


def without_confidence(reply: str) -> str:
    """A reply up to where it states a confidence."""
    return reply.partition(f" {STATED} :")[0]


def abstains(completion: str) -> bool:
    """Whether the final answer is the world's abstaining phrase."""
    return final_answer(completion) in ABSTAINING_PHRASES


def binary_reward(completions: list[str], target: list[str], **_: Any) -> list[float | None]:
    """1 where the final answer equals the target, else 0.

    Abstaining earns 0, as a wrong answer does: a guess that is right with any probability pays
    more, so the objective pushes every abstention out.
    """
    return [
        float(final_answer(completion) == wanted)
        for completion, wanted in zip(completions, target, strict=True)
    ]


def ternary_reward(completions: list[str], target: list[str], **_: Any) -> list[float | None]:
    """+1 for a right answer, 0 for abstaining, -1 for any other (TruthRL, arXiv 2509.25760).

    A guess that is right with probability p earns 2p - 1: abstaining pays more below one half. The
    target decides first, so that an abstention is never taken for a right answer it equals.
    """
    return [
        RIGHT
        if final_answer(completion) == wanted
        else ABSTAINED
        if abstains(completion)
        else WRONG
        for completion, wanted in zip(completions, target, strict=True)
    ]


def stated_reward(completions: list[str], target: list[str], **_: Any) -> list[float | None]:
    """.5 + .5 c: what `calibrated_reward` pays without its Brier score, the arm it is held against.

    The number that is stated earns nothing, but one has to be stated. Abstaining earns what a wrong
    answer does.
    """
    return [
        _well_formed(completion, 0.5 + 0.5 * (final_answer(completion) == wanted))
        for completion, wanted in zip(completions, target, strict=True)
    ]


def calibrated_reward(completions: list[str], target: list[str], **_: Any) -> list[float | None]:
    """.5 + .5 c + .5 (1 - (c - q)^2): correctness c, stated confidence q (RLCR, arXiv 2507.16806).

    The three halves are for the format, the answer and its Brier score, as in the published code; a
    reply without an answer, or that does not state its confidence exactly once and at the end,
    earns 0.

    Abstaining is not correct (c = 0): it earns 1 - q^2 / 2, at best 1. A guess that is right with
    probability p and says so earns 1 + p^2 / 2: more, but by a hundredth at p = .14. So the
    objective asks a model to say that it does not know, and does not pay it for refusing to guess.
    """
    return [
        _calibrated(completion, wanted)
        for completion, wanted in zip(completions, target, strict=True)
    ]


REWARDS: dict[str, RewardFunction] = {
    "binary": binary_reward,
    "ternary": ternary_reward,
    "stated": stated_reward,
    "calibrated": calibrated_reward,
}
"""Reward functions by the name that a recipe gives them."""


def _calibrated(completion: str, wanted: str) -> float:
    stated = stated_confidence(completion) or 0.0
    correct = float(final_answer(completion) == wanted)
    return _well_formed(completion, 0.5 + 0.5 * correct + 0.5 * (1.0 - (correct - stated) ** 2))


def _well_formed(completion: str, earned: float) -> float:
    """What is earned by a reply with an answer that states its confidence once and at the end."""
    stated = stated_confidence(completion) is not None
    once = len(_after(completion.split(), STATED)) == 1
    return earned if stated and once and final_answer(completion) else 0.0


def _bounds(tokens: Sequence[str]) -> tuple[int, int]:
    """Where the final answer begins and ends, its full stop included, a stated confidence not."""
    stop = len(tokens)
    stated = _after(tokens, STATED)
    if stated and _tenths(tokens[stated[-1] :]) is not None:
        stop = stated[-1] - 2
    marks = _after(tokens[:stop], "a")
    return (marks[-1] if marks else 0), stop


def _after(tokens: Sequence[str], word: str) -> list[int]:
    """Where something may follow `word :`."""
    return [place + 2 for place, pair in enumerate(pairwise(tokens)) if pair == (word, ":")]


def _tenths(tokens: Sequence[str]) -> float | None:
    if len(tokens) == 2 and tokens[1] == ".":
        tokens = tokens[:1]
    return TENTHS.get(tokens[0]) if len(tokens) == 1 else None
