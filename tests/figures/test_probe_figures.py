"""The figures of the probe tables: every number drawn is the table's, beside all its controls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from interp.errors import InputError
from interp.figures.registry import FIGURES, draw, require
from interp.figures.style import Look, new_figure
from interp.tables import read_csv
from tests.figures.drawn import Tables, bands, figure_of, intervals, lines, words
from tests.figures.probe_tables import of_sites_and_targets
from tests.figures.tables import RUN

PAIRED = ("probes", "transfer", "preservation")
PER_LAYER = {"estimate": ("lo", "hi"), "mlp": ("mlp_lo", "mlp_hi")}


def key_of(row: pd.Series, site: str = "resid_post") -> str:
    return f"{row['member']}|{row['position']}:{site}:{row['target']}"


def cells_of(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each panel or series, by the id that its artists begin with."""
    groups = table.groupby(["member", "position", "target"])
    return [(key_of(rows.iloc[0]), rows) for _, rows in groups]


def test_probes_draw_the_tables_numbers(one_seed: Tables) -> None:
    figure = figure_of("probes", one_seed)
    drawn, bars, filled = lines(figure), intervals(figure, 1), bands(figure)
    for key, rows in cells_of(one_seed["probes"]):
        for value, bounds in PER_LAYER.items():
            x, y = drawn[f"{key}:{value}|0"]
            np.testing.assert_array_equal(np.round(x), rows["layer"])
            np.testing.assert_array_equal(y, rows[value])
            np.testing.assert_array_equal(bars[f"{key}:{value}:interval|0"], rows[list(bounds)])
        for value in ("control", "random"):
            known = rows[rows[value].notna()]
            np.testing.assert_array_equal(
                drawn[f"{key}:{value}|0"], known[["layer", value]].to_numpy().T
            )
        np.testing.assert_array_equal(
            bars[f"{key}:random:interval|0"], rows[["random_lo", "random_hi"]]
        )
        for value in ("tokens", "length"):
            assert drawn[f"{key}:{value}|mean"][1] == pytest.approx([rows[value].iloc[0]] * 2)
            ends = rows[[f"{value}_lo", f"{value}_hi"]].iloc[[0]]
            np.testing.assert_array_equal(bars[f"{key}:{value}:interval|all"], ends)
        for row in rows.itertuples():
            outline = filled[f"{key}:shuffled|all"]
            heights = set(outline[outline[:, 0] == row.layer, 1])
            assert heights == {row.null_lo, row.null_hi}


def test_over_seeds_probes_draw_each_seed_and_the_mean(three_seeds: Tables) -> None:
    figure = figure_of("probes", three_seeds)
    drawn, bars = lines(figure), intervals(figure, 1)
    for key, rows in cells_of(three_seeds["probes"]):
        for value in ("estimate", "mlp", "random", "control"):
            known = rows[rows[value].notna()]
            for seed, own in known.groupby("seed"):
                np.testing.assert_array_equal(drawn[f"{key}:{value}|{seed}"][1], own[value])
            mean = known.groupby("layer")[value].mean()
            np.testing.assert_allclose(drawn[f"{key}:{value}|mean"][1], mean)
        reach = [[rows["tokens_lo"].min(), rows["tokens_hi"].max()]]
        np.testing.assert_array_equal(bars[f"{key}:tokens:interval|all"], reach)


def test_every_control_is_named_and_what_was_not_fitted_is_not(small: Tables) -> None:
    named = {"linear probe", "MLP probe", "shuffled labels", "untrained model", "control task"}
    named |= {"bag of tokens", "length of the prompt"}
    shown = " ".join(words(figure_of("probes", small)))
    assert not [name for name in named if name not in shown]
    probes = small["probes"]
    bare = probes.drop(columns=[c for c in probes if c.startswith(("mlp", "random"))])
    missing = probes.assign(mlp=np.nan, mlp_lo=np.nan, mlp_hi=np.nan, random=np.nan, control=np.nan)
    for table in (bare, missing):
        figure = figure_of("probes", {"probes": table})
        figure.canvas.draw()
        shown = " ".join(words(figure))
        assert "MLP probe" not in shown
        assert "untrained model" not in shown
        assert "base|last_prompt:resid_post:should_abstain:estimate|0" in lines(figure)


