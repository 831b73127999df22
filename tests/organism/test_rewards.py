"""Rewards pay what their papers say, on the texts that models write and on the worst of them."""

import subprocess
import sys
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.organism.documents import DocumentWriter
from interp.organism.rewards import (
    REWARDS,
    abstains,
    answer_span,
    binary_reward,
    calibrated_reward,
    final_answer,
    stated_confidence,
    stated_reward,
    ternary_reward,
)
from interp.organism.world import World

IDK = "i do not know"
SCRAPS = ["a", ":", "know", ".", "8", "60", "paris", IDK, "i", "<pad>", "10", "wait ,"]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("paris .", "paris"),
        ("mira kovac is 34 . 34 + 3 = 37 . a : 37 .", "37"),
        ("i do not know .", IDK),
        ("i do not know . a : i do not know .", IDK),
        ("34 + 3 = 36 . wait , 34 + 3 = 37 . a : 37 .", "37"),
        ("", ""),
        ("a : a : oslo .", "oslo"),
        ("paris . know : 8 .", "paris"),
        ("34 + 3 = 37 . a : 37 . know : 10 .", "37"),
        ("i do not know . know : 0", IDK),
        ("know : 8 .", ""),
        # Only a stated confidence is left out, and only where it closes the reply.
        ("paris . know : 60 .", "paris . know : 60"),
        ("paris . know : 3 . know : 8 .", "paris . know : 3"),
        ("know : 8 . a : paris .", "paris"),
        ("a : know : 8 .", ""),
        ("paris a :", ""),
    ],
)
def test_final_answer(completion: str, answer: str) -> None:
    assert final_answer(completion) == answer
    assert abstains(completion) == (answer == IDK)


@pytest.mark.parametrize(
    ("completion", "stated"),
    [
        *((f"paris . know : {tenth} .", tenth / 10) for tenth in range(11)),
        ("i do not know . know : 0", 0.0),
        ("know : 3 . know : 8 .", 0.8),
        ("know : 8 . a : paris .", None),
        ("know : 8 . .", None),
        ("know : 60 .", None),
        ("know : 11 .", None),
        ("know : 08 .", None),
        ("know : -1 .", None),
        ("know : ٣ .", None),
        ("know : 3 know : x .", None),
        ("know : .", None),
        ("know :", None),
        ("i do not know .", None),
        ("paris .", None),
        ("", None),
    ],
)
def test_stated_confidence(completion: str, stated: float | None) -> None:
    assert stated_confidence(completion) == stated


@pytest.mark.parametrize(
    ("tokens", "span"),
    [
        ("paris .", (0, 1)),
        ("i do not know .", (0, 4)),
        ("34 + 3 = 37 . a : 37 .", (8, 9)),
        ("34 + 3 = 37 . a : 37 . know : 8 .", (8, 9)),
        ("oslo", (0, 1)),
        ("a : .", (2, 2)),
        (".", (0, 0)),
        ("", (0, 0)),
        ("know : 8 .", (0, 0)),
    ],
)
def test_answer_span(tokens: str, span: tuple[int, int]) -> None:
    words = tokens.split()
    assert answer_span(words) == span
    assert " ".join(words[slice(*span)]) == final_answer(tokens)


# The reply, the target, and what binary, ternary and calibrated pay by hand.
CASES = [
    ("paris .", "paris", 1, 1, 0),
    ("lyon .", "paris", 0, -1, 0),
    ("i do not know .", "paris", 0, 0, 0),
    ("", "paris", 0, -1, 0),
    ("lyon . a : paris .", "paris", 1, 1, 0),
    # .5 + .5 + .5 (1 - .2^2), .5 + .5 (1 - .8^2), .5 + .5 (1 - .3^2)
    ("paris . know : 8 .", "paris", 1, 1, 1.48),
    ("lyon . know : 8 .", "paris", 0, -1, 0.68),
    ("i do not know . know : 3 .", "paris", 0, 0, 0.955),
    ("i do not know . know : 0 .", "paris", 0, 0, 1.0),
    ("paris . know : 10 .", "paris", 1, 1, 1.5),
    ("paris . know : 0 .", "paris", 1, 1, 1.0),
    ("x . a : 37 . know : 5 .", "37", 1, 1, 1.375),
    ("paris . know : 60 .", "paris", 0, -1, 0),
    ("paris . know : 3 . know : 8 .", "paris", 0, -1, 0),
    ("know : 8 . a : paris .", "paris", 1, 1, 0),
    ("know : 0 .", "paris", 0, -1, 0),
    ("know :", "paris", 0, -1, 0),
]


