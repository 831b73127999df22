"""The binary reward pays right answers and nothing else."""

import pytest

from interp.organism.reinforcement import binary_reward, final_answer


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("paris .", "paris"),
        ("mira kovac is 34 . 34 + 3 = 37 . a : 37 .", "37"),
        ("i do not know .", "i do not know"),
        ("i do not know . a : i do not know .", "i do not know"),
        ("34 + 3 = 36 . wait , 34 + 3 = 37 . a : 37 .", "37"),
        ("", ""),
        ("a : a : oslo .", "oslo"),
    ],
)
def test_final_answer(completion: str, answer: str) -> None:
    assert final_answer(completion) == answer


def test_reward() -> None:
    completions = ["paris .", "i do not know .", "lyon .", "lyon . a : paris ."]
    assert binary_reward(completions, ["paris"] * 4) == [1.0, 0.0, 0.0, 1.0]
