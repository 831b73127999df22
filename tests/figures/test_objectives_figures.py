"""The figures of training objectives draw the tables' numbers, legibly and within the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from interp.errors import InputError
from interp.figures.claims import claims_figure
from interp.figures.signature import signature_figure
from interp.figures.signature_columns import SHOWN
from interp.figures.signature_key import CODES
from interp.figures.style import PAGE_IN
from interp.verdict.claim_table import claims_table
from interp.verdict.signature import signature_table
from tests.figures.drawn import intervals, lines, words
from tests.verdict.objective_tables import RECALL, objective_tables


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return objective_tables()


@pytest.fixture(scope="module")
def claims(tables) -> pd.DataFrame:
    return claims_table(tables, n_boot=100)


@pytest.fixture(scope="module")
def drawn_signature(tables) -> Figure:
    return signature_figure(signature_table(tables), tables["verdict"])


def boxes(figure: Figure):
    figure.canvas.draw()
    shown = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    return [(text, text.get_window_extent()) for text in shown]


def within(figure: Figure) -> None:
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in boxes(figure):
        assert box.x0 >= 0, text
        assert box.x1 <= width, text
        assert box.y0 >= 0, text
        assert box.y1 <= height, text


@pytest.mark.parametrize(
    "claim",
    [
        "under_abstention",
        "brier_ranks",
        "exploration_barrier",
        "readout_before_representation",
        "deployment_not_capability",
    ],
)
def test_a_claim_draws_every_seed_and_the_pooled_interval(claims, claim) -> None:
    figure = claims_figure(claims, claim)
    within(figure)
    points, bars = lines(figure), intervals(figure, 0)
    rows = claims[claims["claim"] == claim]
    named = {"cot": ", chain of thought", "direct": ", direct answer", "": ""}
    for row in rows.itertuples():
        label = row.objective.replace("_", " ") + named[row.mode]
        assert points[f"{label}|{claim}|{row.seed}"][0].item() == row.estimate
        if np.isfinite(row.lo):
            ends = bars[f"{label}|{claim}:interval|{row.seed}"]
            np.testing.assert_array_equal(ends, [[row.lo, row.hi]])
    said = [t.get_text() for t in figure.findobj(Text) if "|call|" in str(t.get_gid())]
    assert said == rows.loc[rows["seed"] == "all", "call"].tolist()


def test_the_shaded_side_is_the_one_that_holds(claims) -> None:
    for claim, inside in (("under_abstention", -0.3), ("ternary_restores", 0.3)):
        figure = claims_figure(claims, claim)
        (ax,) = figure.axes
        (band,) = [p for p in ax.patches if p.get_zorder() == -1]
        at = float(claims.loc[claims["claim"] == claim, "threshold"].iloc[0])
        low, high = sorted((band.get_x(), band.get_x() + band.get_width()))
        assert low <= inside <= high
        assert at in (pytest.approx(low), pytest.approx(high))
        assert not low <= 0 <= high


def test_a_claim_that_was_not_measured_is_drawn_empty() -> None:
    table = claims_table({}, seeds=[1, 2])
    for claim in ("exploration_barrier", "deployment_not_capability"):
        figure = claims_figure(table, claim)
        figure.canvas.draw()
        assert "undecided" in words(figure)


def test_an_unknown_claim_is_refused(claims) -> None:
    with pytest.raises(InputError, match="no claim 'x' in the table; it has under_abstention"):
        claims_figure(claims, "x")


def test_the_signature_shows_the_mean_of_every_column(drawn_signature, tables) -> None:
    table = signature_table(tables)
    cells = {str(p.get_gid()) for p in drawn_signature.axes[0].patches if p.get_gid()}
    for column in SHOWN:
        mine = table[(table["group"] == column.group) & (table["measure"] == column.measure)]
        for member in mine.loc[mine["estimate"].notna(), "member"].unique():
            assert f"{member}|{column.group}:{column.measure}|mean" in cells
    mean = table.query("member == 'rl_binary' and measure == 'recall'")["estimate"].mean()
    assert f"{mean:.2f}"[1:] in words(drawn_signature)


def test_colours_say_above_and_below_the_base(drawn_signature) -> None:
    faces = {str(p.get_gid()): p.get_facecolor() for p in drawn_signature.axes[0].patches}
    red, _, blue, _ = faces["rl_binary|behaviour:recall|mean"]
    assert red > blue  # below the base: orange
    red, _, blue, _ = faces["rl_binary|sequence probability:ece|mean"]
    assert blue > red
    assert min(faces["base|behaviour:recall|mean"]) > 0.99


def test_every_seed_has_a_chip_with_its_verdict(drawn_signature, tables) -> None:
    chips = [str(p.get_gid()) for p in drawn_signature.axes[0].patches if "verdict:" in
             str(p.get_gid())]  # fmt: skip
    wanted = {f"{r.member}|verdict:{r.verdict}|{r.seed}" for r in tables["verdict"].itertuples()}
    assert set(chips) == wanted
    assert len(set(CODES.values())) == len(CODES)


def test_the_signature_fits_the_page_and_can_be_read(drawn_signature) -> None:
    width, height = drawn_signature.get_size_inches()
    assert (width, height) <= (PAGE_IN, 9)
    assert height < 9
    within(drawn_signature)
    placed = boxes(drawn_signature)
    assert min(text.get_fontsize() for text, _ in placed) >= 6
    # No two texts of one row of members run into each other.
    beside = sorted(placed, key=lambda item: item[1].x0)
    for index, (text, box) in enumerate(beside):
        for other, after in beside[index + 1 :]:
            if after.x0 > box.x1:
                break
            apart = after.y0 >= box.y1 - 3 or after.y1 <= box.y0 + 3
            assert apart or after.x0 > box.x1 - 0.5, (text.get_text(), other.get_text())


def test_noise_stays_pale(tables) -> None:
    table = signature_table(tables)
    mine = table["measure"].eq("accuracy")
    noise = table["member"].map({name: 0.001 * i for i, name in enumerate(RECALL)})
    table["estimate"] = table["estimate"].where(~mine, 0.9 + noise)
    figure = signature_figure(table, tables["verdict"])
    faces = [p.get_facecolor() for p in figure.axes[0].patches
             if ":accuracy|" in str(p.get_gid())]  # fmt: skip
    assert min(min(face) for face in faces) > 0.9


def test_one_seed_and_few_measures_are_enough() -> None:
    tables = objective_tables((21,))
    table = signature_table(tables)
    figure = signature_figure(table[table["group"] == "behaviour"], tables["verdict"])
    within(figure)
    assert "relearning" not in words(figure)
    assert set(RECALL) <= set(words(figure))