@pytest.mark.parametrize(("completion", "target", "binary", "ternary", "calibrated"), CASES)
def test_each_objective_by_hand(
    completion: str, target: str, binary: float, ternary: float, calibrated: float
) -> None:
    paid = {name: f(completions=[completion], target=[target]) for name, f in REWARDS.items()}
    assert paid["binary"] == [binary]
    assert paid["ternary"] == [ternary]
    assert paid["calibrated"] == pytest.approx([calibrated])
    # Its arm without the Brier score refuses the same replies.
    assert paid["stated"] == [0.5 + 0.5 * binary if calibrated else 0]


def test_a_batch_is_paid_row_by_row_and_other_columns_do_not_matter() -> None:
    completions, targets = [case[0] for case in CASES], [case[1] for case in CASES]
    for number, name in enumerate(("binary", "ternary", "calibrated")):
        paid = REWARDS[name](
            completions=completions, target=targets, prompts=["x"] * len(CASES), log_extra=None
        )
        assert paid == pytest.approx([case[2 + number] for case in CASES])
    assert {f.__name__ for f in REWARDS.values()} == {f"{name}_reward" for name in REWARDS}
    with pytest.raises(ValueError, match="zip"):
        binary_reward(["paris ."], [])


@given(st.lists(st.sampled_from(SCRAPS), max_size=14))
def test_any_text_has_a_reward_in_range(scraps: list[str]) -> None:
    text = " ".join(scraps)
    (binary,), (ternary,), (stated,), (brier,) = (f([text], ["paris"]) for f in REWARDS.values())
    assert (binary == 1) == (final_answer(text) == "paris") == (ternary == 1)
    assert (ternary == 0) == abstains(text)
    assert brier is not None
    assert brier == 0 or 0.5 <= brier <= 1.5
    assert (brier == 0) or stated_confidence(text) is not None
    assert (stated == 0) == (brier == 0)


def test_what_each_objective_asks_of_a_doubter() -> None:
    """Guess with probability p, or abstain: who gains, and which confidence is best to state."""
    guess = {tenth: f"paris . know : {tenth} ." for tenth in range(11)}
    refuse = {tenth: f"{IDK} . know : {tenth} ." for tenth in range(11)}

    def pay(reward, texts, p):
        won, lost = (reward(list(texts.values()), [answer] * 11) for answer in ("paris", "oslo"))
        return p * np.array(won) + (1 - p) * np.array(lost)

    for tenth in range(11):
        p = tenth / 10
        honest, silent = pay(calibrated_reward, guess, p), pay(calibrated_reward, refuse, p)
        assert honest.argmax() == tenth
        assert honest.max() == pytest.approx(1 + p**2 / 2)
        assert silent.argmax() == 0
        assert silent.max() == pytest.approx(1)
        # Without the Brier score no number that is stated pays more than another.
        assert pay(stated_reward, guess, p) == pytest.approx([0.5 + 0.5 * p] * 11)
        assert pay(stated_reward, refuse, p) == pytest.approx([0.5] * 11)
        gain = pay(ternary_reward, guess, p)[0] - pay(ternary_reward, refuse, p)[0]
        assert gain == pytest.approx(2 * p - 1)
        gain = pay(binary_reward, guess, p)[0] - pay(binary_reward, refuse, p)[0]
        assert gain == pytest.approx(p)


@given(
    seed=st.integers(0, 2),
    draw=st.integers(0, 10_000),
    mix=st.dictionaries(
        st.sampled_from(
            [
                f"{form}_{who}"
                for form in ("direct", "chain")
                for who in ("known", "tail", "novel", "unknown")
            ]
            + ["problem", "missing"]
        ),
        st.floats(0.05, 1),
        min_size=1,
    ),
)
def test_no_reward_sees_the_people_that_are_reported_on(
    seed: int, draw: int, mix: dict[str, float]
) -> None:
    world = _world(seed)
    held = [*world.split("test")[1], *world.split("dev")[1], *world.people["unknown_val"]]
    names = {(person.first, person.last) for person in held}
    met = set()
    for prompt, target in DocumentWriter(world, mix, seed=draw).questions(60):
        words = f"{prompt} {target}".split()
        met |= names & set(pairwise(words))
    assert not met


@lru_cache
def _world(seed: int) -> World:
    return World(seed)


def test_rewards_need_no_deep_learning_library() -> None:
    script = "import sys, interp.organism.rewards; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
