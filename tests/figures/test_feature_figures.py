"""The figures of a study of features: every number drawn is the table's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from interp.errors import InputError
from interp.figures.features import BESIDE, DIFF, FEATURES
from interp.figures.registry import FEATURE_FIGURES, draw, require
from tests.figures.drawn import bands, intervals, lines, words
from tests.figures.feature_tables import EFFECT, feature_tables
from tests.figures.tables import RUN

Tables = Mapping[str, pd.DataFrame]
PANELS = ("auroc_child", "firing_ratio", "nu_reconstruction", "effect_child")
NAMES = tuple(FEATURE_FIGURES)


@pytest.fixture(scope="module")
def one() -> Tables:
    return feature_tables()


@pytest.fixture(scope="module")
def three() -> Tables:
    return feature_tables(seeds=(21, 22, 23))


def figure_of(name: str, tables: Tables) -> Figure:
    spec = FEATURE_FIGURES[name]
    return spec.function(*(tables[table] for table in spec.tables))


def best(tables: Tables) -> pd.DataFrame:
    """The parent's best feature in every child."""
    return tables["feature_diff"].query("direction == 'unknown' and latent == 43")


def sought(tables: Tables) -> pd.DataFrame:
    return tables["features"].query("direction == 'unknown'")


def beside(figure: Figure) -> list[str]:
    """What is written right of the last panel, from top to bottom."""
    notes = [text for text in figure.axes[-1].texts if isinstance(text, Annotation)]
    return [text.get_text() for text in notes if text.xy[0] > 1]


def test_features_draw_the_best_latent_its_interval_and_the_baselines(one: Tables) -> None:
    figure = figure_of("features", one)
    drawn, bars = lines(figure), intervals(figure, 1)
    for position, rows in sought(one).groupby("position"):
        key = f"base|{position}:latent"
        np.testing.assert_array_equal(drawn[f"{key}|0"], rows[["layer", "auroc"]].to_numpy().T)
        np.testing.assert_array_equal(bars[f"{key}:interval|0"], rows[["auroc_lo", "auroc_hi"]])
        for column in BESIDE:
            line = drawn[f"base|{position}:{column}|0"]
            np.testing.assert_array_equal(line, rows[["layer", column]].to_numpy().T)
        rings = rows[rows["dev_passes"] & rows["passes"]]
        assert 0 < len(rings) < rows["dev_passes"].sum()
        np.testing.assert_array_equal(
            drawn[f"base|{position}:passes|any"], rings[["layer", "auroc"]].to_numpy().T
        )


def test_over_seeds_features_draw_each_seed_and_ring_what_passes_in_any(three: Tables) -> None:
    drawn = lines(figure_of("features", three))
    for position, rows in sought(three).groupby("position"):
        for column in ("auroc", *BESIDE):
            key = f"base|{position}:{'latent' if column == 'auroc' else column}"
            for seed, own in rows.groupby("seed"):
                np.testing.assert_array_equal(drawn[f"{key}|{seed}"][1], own[column])
            mean = rows.groupby("layer")[column].mean()
            np.testing.assert_allclose(drawn[f"{key}|mean"], [mean.index, mean])
        in_any = rows.assign(both=rows["dev_passes"] & rows["passes"]).groupby("layer")["both"]
        ringed = in_any.any()
        assert (in_any.sum()[ringed] < 3).any()
        assert not ringed.all()
        mean = rows.groupby("layer")["auroc"].mean()[ringed]
        np.testing.assert_allclose(drawn[f"base|{position}:passes|any"], [mean.index, mean])


def test_a_feature_that_passes_on_one_split_only_has_no_ring(one: Tables) -> None:
    features = one["features"].assign(dev_passes=True, passes=False)
    for table in (features, features.assign(dev_passes=False, passes=True)):
        drawn = lines(figure_of("features", {"features": table}))
        assert not drawn["base|last_prompt:passes|any"].size


def test_a_member_that_was_not_read_at_a_position_has_an_empty_panel(one: Tables) -> None:
    other = one["features"].query("position == 'entity_last'").assign(member="another")
    table = pd.concat([one["features"], other], ignore_index=True)
    figure = figure_of("features", {"features": table})
    drawn = lines(figure)
    assert len(figure.axes) == 4
    assert "another|entity_last:latent|0" in drawn
    assert not [key for key in drawn if key.startswith("another|last_prompt")]


def test_the_diff_draws_the_parents_best_feature_in_every_child(one: Tables) -> None:
    figure = figure_of("feature_diff", one)
    drawn, bars = lines(figure), intervals(figure, 0)
    assert len(best(one)) == one["feature_diff"]["member"].nunique()
    for row in best(one).to_dict("records"):
        for panel in PANELS:
            key = f"{row['member']}|{panel}"
            assert drawn[f"{key}|0"][0].tolist() == [row[panel]]
            assert bars[f"{key}:interval|0"].tolist() == [[row[f"{panel}_lo"], row[f"{panel}_hi"]]]
        for parents in ("auroc_parent", "effect_parent"):
            assert drawn[f"{row['member']}|{parents}|0"][0].tolist() == [row[parents]]
    assert drawn["scrubbed|effect_parent|0"][0].tolist() == [EFFECT]


