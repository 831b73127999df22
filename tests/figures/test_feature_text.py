"""Nothing in a token is invisible, and numbers are short."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.figures.feature_text import digits, entry, percent, pieces, plain, sort_key
from interp.figures.histogram import HEIGHT, LEFT, RIGHT, TOP, WIDTH, histogram


def kinds(token: str) -> list[tuple[str, str]]:
    return [(piece.kind, piece.text) for piece in pieces(token)]


def test_spaces_line_breaks_and_tabs_are_marked() -> None:
    assert kinds(" the\n\tend") == [
        ("space", " "),
        ("text", "the"),
        ("mark", "↵"),
        ("mark", "⇥"),
        ("text", "end"),
    ]
    assert kinds("") == [("mark", "∅")]
    assert kinds("été ≤ 漢字 🙂") == [
        ("text", "été"),
        ("space", " "),
        ("text", "≤"),
        ("space", " "),
        ("text", "漢字"),
        ("space", " "),
        ("text", "🙂"),
    ]


@pytest.mark.parametrize("letter", ["\u202e", "\u200b", "\x00", "\ud800", "\u2028", "\ufeff"])
def test_what_has_no_shape_is_named(letter: str) -> None:
    name = f"\\u{ord(letter):04x}"
    assert kinds(f"a{letter}b") == [("text", "a"), ("mark", name), ("text", "b")]
    assert plain(f"a{letter}b") == f"a{name}b"


@given(st.text(st.characters()))
def test_every_token_has_pieces_that_can_be_written(token: str) -> None:
    shown = pieces(token)
    assert shown
    text = "".join(piece.text for piece in shown if piece.kind != "space")
    assert text.isprintable()
    text.encode("utf-8")
    assert sum(piece.kind == "space" for piece in shown) == token.count(" ")


NUMBERS = {
    0.0: "0",
    0.5: "0.500",
    -1.2345: "−1.23",
    16.24: "16.2",
    123.4: "123",
    999.6: "1000",
    12345.6: "12346",
    2.5e7: "2.50e7",
    -1.2e-8: "−1.20e−8",
    float("inf"): "∞",
    float("-inf"): "−∞",
    float("nan"): "–",
}


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_have_three_digits(value: float) -> None:
    assert digits(value) == NUMBERS[value]


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(0, "0%"), (1, "100%"), (0.9999, ">99.9%"), (0.453, "45.3%"), (0.00012, "0.0120%")],
)
def test_only_all_are_a_hundred_per_cent(rate: float, shown: str) -> None:
    assert percent(rate) == shown


@pytest.mark.parametrize(
    ("value", "shown", "key"),
    [
        (np.int64(-12345), "−12345", "-12345"),
        (np.float32(0.25), "0.250", "0.25"),
        (np.bool_(True), "yes", "1"),
        (False, "no", "0"),
        (None, "–", ""),
        (pd.NA, "–", ""),
        (float("nan"), "–", ""),
        (float("-inf"), "−∞", "-Infinity"),
        ("a\nb", "a↵b", "a↵b"),
        ("", "", ""),
    ],
)
def test_entries_of_tables(value: object, shown: str, key: str) -> None:
    assert (entry(value), sort_key(value)) == (shown, key)


def test_bars_stand_over_their_bins() -> None:
    drawn = histogram([0, 2, 4, 6, 8], [99, 0, 1, 9], 16, 999)
    x, y = ([getattr(bar, name) for bar in drawn.bars] for name in ("x", "y"))
    unit = (WIDTH - LEFT - RIGHT) / 16
    np.testing.assert_allclose(x, [LEFT, LEFT + 4 * unit, LEFT + 6 * unit], atol=0.01)
    np.testing.assert_allclose([bar.width for bar in drawn.bars], 2 * unit, atol=0.02)
    floor, ceiling = dict(map(reversed, drawn.y_ticks))["0"], TOP
    shares = [np.log10(1 + count) / 3 for count in (99, 1, 9)]
    np.testing.assert_allclose(y, [floor - s * (floor - ceiling) for s in shares], atol=0.01)
    np.testing.assert_allclose([b.y + b.height for b in drawn.bars], floor, atol=0.02)
    assert [bar.title for bar in drawn.bars][1] == "4.00 to 6.00: 1 token"
    assert [label for _, label in drawn.y_ticks] == ["0", "1", "10", "100", "999"]
    assert [label for _, label in drawn.x_ticks] == ["0", "4", "8", "12", "16"]
    assert all(0 < place < HEIGHT for place, _ in drawn.y_ticks)


def test_the_tallest_bar_is_labelled_where_there_is_room() -> None:
    for tallest, last in (
        (1, "1"),
        (2, "2"),
        (11, "10"),
        (90, "90"),
        (1001, "1k"),
        (4321, "4.32k"),
    ):
        drawn = histogram([0, 1], [tallest], 1, tallest)
        assert drawn.y_ticks[-1][1] == last


def test_long_tails_have_few_ticks() -> None:
    drawn = histogram([0, 1], [3 * 10**9], 1, 3 * 10**9)
    assert [label for _, label in drawn.y_ticks] == [
        "0",
        "1",
        "100",
        "10k",
        "1M",
        "100M",
        "3G",
    ]
