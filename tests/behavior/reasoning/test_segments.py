from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.calibration.token_text import token_text
from interp.behavior.reasoning.segments import Segment, segments, token_spans
from interp.errors import InputError
from tests.behavior.spaced import spaced_tokenizer

CUT = [
    ["Let x = 1.5.", "Then \\boxed{1.5} holds.", "So what?", "Nothing!"],
    ["See Fig. 3 and Eq. (2), i.e. the pear.", "Dr. Ola counts approx. 4 nuts, etc. and stops."],
    ["The answer is No.", "No. 5 is taken.", "Ask John F. Kennedy.", "Choose B.", "Then stop."],
    ["In the U.S. they do.", "At 5 p.m. we eat."],
    ["Well... maybe.", "1, 2, ... , 9 are left...", "Wait.", "Hmm… so be it."],
    ["There are 5! ways, and (n - 1)! * 2! = 48.", "So 3!", "Stop!"],
    ["We get $x = 2. y$ and \\(a. B\\) at $5.", "Then $6 more."],
    ["So $x = 5.$", "Then `a. B` runs.", "$y.$ is no end."],
    ["Use \\frac{1. A}{\\sqrt{2. B}} here.", "Next."],
    ['He said "stop."', "(I ran.)", "**Bold.**", "Then on?!", "Yes"],
    ["a is 5 .", "b is 6 .", "no stop"],
]
LINES = [
    (
        "1. Ola has 3. \n2. Bo has 4.\n- both\n* none",
        ["1. Ola has 3.", "2. Bo has 4.", "- both", "* none"],
    ),
    ("Step 1. Add them.\n\nStep 2: stop", ["Step 1. Add them.", "Step 2: stop"]),
    ("We have:\n\\[\nx = 1. Y\n\\]\nThus x", ["We have:", "\\[\nx = 1. Y\n\\]", "Thus x"]),
    ("a = 1\nb = 2\r\nc = 3", ["a = 1", "b = 2", "c = 3"]),
    ("this line only\nwraps on. Here\nNot", ["this line only\nwraps on.", "Here", "Not"]),
    ("So\n```py\nx = 1. \n\n# Y. Z\n```\nDone.", ["So", "```py\nx = 1. \n\n# Y. Z\n```", "Done."]),
    ("Cut ```py\nx = 1. Y\n\nz", ["Cut ```py\nx = 1. Y\n\nz"]),
    ("\\begin{align*}\na. B\n\\end{align*}\nC", ["\\begin{align*}\na. B\n\\end{align*}", "C"]),
    ("今天。你好！走", ["今天。", "你好！", "走"]),  # noqa: RUF001
    ("क्या? ठीक। चलो", ["क्या?", "ठीक।", "चलो"]),
    ("x = 5.\nThen", ["x = 5.", "Then"]),
    ("no end here", ["no end here"]),
    ("🙂 fine. 🙃", ["🙂 fine.", "🙃"]),
]
BROKEN = [
    ("Open \\[ x = 1. Y\n\nZ \\] w.", ["Open \\[ x = 1.", "Y", "Z \\] w."]),
    ("Open \\boxed{1. Y\n\nZ} w.", ["Open \\boxed{1.", "Y", "Z} w."]),
    ("Cost $5. Then\n\nY$ w.", ["Cost $5.", "Then", "Y$ w."]),
    ("A ` b. C", ["A ` b.", "C"]),
]


@pytest.mark.parametrize("wanted", CUT, ids=lambda wanted: wanted[0])
def test_sentences_are_cut_where_they_end_and_nowhere_else(wanted) -> None:
    assert [one.text for one in segments(" ".join(wanted))] == wanted
    assert [one.text for one in segments("\n\n".join(wanted))] == wanted


@pytest.mark.parametrize(("chain", "wanted"), LINES + BROKEN, ids=lambda value: str(value)[:20])
def test_lines_code_formulas_and_what_is_never_closed(chain, wanted) -> None:
    assert [one.text for one in segments(chain)] == wanted


@pytest.mark.parametrize("chain", ["", " ", "\n\n \t\n"])
def test_an_empty_chain_has_no_segments(chain) -> None:
    assert segments(chain) == ()


