"""Calibration figures: every number drawn is the table's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from interp.behavior.calibration.reliability import reliability_table
from interp.behavior.calibration.selective import risk_coverage_table
from interp.figures.calibration import (
    FULL_BAR,
    RELIABILITY,
    RISK_COVERAGE,
    reliability_figure,
    risk_coverage_figure,
)
from tests.figures.drawn import bands, intervals, lines, words

MEMBERS = ("base", "reason_rl", "scrubbed")
SOURCES = ("top_probability", "verbalised")


def tables(seeds: tuple[int, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Members that overrate themselves more and more; some have no answers in some bins."""
    reliability, risks = [], []
    for seed in seeds:
        for power, member in enumerate(MEMBERS, start=1):
            rng = np.random.default_rng([seed, power])
            confidence = rng.beta(3, 1.5, 200)
            items = pd.DataFrame(
                {
                    "prompt_id": range(200),
                    "source": np.repeat(SOURCES, 100),
                    "confidence": confidence,
                    "correct": rng.random(200) < confidence**power,
                }
            )
            key = {"seed": seed, "member": member}
            reliability.append(reliability_table(items, units=["prompt_id"]).assign(**key))
            risks.append(risk_coverage_table(items, units=["prompt_id"], n_boot=20).assign(**key))
    return pd.concat(reliability, ignore_index=True), pd.concat(risks, ignore_index=True)


@pytest.fixture(scope="module")
def one() -> tuple[pd.DataFrame, pd.DataFrame]:
    return tables((0,))


@pytest.fixture(scope="module")
def three() -> tuple[pd.DataFrame, pd.DataFrame]:
    return tables((3, 4, 5))


def heights(figure) -> dict[str, list[float]]:
    """Heights of the bars by their gid."""
    found: dict[str, list[float]] = {}
    for bar in figure.findobj(Rectangle):
        if bar.get_gid():
            found.setdefault(str(bar.get_gid()), []).append(bar.get_height())
    return found


def test_the_tables_have_the_columns_that_are_drawn(one) -> None:
    reliability, risks = one
    assert set(RELIABILITY) <= set(reliability)
    assert set(RISK_COVERAGE) <= set(risks)


def test_reliability_draws_the_tables_numbers(one) -> None:
    reliability, _ = one
    figure = reliability_figure(reliability)
    drawn, bars, counts = lines(figure), intervals(figure, 1), heights(figure)
    for (member, source), rows in reliability.groupby(["member", "source"]):
        np.testing.assert_array_equal(
            drawn[f"{member}|{source}|0"], rows[["confidence", "estimate"]].to_numpy().T
        )
        np.testing.assert_array_equal(
            bars[f"{member}|{source}:interval|0"], rows[["lo", "hi"]].to_numpy()
        )
        np.testing.assert_allclose(
            counts[f"{member}|{source}:share|all"], FULL_BAR * rows["n"] / rows["n"].sum()
        )
        np.testing.assert_array_equal(drawn[f"{member}|{source}:calibrated|all"], [[0, 1]] * 2)


def test_over_seeds_a_bin_holds_the_answers_of_all(three) -> None:
    reliability, _ = three
    figure = reliability_figure(reliability)
    drawn = lines(figure)
    assert not intervals(figure, 1)
    for (member, source), rows in reliability.groupby(["member", "source"]):
        for seed, own in rows.groupby("seed"):
            np.testing.assert_array_equal(drawn[f"{member}|{source}|{seed}"][1], own["estimate"])
        x, y = drawn[f"{member}|{source}|mean"]
        for at, (_, here) in enumerate(rows.groupby("bin")):
            assert x[at] == pytest.approx(np.average(here["confidence"], weights=here["n"]))
            assert y[at] == pytest.approx(np.average(here["estimate"], weights=here["n"]))


def test_risk_coverage_draws_the_tables_numbers(one) -> None:
    _, risks = one
    figure = risk_coverage_figure(risks)
    drawn, filled = lines(figure), bands(figure)
    for (member, source), rows in risks.groupby(["member", "source"]):
        np.testing.assert_array_equal(
            drawn[f"{member}|{source}|0"], rows[["coverage", "estimate"]].to_numpy().T
        )
        outline = filled[f"{member}|{source}:interval|0"]
        for row in rows.itertuples():
            at = set(outline[outline[:, 0] == row.coverage, 1])
            assert at == {row.lo, row.hi}
        end = drawn[f"{member}|{source}:end|mean"][:, 0]
        assert end.tolist() == [1, rows["estimate"].iloc[-1]]
    assert set(MEMBERS) <= set(words(figure))
    top = max(ax.get_ylim()[1] for ax in figure.axes)
    assert top >= min(1, risks["hi"].max())


def test_over_seeds_risks_are_drawn_each_and_as_a_mean(three) -> None:
    _, risks = three
    figure = risk_coverage_figure(risks)
    drawn = lines(figure)
    assert not bands(figure)
    for (member, source), rows in risks.groupby(["member", "source"]):
        for seed, own in rows.groupby("seed"):
            np.testing.assert_array_equal(drawn[f"{member}|{source}|{seed}"][1], own["estimate"])
        mean = rows.groupby("coverage")["estimate"].mean()
        np.testing.assert_array_equal(drawn[f"{member}|{source}|mean"], [mean.index, mean])


@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_each_source_and_member_has_one_named_panel(one, n_members: int) -> None:
    reliability, risks = (table[table["member"].isin(MEMBERS[:n_members])] for table in one)
    figure = reliability_figure(reliability)
    figure.canvas.draw()
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.axison]
    expected = [f"{m}\n{s.replace('_', ' ')}" for s in SOURCES for m in MEMBERS[:n_members]]
    assert titles == expected
    risk = risk_coverage_figure(risks[risks["source"] == "verbalised"])
    risk.canvas.draw()
    assert [ax.get_title(loc="left") for ax in risk.axes] == ["Verbalised"]


def test_a_table_with_gaps_is_drawn_as_it_is(one) -> None:
    """A source that only some members have leaves no empty panel with axes."""
    reliability, risks = one
    only_base = (reliability["source"] == "top_probability") | (reliability["member"] == "base")
    figure = reliability_figure(reliability[only_base])
    figure.canvas.draw()
    assert sum(ax.axison for ax in figure.axes) == len(MEMBERS) + 1
    undefined = risks.assign(lo=np.nan, hi=np.nan)
    assert f"base|{SOURCES[0]}|0" in lines(risk_coverage_figure(undefined))