def test_over_seeds_the_diff_draws_each_seed_and_the_mean(three: Tables) -> None:
    figure = figure_of("feature_diff", three)
    drawn, bars = lines(figure), intervals(figure, 0)
    for member, rows in best(three).groupby("member"):
        for panel in PANELS:
            for row in rows.to_dict("records"):
                key, seed = f"{member}|{panel}", row["seed"]
                assert drawn[f"{key}|{seed}"][0].tolist() == [row[panel]]
                ends = [[row[f"{panel}_lo"], row[f"{panel}_hi"]]]
                assert bars[f"{key}:interval|{seed}"].tolist() == ends
            assert drawn[f"{member}|{panel}|mean"][0] == pytest.approx([rows[panel].mean()])


def test_a_parents_bar_stands_at_the_height_of_its_seed(three: Tables) -> None:
    diff = three["feature_diff"]
    table = diff.assign(effect_parent=diff["effect_parent"] + 0.1 * diff["seed"])
    drawn = lines(figure_of("feature_diff", {"feature_diff": table}))
    for row in best({"feature_diff": table}).to_dict("records"):
        of_parent = drawn[f"{row['member']}|effect_parent|{row['seed']}"]
        of_child = drawn[f"{row['member']}|effect_child|{row['seed']}"]
        assert of_parent[0].tolist() == [row["effect_parent"]]
        assert of_parent[1].tolist() == of_child[1].tolist()


def test_classes_stand_beside_their_rows(one: Tables, three: Tables) -> None:
    figure = figure_of("feature_diff", one)
    assert beside(figure) == ["class", "shared", "shared", "lost", "reused"]
    diff = three["feature_diff"]
    lost = (diff["member"] == "reason_sft") & (diff["seed"] == 22) & (diff["latent"] == 43)
    table = diff.assign(**{"class": diff["class"].where(~lost, "lost")})
    figure = figure_of("feature_diff", {"feature_diff": table})
    shared = ["class (seeds)", "shared (3)", "shared (2)\nlost (1)", "lost (3)", "reused (3)"]
    assert beside(figure) == shared
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["reason_sft_upper", "reason_sft", "scrubbed", "replaced"]


@pytest.mark.parametrize("seeds", ["one", "three"])
def test_steering_draws_the_feature_over_other_latents(
    seeds: str, request: pytest.FixtureRequest
) -> None:
    tables: Tables = request.getfixturevalue(seeds)
    figure = figure_of("feature_steering", tables)
    drawn, bars, filled = lines(figure), intervals(figure, 1), bands(figure)
    for (member, group), rows in tables["feature_steering"].groupby(["member", "group"]):
        for seed, own in rows[rows["direction"] == "parent"].groupby("seed"):
            key = f"{member}|{group}:parent"
            np.testing.assert_array_equal(drawn[f"{key}|{seed}"][1], own["estimate"])
            if seeds == "one":
                np.testing.assert_array_equal(bars[f"{key}:interval|0"], own[["lo", "hi"]])
        outline = filled[f"{member}|{group}:random|all"]
        for alpha, draws in rows[rows["direction"] == "random"].groupby("alpha"):
            heights = outline[outline[:, 0] == alpha, 1]
            assert (heights.min(), heights.max()) == (
                draws["estimate"].min(),
                draws["estimate"].max(),
            )
    shown = " ".join(words(figure))
    assert "the parent's feature" in shown
    assert "other latents" in shown


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seeds", ["one", "three"])
def test_all_text_lies_within_the_page_and_titles_apart(
    name: str, seeds: str, request: pytest.FixtureRequest
) -> None:
    tables: Tables = request.getfixturevalue(seeds)
    before = {table: frame.copy(deep=True) for table, frame in tables.items()}
    figure = figure_of(name, tables)
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    for table, frame in tables.items():
        pd.testing.assert_frame_equal(frame, before[table])
    heads = [text for ax in figure.axes for text in ax.get_children() if isinstance(text, Text)]
    heads += [ax.xaxis.label for ax in figure.axes]
    boxes = [head.get_window_extent() for head in heads if head.get_text()]
    for index, first in enumerate(boxes):
        for second in boxes[:index]:
            assert not first.overlaps(second)


def test_drawing_twice_gives_the_same_bytes(one: Tables, tmp_path: Path) -> None:
    first = draw(one, tmp_path / "first", RUN, names=NAMES)
    again = draw(one, tmp_path / "again", RUN, names=NAMES)
    wanted = {f"{name}.{kind}" for name in NAMES for kind in ("pdf", "png", "csv")}
    assert {path.name for path in first} == wanted
    for path, same in zip(first, again, strict=True):
        assert path.name == same.name
        assert path.read_bytes() == same.read_bytes(), path.name


@pytest.mark.parametrize(
    ("name", "columns"),
    [("features", FEATURES), ("feature_diff", DIFF), ("feature_steering", ("alpha", "lo"))],
)
def test_a_missing_table_column_or_row_is_named(
    name: str, columns: tuple[str, ...], one: Tables, tmp_path: Path
) -> None:
    require(one, NAMES)
    others = {table: frame for table, frame in one.items() if table != name}
    with pytest.raises(InputError, match=f"figure '{name}' needs the table '{name}'"):
        draw(others, tmp_path / "out", RUN, names=NAMES)
    for column in columns:
        short = {**one, name: one[name].drop(columns=column)}
        with pytest.raises(InputError, match=rf"table '{name}' lacks the column\(s\) {column};"):
            draw(short, tmp_path / "out", RUN, names=NAMES)
    with pytest.raises(InputError, match=f"table '{name}' has no rows"):
        draw({**one, name: one[name].head(0)}, tmp_path / "out", RUN, names=NAMES)
    assert not (tmp_path / "out").exists()