PIECES = st.sampled_from(
    [
        *"aBé.!?:$`{}\\*-\n \t今。🙂5",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "```",
        "...",
        "e.g. ",
        "\r\n",
        "! ",
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@given(TEXTS | st.text(max_size=60))
def test_every_character_is_in_one_segment_or_white_space_between(chain) -> None:
    at = 0
    for one in segments(chain):
        assert not chain[at : one.start].strip()
        assert one.text == chain[one.start : one.stop] == one.text.strip() != ""
        at = one.stop
    assert not chain[at:].strip()


@given(TEXTS.filter(lambda text: "```" not in text), TEXTS)
def test_a_blank_line_parts_whatever_stands_around_it(first, second) -> None:
    joined = segments(f"{first}\n\n{second}")
    behind = len(first) + 2
    moved = [Segment(s.start + behind, s.stop + behind, s.text) for s in segments(second)]
    assert list(joined) == [*segments(first), *moved]


TOKENIZER = spaced_tokenizer()


@given(st.text(max_size=5), TEXTS)
def test_tokens_of_a_segment_are_those_that_hold_its_characters(prompt, chain) -> None:
    text = prompt + chain
    encoded = TOKENIZER(text, return_offsets_mapping=True, add_special_tokens=False)
    ranges, found = encoded["offset_mapping"], segments(chain)
    spans = token_spans(found, ranges, shift=len(prompt))
    for one, (start, stop) in zip(found, spans, strict=True):
        first, behind = one.start + len(prompt), one.stop + len(prompt)
        holds = [a < behind and first < b for a, b in ranges]
        assert [start <= token < stop for token in range(len(ranges))] == holds
        # So the tokens read as the segment, with no more than what they share around it.
        assert text[ranges[start][0] : ranges[stop - 1][1]].count(one.text) >= 1


def test_a_word_takes_the_space_before_it_along_and_special_tokens_are_nobodys() -> None:
    chain = "Paris. Who? I"
    ids = TOKENIZER(f"<turn>{chain}<turn>", add_special_tokens=False)["input_ids"]
    read = token_text(ids, TOKENIZER)
    shift = read.text.index(chain)
    spans = token_spans(segments(chain), read.ranges, shift=shift)
    told = [TOKENIZER.decode(ids[start:stop]).strip() for start, stop in spans]
    assert told == ["Paris.", "Who?", "I"]
    # An offset mapping gives them no characters.
    hidden = [(0, 0), (0, 5), (5, 6), (0, 0), (6, 10), (10, 11), (11, 13), (0, 0)]
    assert token_spans(segments(chain), hidden) == [(1, 3), (4, 6), (6, 7)]


def test_a_token_over_the_end_of_a_sentence_is_of_both() -> None:
    chain = "走。好"
    assert token_spans(segments(chain), [(0, 1), (1, 3)]) == [(0, 2), (1, 2)]
    # And several tokens of one character are all its sentence's.
    assert token_spans(segments(chain), [(0, 1), (1, 2), (2, 3), (2, 3)]) == [(0, 2), (2, 4)]


@pytest.mark.parametrize(
    ("ranges", "shift", "message"),
    [
        ([(0, 3)], 0, r"segment 1 \('Two\.'\) has the characters 5 to 9, and no token has any"),
        ([(0, 4), (4, 9)], 20, r"segment 0 \('One\.'\) has the characters 20 to 24"),
        ([], 0, "segment 0"),
        ([(4, 9), (0, 4)], 0, r"token 1 has the characters \(0, 4\), behind those of the token"),
    ],
)
def test_ranges_of_another_text_are_refused(ranges, shift, message) -> None:
    with pytest.raises(InputError, match=message):
        token_spans(segments("One. Two."), ranges, shift=shift)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", [" ", "\\begin{a} ", "\\[ a. ", "\\frac{a. ", "$a. ", "\n"])
def test_what_is_opened_again_and_again_costs_no_more_than_its_length(piece) -> None:
    """A search to the end of the chain from each of them would take minutes."""
    chain = "Begin. " + piece * (120_000 // len(piece))
    assert segments(chain)[0].text == "Begin."
