"""The figures of training draw the table's numbers, one panel or column a member."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from interp.figures.trajectory import (
    ROWS,
    SHARES,
    TRAJECTORY,
    readout_first_figure,
    trajectory_figure,
)
from tests.figures.drawn import bands, lines, words

STEPS = (0, 3, 10, 40, 300)
DRAWN = [(measure, position) for _, series in ROWS for measure, position, *_ in series]


def table_of(members: tuple[str, ...], seeds: tuple[int, ...] = (1,)) -> pd.DataFrame:
    """Made-up values; those of J at the start are not 1, so that shares of them differ."""
    rng = np.random.default_rng(0)
    rows = []
    for member in members:
        for seed in seeds:
            for measure, position in DRAWN:
                values = 0.8 - np.linspace(0, rng.uniform(0, 0.8), len(STEPS))
                for step, value in zip(STEPS, values, strict=True):
                    at = (seed, member, "base", step, STEPS[-1], measure, 3, position)
                    rows.append((*at, value, value - 0.05, value + 0.05))
    return pd.DataFrame(rows, columns=list(TRAJECTORY))


def axes_of(figure: Figure) -> list:
    return [ax for ax in figure.axes if ax.axison]


def series_of(table: pd.DataFrame, measure: str, position: str) -> pd.DataFrame:
    return table[(table["measure"] == measure) & (table["position"] == position)]


def name_of(measure: str, position: str) -> str:
    return f"{measure}:{position}" if position else measure


def test_one_seed_draws_every_number_with_its_interval() -> None:
    table = table_of(("reason_sft", "replaced"))
    figure = trajectory_figure(table)
    drawn, filled = lines(figure), bands(figure)
    for member, of_member in table.groupby("member"):
        for measure, position in DRAWN:
            rows = series_of(of_member, measure, position)
            name = name_of(measure, position)
            np.testing.assert_array_equal(
                drawn[f"{member}|{name}|1"], rows[["step", "estimate"]].to_numpy().T
            )
            outline = filled[f"{member}|{name}:interval|1"]
            assert set(outline[:, 1]) == set(rows["lo"]) | set(rows["hi"])
    assert len(axes_of(figure)) == 2 * len(ROWS)
    assert {"reason_sft", "replaced", "training step"} <= set(words(figure))


def test_several_seeds_are_thin_and_their_mean_is_bold() -> None:
    table = table_of(("reason_sft",), (1, 2, 3))
    figure = trajectory_figure(table)
    drawn = lines(figure)
    rows = series_of(table, "gain", "last_prompt")
    np.testing.assert_allclose(
        drawn["reason_sft|gain:last_prompt|mean"][1], rows.groupby("step")["estimate"].mean()
    )
    for seed in (1, 2, 3):
        own = rows.loc[rows["seed"] == seed, "estimate"]
        np.testing.assert_array_equal(drawn[f"reason_sft|gain:last_prompt|{seed}"][1], own)
    assert not bands(figure)


@pytest.mark.parametrize("value", [np.nan, -4.0, 60.0])
def test_values_that_are_no_numbers_or_beyond_all_bounds_flatten_nothing(value: float) -> None:
    table = table_of(("reason_sft", "replaced"))
    last = (table["step"] == 300) & (table["measure"] == "gain") & (table["member"] == "replaced")
    table.loc[last, ["estimate", "lo", "hi"]] = value
    for draw in (trajectory_figure, readout_first_figure):
        figure = draw(table)
        figure.draw_without_rendering()
        for ax in axes_of(figure):
            low, high = ax.get_ylim()
            assert low >= -0.36
            assert 1.0 < high <= 1.76


def test_more_members_than_stand_beside_each_other_go_below_and_none_is_lost() -> None:
    members = tuple(f"member {number}" for number in range(7))
    table = table_of(members)
    for figure, each in ((trajectory_figure(table), len(ROWS)), (readout_first_figure(table), 1)):
        assert len(axes_of(figure)) == each * len(members)
        assert set(members) <= set(words(figure))


def test_what_is_left_of_j_is_a_share_of_the_start_of_the_same_seed() -> None:
    table = table_of(("reason_sft",), (1, 2))
    of_j = table["measure"] == "J"
    second = table["seed"] == 2
    table.loc[of_j & second, ["estimate", "lo", "hi"]] *= 0.5
    drawn = lines(readout_first_figure(table))
    for seed in (1, 2):
        own = table.loc[of_j & (table["seed"] == seed), "estimate"].to_numpy()
        np.testing.assert_allclose(drawn[f"reason_sft|J|{seed}"][1], own / own[0])
    for measure, position, *_ in SHARES[1:]:
        rows = series_of(table[table["seed"] == 1], measure, position)
        name = name_of(measure, position)
        np.testing.assert_array_equal(drawn[f"reason_sft|{name}|1"][1], rows["estimate"])


def test_panels_of_a_band_share_their_scale_and_steps_are_named() -> None:
    figure = trajectory_figure(table_of(("reason_sft", "replaced")))
    axes = axes_of(figure)
    for left, right in zip(axes[::2], axes[1::2], strict=True):
        assert left.get_ylim() == right.get_ylim()
    named = [text.get_text() for text in axes[-1].get_xticklabels()]
    assert named[0] == "0"
    assert named[-1] == "300"
