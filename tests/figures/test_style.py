"""Members can be told apart, in colour or without, and labels do not overlap."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from interp.checkpoints.lineage import Lineage
from interp.figures.labels import _spread
from interp.figures.style import KNOWN, Look
from tests.figures.printed import COMMITTED

# Full dichromacy in linear RGB: Machado, Oliveira & Fernandes 2009, table of severity 1.0.
VISION = {
    "normal": np.eye(3),
    "deuteranope": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanope": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}
RGB_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)


def linear(color: str) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb_linear: np.ndarray) -> np.ndarray:
    xyz = RGB_TO_XYZ @ np.clip(rgb_linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_members_stay_apart_for_every_kind_of_sight(vision: str) -> None:
    seen = {m: lab(VISION[vision] @ linear(color)) for m, (color, _) in KNOWN.items()}
    for a, b in combinations(seen, 2):
        assert np.linalg.norm(seen[a] - seen[b]) > 20, (a, b)


def test_members_stand_out_from_white_paper() -> None:
    for member, (color, _) in KNOWN.items():
        luminance = linear(color) @ RGB_TO_XYZ[1]
        assert 1.05 / (luminance + 0.05) > 2.7, member


def test_no_two_members_share_a_marker_or_a_style() -> None:
    assert len({marker for _, marker in KNOWN.values()}) == len(KNOWN)
    strangers = pd.DataFrame({"member": [f"m{i}" for i in range(70)]})
    assert len(set(Look.of(strangers).styles.values())) == 70


def test_known_members_come_first_in_lineage_order() -> None:
    look = Look.of(pd.DataFrame({"member": ["mine", "never", "base", "mine"]}))
    assert list(look.styles) == ["base", "never", "mine"]
    assert look.order(["mine", "base"]) == ["base", "mine"]


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=12), st.floats(0.01, 0.3))
def test_spread_labels_keep_order_and_distance(heights: list[float], gap: float) -> None:
    wanted = sorted(heights)
    placed = _spread(wanted, gap)
    assert len(placed) == len(wanted)
    assert all(b - a >= gap * (1 - 1e-6) for a, b in pairwise(placed))
    assert np.mean(placed) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_labels_with_room_stay_where_they_belong() -> None:
    assert _spread([0.0, 0.5, 1.0], 0.1) == pytest.approx([0.0, 0.5, 1.0])


NEAR = {("replaced", "repurposed"), ("rl_binary", "mixed_10"), ("rl_ternary", "few_examples")}
"""Pairs of one marker whose colours some readers see alike. Figures of training objectives, the
only ones with both of a pair, give each member a row or a panel under its name."""


def test_members_of_the_whole_lineage_differ_in_marker_or_in_colour() -> None:
    verdict = pd.read_csv(COMMITTED / "objectives" / "verdict.csv")
    look = Look.of(verdict)
    assert set(look.styles) <= set(Lineage.load("organism").members)
    assert len(set(look.styles.values())) == len(look.styles) == 24
    alike = set()
    for seen_as in VISION.values():
        seen = {m: lab(seen_as @ linear(look.color(m))) for m in look.styles}
        alike |= {
            (a, b)
            for a, b in combinations(look.styles, 2)
            if look.marker(a) == look.marker(b) and np.linalg.norm(seen[a] - seen[b]) < 20
        }
    assert alike == NEAR