@pytest.mark.parametrize("name", ["probes", "preservation"])
def test_several_targets_and_sites_have_panels_of_their_own(name: str, small: Tables) -> None:
    targets, sites = ("should_abstain", "scenario=stale"), ("attn_out", "mlp_out")
    table = of_sites_and_targets(small[name], sites, targets)
    inner = table["site"] == "attn_out"
    table.loc[inner, "estimate"] = table.loc[inner, "estimate"] - 0.01
    figure = figure_of(name, {name: table})
    figure.canvas.draw()
    n_members, n_columns = table["member"].nunique(), {"probes": 3, "preservation": 2}[name]
    assert len(figure.axes) == n_members * len(targets) * 3 * n_columns
    drawn = intervals(figure, 1)
    for (position, target, site), rows in table[inner].groupby(["position", "target", "site"]):
        own = rows[rows["member"] == "reason_sft_upper"]
        if position == "question_last":
            continue
        series = f"{position}:{site}:{target}" + (":estimate" if name == "probes" else "")
        bars = drawn[f"reason_sft_upper|{series}:interval|0"]
        # The embedding stands left of every kind of site.
        np.testing.assert_array_equal(bars[1:], own[["lo", "hi"]])
        assert len(bars) == len(own) + 1
    shown = words(figure)
    assert any("scenario=stale" in text and "attn_out" in text for text in shown)


def test_two_kinds_of_site_at_one_position_stand_beside_each_other(small: Tables) -> None:
    table = of_sites_and_targets(small["probes"], ("mlp_out",), ("should_abstain",))
    figure = figure_of("probes", {"probes": table[table["position"] == "last_prompt"]})
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == [
        "resid_post: last token of the prompt",
        "mlp_out: last token of the prompt",
    ]


@pytest.mark.parametrize("name", ["probes", "preservation"])
def test_one_layer_and_any_positions_can_be_drawn(name: str, small: Tables) -> None:
    table = small[name]
    one = table[table["layer"] == 1].replace(
        {"position": {"entity_last": "mean", "last_prompt": "a"}}
    )
    figure = figure_of(name, {name: one})
    figure.canvas.draw()
    drawn = intervals(figure, 1)
    suffix = ":estimate:interval" if name == "probes" else ":interval"
    # The usual positions first, then the others by name.
    for position in ("question_last", "a"):
        row = one[(one["position"] == position) & (one["member"] == "reason_sft_upper")].iloc[0]
        ends = drawn[f"{key_of(row)}{suffix}|0"]
        np.testing.assert_array_equal(ends, [[row["lo"], row["hi"]]])
    if name == "preservation":
        assert not [key for key in drawn if "|mean:" in key]


def test_preservation_draws_the_tables_numbers(one_seed: Tables) -> None:
    table = one_seed["preservation"]
    table = table[table["position"] != "question_last"]
    figure = figure_of("preservation", one_seed)
    drawn, bars = lines(figure), intervals(figure, 1)
    assert {key.split("|")[1].split(":")[0] for key in bars} == {"entity_last", "last_prompt"}
    for key, rows in cells_of(table):
        np.testing.assert_array_equal(bars[f"{key}:interval|0"], rows[["lo", "hi"]])
        for name, which in (("preserved", rows["preserved"]), ("open", ~rows["preserved"])):
            x, y = drawn[f"{key}:{name}|0"]
            np.testing.assert_array_equal(y, rows.loc[which, "estimate"])
            np.testing.assert_array_equal(np.round(x), rows.loc[which, "layer"])
        chosen = rows[rows["selected"]]
        np.testing.assert_array_equal(drawn[f"{key}:selected|0"][1], chosen["estimate"])
        bounded = rows[rows["rho_hi"] - rows["rho_lo"] <= 1]
        assert 0 < len(bounded) < len(rows)
        np.testing.assert_array_equal(bars[f"{key}:rho:interval|0"], bounded[["rho_lo", "rho_hi"]])
        for name, which in (("preserved", bounded["preserved"]), ("open", ~bounded["preserved"])):
            np.testing.assert_array_equal(
                drawn[f"{key}:rho:{name}|0"][1], bounded.loc[which, "rho"]
            )


