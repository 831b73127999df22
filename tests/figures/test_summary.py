"""The paper's first figure shows one member of each planted truth, as the tables have it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from interp.errors import InputError
from interp.figures import FIGURES, PAPER_FIGURES
from interp.figures.papers import Paper, drawn_for
from interp.figures.summary import EVIDENCE, VERDICT, summary_figure
from tests.figures.drawn import intervals, lines, words
from tests.figures.printed import beyond, overlapping, printed

TRUTHS = {"base": "intact", "upper": "deselected", "gone": "erased", "never": "never"}
VALUES = {
    "j": {"base": 0.9, "upper": 0.1, "gone": 0.0, "never": 0.01},
    "transfer": {"base": 1.0, "upper": 0.97, "gone": -0.05, "never": 0.02},
    "relearn_all": {"upper": 0.8, "gone": 0.1, "never": 0.05},
}


def tables(
    seeds: tuple[int, ...] = (1,), truths: dict[str, str] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = [
        (seed, member, line, value + 0.01 * seed, value - 0.05, value + 0.06)
        for seed in seeds
        for line, values in VALUES.items()
        for member, value in values.items()
    ]
    evidence = pd.DataFrame(rows, columns=list(EVIDENCE))
    verdict = pd.DataFrame(
        [
            (seed, member, truth, "ERASED" if truth == "erased" or seed == 3 else truth.upper())
            for seed in seeds
            for member, truth in (truths or TRUTHS).items()
        ],
        columns=list(VERDICT),
    )
    return evidence, verdict


def test_each_panel_draws_its_line_of_evidence() -> None:
    figure = summary_figure(*tables())
    drawn, bars = lines(figure), intervals(figure, 0)
    for line, values in VALUES.items():
        for member, value in values.items():
            assert drawn[f"{member}|{line}|1"][0][0] == pytest.approx(value + 0.01)
            (interval,) = bars[f"{member}|{line}:interval|1"]
            np.testing.assert_allclose(interval, [value - 0.05, value + 0.06])
    assert {"Parent", "Deselected", "Erased", "Never learned", "lost\nnothing"} <= set(
        words(figure)
    )


def test_bars_are_means_over_seeds_and_the_commonest_verdict_is_said() -> None:
    evidence, verdict = tables(seeds=(1, 2, 3))
    figure = summary_figure(evidence, verdict)
    widths = {
        str(bar.get_gid()): bar.get_width()
        for bar in figure.findobj(Rectangle)
        if isinstance(bar, Rectangle)
    }
    mean = evidence.groupby(["member", "line"])["estimate"].mean()
    for member, line in mean.index:
        assert widths[f"{member}|{line}:bar|mean"] == pytest.approx(mean[member, line])
    assert words(figure).count("2 of 3 seeds") == 3
    assert words(figure).count("3 of 3 seeds") == 1


@pytest.mark.parametrize("style", ["neurips", "acl-column"])
def test_several_seeds_fit_beside_their_verdicts(style: str) -> None:
    with drawn_for(Paper.load(style)):
        figure = summary_figure(*tables(seeds=(1, 2, 3)))
    shown = printed(figure)
    assert not overlapping(shown)
    assert not beyond(shown, *figure.get_size_inches())


def test_one_member_of_each_truth_is_shown_and_others_are_not() -> None:
    truths = TRUTHS | {"another": "erased", "who": "unknown"}
    shown = words(summary_figure(*tables(truths=truths)))
    assert "gone" in shown
    assert not {"another", "who"} & set(shown)


def test_a_line_that_was_not_gathered_has_no_panel() -> None:
    evidence, verdict = tables()
    figure = summary_figure(evidence[evidence["line"] != "relearn_all"], verdict)
    assert len(figure.axes) == 2


def test_without_planted_truth_there_is_nothing_to_draw() -> None:
    evidence, verdict = tables()
    said = "no member's planted truth is one of intact, deselected.*the table 'verdict' has unknown"
    with pytest.raises(InputError, match=said):
        summary_figure(evidence, verdict.assign(planted="unknown"))


def test_no_study_draws_it_by_itself() -> None:
    assert set(PAPER_FIGURES) == {"summary"}
    assert "summary" not in FIGURES
