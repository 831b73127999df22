"""What is drawn is what stands in the tables, and drawing changes nothing else."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from interp.figures.registry import FIGURES
from interp.figures.style import Look
from tests.figures.drawn import Tables, bands, figure_of, intervals, lines, words
from tests.figures.tables import study_tables


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("study", ["one_seed", "three_seeds"])
def test_a_figure_is_pure_and_shows_every_member(
    name: str, study: str, request: pytest.FixtureRequest
) -> None:
    tables: Tables = request.getfixturevalue(study)
    before = {table: frame.copy(deep=True) for table, frame in tables.items()}
    settings = dict(mpl.rcParams)
    figure = figure_of(name, tables)
    assert dict(mpl.rcParams) == settings
    for table, frame in tables.items():
        pd.testing.assert_frame_equal(frame, before[table])
    shown = words(figure)
    main = tables[next(iter(FIGURES[name].tables))]
    for member in main["member"].unique():
        assert any(member in text for text in shown), member


@pytest.mark.parametrize("name", FIGURES)
def test_any_member_names_and_any_depth_can_be_drawn(name: str) -> None:
    members = {
        "tülu_$v3$-8b": (1.0, 0.9, "unknown"),
        "<b>&": (0.8, 0.1, "unknown"),
        "c": (0.1, 0.0, "unknown"),
    }
    tables = study_tables(members=members, n_layers=20)
    figure = figure_of(name, tables)
    figure.canvas.draw()
    assert any("<b>&" in text for text in words(figure))


@pytest.mark.parametrize(
    ("name", "keys", "series", "x", "value"),
    [
        ("graft", ["part"], "{0}", "n_layers", "estimate"),
        ("relearn", ["scope"], "{0}", "n_examples", "ratio"),
        ("steering", ["group", "direction"], "{0}:{1}", "alpha", "estimate"),
    ],
)
def test_lines_draw_each_seed_and_the_mean(
    name: str, keys: list[str], series: str, x: str, value: str, three_seeds: Tables
) -> None:
    frame = three_seeds[name]
    if name == "steering":
        frame = frame[frame["direction"] != "random"]
    drawn = lines(figure_of(name, three_seeds))
    for member in frame["member"].unique():
        for key, rows in frame[frame["member"] == member].groupby(keys):
            gid = f"{member}|{series.format(*key)}"
            by_seed = [rows[rows["seed"] == s].sort_values(x)[value].to_numpy() for s in (3, 4, 5)]
            for seed, expected in zip((3, 4, 5), by_seed, strict=True):
                np.testing.assert_array_equal(drawn[f"{gid}|{seed}"][1], expected)
            mean = np.mean(by_seed, axis=0)
            np.testing.assert_allclose(drawn[f"{gid}|mean"][1], mean)


def test_steering_band_is_the_range_over_random_directions(three_seeds: Tables) -> None:
    frame = three_seeds["steering"]
    filled = bands(figure_of("steering", three_seeds))
    random = frame[frame["direction"] == "random"]
    for (member, group), rows in random.groupby(["member", "group"]):
        vertices = filled[f"{member}|{group}:random|all"]
        for alpha in rows["alpha"].unique():
            heights = vertices[vertices[:, 0] == alpha, 1]
            wanted = rows.loc[rows["alpha"] == alpha, "estimate"]
            assert (heights.min(), heights.max()) == (wanted.min(), wanted.max())


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("behavior", "{measure}:{group}:{mode}"),
        ("ablation", "{group}:{direction}"),
        ("evidence", "{line}"),
        ("signal", "{measure}:{mode}"),
    ],
)
def test_forests_draw_estimates_and_intervals(name: str, series: str, one_seed: Tables) -> None:
    frame = one_seed[name]
    if name == "evidence":
        frame = frame[frame["decides"]]
    figure = figure_of(name, one_seed)
    drawn, bars = lines(figure), intervals(figure, 0)
    for row in frame.to_dict("records"):
        if row.get("group") == "all":
            row["group"] = None
        key = f"{row['member']}|{series.format(**row)}"
        assert drawn[f"{key}|0"][0][0] == row["estimate"]
        assert bars[f"{key}:interval|0"].tolist() == [[row["lo"], row["hi"]]]


def test_transfer_rings_the_chosen_layer_and_leaves_out_unbounded_ratios(one_seed: Tables) -> None:
    frame = one_seed["transfer"]
    drawn = lines(figure_of("transfer", one_seed))
    rho = frame[(frame["measure"] == "rho") & (frame["position"] == "entity_last")]
    for member, rows in rho.groupby("member"):
        bounded = rows[rows["hi"] - rows["lo"] <= 1.0]
        assert 0 < len(bounded) < len(rows)
        line = drawn[f"{member}|entity_last:rho|0"]
        np.testing.assert_array_equal(line[1], bounded["estimate"])
        ring = drawn[f"{member}|entity_last:rho:selected|all"]
        np.testing.assert_array_equal(ring[1], rows.loc[rows["selected"], "estimate"])


def test_verdict_cells_carry_estimate_interval_and_call(one_seed: Tables) -> None:
    figure = figure_of("verdict", one_seed)
    deciding = one_seed["evidence"].query("decides")
    texts = [t.get_text().replace("\N{MINUS SIGN}", "-") for t in figure.findobj(Text)]
    for row in deciding.itertuples():
        assert f"{row.estimate:.2f}".replace("-0.00", "0.00") in texts
        interval = f"{row.lo:.2f} to {row.hi:.2f}".replace("-0.00", "0.00")
        assert interval in texts
    calls = [str(p.get_gid()).split("|")[:2] for p in figure.findobj(mpl.patches.Rectangle)]
    drawn = sorted((m, c) for m, c in (g for g in calls if len(g) == 2))
    assert drawn == sorted((r.member, f"call:{r.call}") for r in deciding.itertuples())
    verdicts = {
        str(t.get_gid()): t.get_text() for t in figure.findobj(Text) if t.get_gid() is not None
    }
    for row in one_seed["verdict"].itertuples():
        assert verdicts[f"{row.member}|verdict|0"] == row.verdict


def test_an_undefined_line_is_said_to_be_undefined(small: Tables) -> None:
    evidence = small["evidence"].copy()
    evidence.loc[0, ["estimate", "lo", "hi"]] = np.nan
    evidence.loc[0, "call"] = "undefined"
    figure = FIGURES["verdict"].function(evidence, small["verdict"])
    assert "undefined" in [text.get_text() for text in figure.findobj(Text)]


def test_a_run_without_supporting_lines_says_so(small: Tables) -> None:
    figure = FIGURES["support"].function(small["evidence"].query("decides"))
    assert [t.get_text() for t in figure.texts] == ["No such line of evidence in this run."]


def test_curves_draw_loss_and_reward_of_each_seed(three_seeds: Tables) -> None:
    frame = three_seeds["curves"]
    drawn = lines(figure_of("curves", three_seeds))
    for (member, seed), rows in frame.groupby(["member", "seed"]):
        np.testing.assert_array_equal(drawn[f"{member}|loss|{seed}"][1], rows["loss"])
    rewarded = {gid.split("|")[0] for gid in drawn if "|reward|" in gid}
    assert rewarded == {"reason_rl"}


def test_a_member_keeps_its_style_whatever_table_it_is_met_in(one_seed: Tables) -> None:
    everyone = Look.of(one_seed["behavior"])
    for table in one_seed.values():
        for member, style in Look.of(table).styles.items():
            assert everyone.styles[member] == style
