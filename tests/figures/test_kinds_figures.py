"""Figures of behaviour runs and of the grader's audit draw their tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from interp.figures.agreement import MEASURES, agreement_figure
from interp.figures.kinds import COLORS, kinds_figure
from tests.figures.drawn import lines, words

KINDS = pd.DataFrame(
    [
        {"seed": seed, "member": member, "elicitation": way, "should_abstain": due, "kind": kind}
        | {"estimate": share, "lo": share, "hi": share}
        for seed in (0, 1)
        for member in ("base", "instruct")
        for way in ("raw", "chat")
        for due in (True, False)
        for kind, share in {
            "answer": 0.5 - 0.1 * seed,
            "abstain": 0.3 + 0.1 * seed,
            "none": 0.2,
            "truncated": 0.2 * due,
        }.items()
    ]
)


def test_bars_are_means_over_seeds_stacked_to_one() -> None:
    figure = kinds_figure(KINDS)
    bars = {
        bar.get_gid(): (bar.get_x(), bar.get_width())
        for bar in figure.findobj(Rectangle)
        if bar.get_gid()
    }
    assert len(bars) == 2 * 2 * 2 * 3
    for member in ("base", "instruct"):
        for way in ("raw", "chat"):
            left = 0.0
            for kind in COLORS:
                name = f"{member}|True:{way}:{kind}|mean"
                if name in bars:
                    wanted = {"answer": 0.45, "abstain": 0.35, "none": 0.2}[kind]
                    assert bars[name] == (pytest.approx(left), pytest.approx(wanted))
                    left += wanted
            assert left == pytest.approx(1)


def test_dots_are_what_was_cut_off() -> None:
    drawn = lines(kinds_figure(KINDS))
    assert drawn["base|True:raw:truncated|mean"][0].tolist() == [0.2]
    assert "base|False:raw:truncated|mean" not in drawn


def test_one_way_of_asking_goes_unsaid() -> None:
    shown = words(kinds_figure(KINDS[KINDS["elicitation"] == "raw"]))
    assert "base" in shown
    assert not any("raw" in word for word in shown)


def test_agreement_is_drawn_as_the_table_has_it() -> None:
    rows = [
        {"source": source, "measure": measure, "estimate": value, "lo": value - 0.1, "hi": value}
        for source, value in (("a", 0.9), ("b", 0.4))
        for measure in (*MEASURES, "precision")
    ]
    drawn = lines(agreement_figure(pd.DataFrame(rows)))
    for source, value in (("a", 0.9), ("b", 0.4)):
        for measure in MEASURES:
            assert drawn[f"{source}|{measure}|0"][0].tolist() == [value]
            np.testing.assert_allclose(
                drawn[f"{source}|{measure}:interval|0"][0], [value - 0.1, value]
            )