def test_over_seeds_preservation_is_filled_where_every_seed_is_equivalent(
    three_seeds: Tables,
) -> None:
    figure = figure_of("preservation", three_seeds)
    drawn, bars = lines(figure), intervals(figure, 1)
    table = three_seeds["preservation"]
    for key, rows in cells_of(table[table["position"] == "entity_last"]):
        for seed, own in rows.groupby("seed"):
            np.testing.assert_array_equal(drawn[f"{key}|{seed}"][1], own["estimate"])
        layers = rows.groupby("layer")
        mean, every = layers["estimate"].mean(), layers["preserved"].all()
        np.testing.assert_allclose(drawn[f"{key}:preserved|mean"][1], mean[every])
        np.testing.assert_allclose(drawn[f"{key}:open|mean"][1], mean[~every])
        reach = np.stack([layers["lo"].min(), layers["hi"].max()], axis=1)
        np.testing.assert_array_equal(bars[f"{key}:interval|mean"], reach)


def test_a_parent_beside_itself_is_not_drawn(small: Tables) -> None:
    table = small["preservation"]
    itself = table.assign(member="base", estimate=0.0, lo=0.0, hi=0.0, preserved=True)
    both = figure_of("preservation", {"preservation": pd.concat([itself, table])})
    assert not [key for key in lines(both) if key.startswith("base|")]
    alone = figure_of("preservation", {"preservation": itself})
    assert [t.get_text() for t in alone.texts] == ["No child with a parent in this run."]


def test_a_run_of_probes_alone_draws_its_own_figures(small: Tables, tmp_path: Path) -> None:
    tables = {name: small[name] for name in PAIRED}
    drawn = draw(tables, tmp_path, RUN, names=PAIRED)
    wanted = {f"{name}.{kind}" for name in PAIRED for kind in ("pdf", "png", "csv")}
    assert {path.name for path in drawn} == wanted
    with pytest.raises(InputError, match="'verdict' needs the table 'evidence'"):
        require(tables)


def test_members_of_other_lineages_stand_parents_first(
    small: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = {"base": "parent", "reason_sft_upper": "a child"}
    tables = {n: small[n].replace({"member": renamed, "parent": renamed}) for n in PAIRED}
    orders = []

    def keep(*frames: pd.DataFrame, look: Look) -> Figure:
        orders.append(list(look.styles))
        return new_figure(1, 1)

    monkeypatch.setitem(FIGURES, "probes", replace(FIGURES["probes"], function=keep))
    draw(tables, tmp_path, RUN, names=("probes",))
    assert orders == [["parent", "a child"]]


@pytest.mark.parametrize("name", ["probes", "preservation"])
def test_a_table_read_back_from_csv_gives_the_same_figure(
    name: str, small: Tables, tmp_path: Path
) -> None:
    draw({name: small[name]}, tmp_path, RUN, names=(name,))
    again = lines(figure_of(name, {name: read_csv(tmp_path / f"{name}.csv")}))
    for key, points in lines(figure_of(name, small)).items():
        np.testing.assert_allclose(again[key], points, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("column", ["control", "null_lo", "tokens", "length_hi", "site"])
def test_probes_without_a_control_are_refused(column: str, small: Tables) -> None:
    with pytest.raises(InputError, match=f"'probes' lacks the column.s. {column}"):
        require({"probes": small["probes"].drop(columns=column)}, ["probes"])


@pytest.mark.parametrize("name", ["probes", "preservation"])
def test_everything_lies_within_the_page(name: str, one_seed: Tables) -> None:
    figure = figure_of(name, one_seed)
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
