from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.reasoning.rewording import NUMBER_WORDS, mistaken_step, reworded

RNG = np.random.default_rng(0)


@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 99))
def test_a_number_is_moved_by_1_to_9_of_its_last_place_and_nothing_else_is(value, decimals, seed):
    number = f"{value / 10**decimals:.{decimals}f}"
    step = f"So the total of all is {number} apples."
    got = mistaken_step(step, np.random.default_rng(seed))
    assert got is not None
    found = re.fullmatch(r"So the total of all is (\d+(?:\.\d+)?) apples\.", got)
    assert found
    assert len(found[1].partition(".")[2]) == decimals
    moved = round(abs(float(found[1]) - float(number)) * 10**decimals)
    assert 1 <= moved <= 9


@pytest.mark.parametrize(
    ("step", "mistaken"),
    [
        ("The answer is no.", "The answer is not no."),
        ("It is not prime.", "It is prime."),
        ("They aren't equal.", "They are equal."),
        ("This cannot be so.", "This can be so."),
        ("We can't say it is.", "We can say it is."),
        ("x1 is a root of layer_2", "x1 is not a root of layer_2"),
        ("2. That is right.", "2. That is not right."),
        ("Step 2: that is right.", "Step 2: that is not right."),
        ("The half, 1/2, is enough.", "The half, 1/2, is not enough."),
        ("Hmm.", None),
        ("Let me think about that.", None),
    ],
)
def test_a_step_without_a_number_is_negated_or_left(step, mistaken):
    assert mistaken_step(step, RNG) == mistaken


def test_thousands_latex_and_several_numbers():
    assert re.fullmatch(r"1,00\d|99\d", mistaken_step("1,000", RNG) or "")
    got = mistaken_step(r"Hence $\frac{3}{4}$.", RNG)
    assert got != r"Hence $\frac{3}{4}$."
    assert re.fullmatch(r"Hence \$\\frac\{\d+\}\{\d+\}\$\.", got or "")
    step = "7 plus 11 is 18."
    changed = [mistaken_step(step, np.random.default_rng(seed)) for seed in range(40)]
    numbers = [re.findall(r"\d+", text or "") for text in changed]
    moved = {tuple(a != b for a, b in zip(n, ["7", "11", "18"], strict=True)) for n in numbers}
    assert moved == {(True, False, False), (False, True, False), (False, False, True)}


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("I do not know.", "I don't know."),
        ("I don't know.", "I do not know."),
        ("Therefore we have 2 apples.", "Hence we have two apples."),
        ("It has twelve legs", "It has 12 legs"),
        ("We cannot Calculate it", "We can't Compute it"),
        ("I am sure", "I'm sure"),
        ("Let's begin with that.", "Let us start with that."),
        ("There is one way, 1 way", "There is one way, 1 way"),
        ("2 + 3 = 5 so", "2 + 3 = 5 so"),
        ("step 2 is", "step 2 is"),
        ("That is 2.5 times 12.", "That is 2.5 times 12."),
        ("Since but that", "Since but that"),
        ("`do not` and $2 x$ do not", "`do not` and $2 x$ don't"),
        ("```\ntherefore\n``` therefore", "```\ntherefore\n``` hence"),
    ],
)
def test_other_words_say_the_same(text, other):
    assert reworded(text) == other


COUNTS = st.sampled_from([*NUMBER_WORDS, "7", "maybe", "don't", "hence", "cannot"])


@given(st.lists(st.tuples(COUNTS, st.sampled_from(["apples", "are", ". Or"]))))
def test_what_is_reworded_twice_is_as_it_was(words):
    text = " ".join(word for both in words for word in both)
    assert reworded(reworded(text)) == text


@given(st.text())
def test_any_text_can_be_read(text):
    assert isinstance(reworded(text), str)
    got = mistaken_step(text, RNG)
    assert got is None or got != text
