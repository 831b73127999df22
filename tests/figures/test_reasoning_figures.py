"""The figures of a study of reasoning: every estimate of the tables is drawn, at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from interp.errors import InputError
from interp.figures.registry import REASONING_FIGURES, draw, require
from interp.figures.style import KNOWN, Look
from tests.figures.drawn import intervals, lines, words
from tests.figures.reasoning_tables import (
    BUDGETS,
    CUTS,
    HYBRIDS,
    MEMBERS,
    N_LAYERS,
    PARENT,
    STRATEGIES,
    reasoning_tables,
)
from tests.figures.tables import RUN

Tables = Mapping[str, pd.DataFrame]
# Figures of the layer claim have tests of their own.
NAMES = tuple(name for name in REASONING_FIGURES if not name.startswith("layers"))
COLUMNS = [
    (name, table, column)
    for name in NAMES
    for table, columns in REASONING_FIGURES[name].tables.items()
    for column in columns
]
FOREIGN = "tülu_$v3$"
PEOPLE = (("known", True), ("unknown", False))
ABOUT = (("problems", True), ("people", False))
ASKED = (("problem", True), ("known", False))
WHO = (("probe_soft", True), ("text", False))

# Figure -> its panels: table, what the rows are, column and values by which they are told apart.
Of = dict[str, str]
Panels = list[tuple[str, Of, str, tuple[tuple[str, bool], ...]]]
OWN = {"against": ""}
FORESTS: dict[str, Panels] = {
    "faithfulness": [
        ("information_gain", {**OWN, "measure": "gain", "arm": "own"}, "group", PEOPLE),
        ("information_gain", {**OWN, "measure": "gain", "arm": "own - shuffled"}, "group", PEOPLE),
        ("early_answering", {**OWN, "measure": "aoc"}, "group", PEOPLE),
        ("perturbed", {**OWN, "measure": "same", "arm": "mistake"}, "group", PEOPLE),
        ("perturbed", {**OWN, "measure": "same", "arm": "filler"}, "group", PEOPLE),
        ("perturbed", {**OWN, "measure": "same", "arm": "paraphrase"}, "group", PEOPLE),
        ("knowledge_index", {**OWN, "measure": "ki"}, "group", PEOPLE),
        ("knowledge_index", {**OWN, "measure": "ki_published"}, "group", PEOPLE),
        ("knowledge_index", {**OWN, "measure": "no_knowledge"}, "group", PEOPLE),
    ],
    "fast_slow": [
        *(
            ("fast_slow", {**OWN, "measure": measure}, "group", ASKED)
            for measure in ("C_KR", "A_slow", "r_c", "r_o")
        ),
        *(
            ("thinking_effect", {"effect": effect, "measure": "abstention"}, "about", ABOUT)
            for effect in ("thinking, trained", "interaction")
        ),
    ],
    "chain_strategies": [
        *(("strategies", {**OWN, "strategy": name}, "group", PEOPLE) for name in STRATEGIES),
        *(
            ("decoding_rules", {"against": "none", "arm": arm, "measure": measure}, "group", PEOPLE)
            for arm, measure in (
                ("switch penalty", "backtracking"),
                ("abstention boost", "abstains"),
                ("abstention boost", "correct"),
            )
        ),
    ],
    "noticed": [
        ("noticed", {**OWN, "measure": measure, "group": group}, "instrument", WHO)
        for measure, group in (
            ("noticed", "unknown"),
            ("noticed", "known"),
            ("answers_given_noticed", "unknown"),
        )
    ],
}


@pytest.fixture(scope="module")
def one() -> Tables:
    return reasoning_tables()


@pytest.fixture(scope="module")
def small() -> Tables:
    return reasoning_tables(members=MEMBERS[:2])


@pytest.fixture(scope="module")
def three() -> Tables:
    return reasoning_tables(seeds=(21, 22, 23))


@pytest.fixture(params=["one", "three"])
def study(request: pytest.FixtureRequest) -> Tables:
    tables: Tables = request.getfixturevalue(request.param)
    return tables


def figure_of(name: str, tables: Tables, **how: Any) -> Figure:
    spec = REASONING_FIGURES[name]
    return spec.function(*(tables[table] for table in spec.tables), **how)


DRAWN: dict[tuple[str, int], Figure] = {}


def shown_of(name: str, study: Tables) -> Figure:
    """A figure of one of the fixtures, drawn once for all tests that only look at it."""
    key = (name, id(study))
    if key not in DRAWN:
        DRAWN[key] = figure_of(name, study)
    return DRAWN[key]


def where(table: pd.DataFrame, of: Mapping[str, object]) -> pd.DataFrame:
    for column, value in of.items():
        table = table[table[column] == value]
    return table


def there(rows: pd.DataFrame, column: str = "estimate") -> pd.DataFrame:
    return rows[rows[column].notna()]


def seeds(rows: pd.DataFrame) -> list[int]:
    return sorted(rows["seed"].unique())


def points(ax: Axes) -> list[Line2D]:
    return [line for line in ax.findobj(Line2D) if line.get_gid()]


def whiskers(ax: Axes) -> dict[str, np.ndarray]:
    """Each interval's lo, hi and height, by its gid."""
    found = {}
    for bar in ax.findobj(LineCollection):
        (((lo, y), (hi, same)),) = bar.get_segments()
        assert y == same
        found[str(bar.get_gid())] = np.array([lo, hi, y])
    return found


def check_forest(
    ax: Axes, rows: pd.DataFrame, row_names: list[str], *, row: str, filled: bool, mine: list[str]
) -> None:
    """Exactly the rows' estimates are drawn, with their intervals, each in its own row.

    Args:
        ax: the panel.
        rows: columns seed, `row`, estimate, lo, hi; one row a seed and row name.
        row_names: of the panel, from the top.
        row: column that names the row.
        filled: whether marks are.
        mine: gids of the panel that belong to the rows.
    """
    known, bars = there(rows), whiskers(ax)
    alone = rows["seed"].nunique() == 1
    drawn = {str(line.get_gid()): line for line in points(ax) if line.get_gid() in mine}
    assert len(drawn) == len(known) + (0 if alone else known[row].nunique())
    for name, of in known.groupby(row):
        place = row_names.index(str(name))
        by_seed = {
            key.rpartition("|")[2]: line
            for key, line in drawn.items()
            if key.startswith(f"{name}|")
        }
        assert set(by_seed) == {str(s) for s in of["seed"]} | (set() if alone else {"mean"})
        for at in of.itertuples():
            line = by_seed[str(at.seed)]
            key = str(line.get_gid()).rpartition("|")[0] + f":interval|{at.seed}"
            assert line.get_xdata()[0] == at.estimate
            assert bars[key].tolist() == [at.lo, at.hi, line.get_ydata()[0]]
            assert abs(line.get_ydata()[0] - place) < 0.5
        front = by_seed["0" if alone else "mean"]
        np.testing.assert_allclose(front.get_xdata()[0], of["estimate"].mean())
        assert (front.get_markerfacecolor() == "white") is not filled


@pytest.mark.parametrize("name", FORESTS)
def test_forests_draw_every_estimate_of_their_members_and_no_other(
    name: str, study: Tables
) -> None:
    figure = shown_of(name, study)
    panels = [ax for ax in figure.axes if ax.get_visible()]
    for ax, (table, of, split, series) in zip(panels, FORESTS[name], strict=True):
        rows = where(study[table], of)
        assert len(rows)
        rows = rows[rows[split].isin([value for value, _ in series])]
        assert set(rows["member"]) >= set(MEMBERS) - {PARENT}
        heights = []
        for value, filled in series:
            end = f":{value}|"
            mine = [str(p.get_gid()) for p in points(ax) if end in str(p.get_gid())]
            check_forest(
                ax, where(rows, {split: value}), list(MEMBERS), row="member", filled=filled,
                mine=mine,
            )  # fmt: skip
            heights.append(np.mean([p.get_ydata()[0] for p in points(ax) if p.get_gid() in mine]))
        known = there(rows)
        n_means = 0 if len(seeds(rows)) == 1 else len(known.groupby(["member", split]))
        assert len(points(ax)) == len(known) + n_means  # nothing else
        if known["member"].nunique() == rows["member"].nunique():
            assert heights == sorted(heights)  # the first of two series above the second
    for first in panels[::3]:
        assert [label.get_text() for label in first.get_yticklabels()] == list(MEMBERS)


@pytest.mark.parametrize(
    ("name", "panel", "member", "series"),
    [
        ("faithfulness", 6, PARENT, "unknown"),
        ("fast_slow", 2, "reason_rl", "known"),
        ("noticed", 2, "replaced", "text"),
        ("noticed", 2, "replaced", "probe_soft"),
        ("fast_slow", 4, PARENT, "people"),
    ],
)
def test_a_share_of_nothing_has_a_row_and_no_point(
    name: str, panel: int, member: str, series: str, study: Tables
) -> None:
    ax = shown_of(name, study).axes[panel]
    assert not any(f"{member}|" in str(p.get_gid()) and f":{series}|" in str(p.get_gid())
                   for p in ax.findobj() if p.get_gid())  # fmt: skip
    assert len(ax.get_yticks()) == len(MEMBERS)


def check_lines(
    figure: Figure, rows: pd.DataFrame, key: str, x: str, value: str, bounds: list[str] | None
) -> float:
    """A member's line in every seed, and its mean; returns how far it is shifted."""
    drawn, bars = lines(figure), intervals(figure, 1)
    shifts = []
    by_seed = {seed: of.sort_values(x) for seed, of in rows.groupby("seed")}
    for seed, of in by_seed.items():
        at, height = drawn[f"{key}|{seed}"]
        np.testing.assert_array_equal(height, of[value])
        shifts += (at - of[x]).tolist()
        if bounds and len(by_seed) == 1:
            np.testing.assert_array_equal(bars[f"{key}:interval|{seed}"], of[bounds])
    if len(by_seed) > 1:
        at, height = drawn[f"{key}|mean"]
        np.testing.assert_allclose(height, rows.groupby(x)[value].mean())
        shifts += (at - sorted(rows[x].unique())).tolist()
    np.testing.assert_allclose(shifts, shifts[0], atol=1e-12)
    return shifts[0]


def test_budgets_draw_every_arm_in_the_order_of_the_table(study: Tables) -> None:
    figure = shown_of("budgets", study)
    alone = where(study["budgets"], OWN)
    alone = alone.assign(place=alone["arm"].map(BUDGETS.index))
    shifts = []
    for measure in ("accuracy", "abstention"):
        for member, rows in where(alone, {"measure": measure}).groupby("member"):
            key = f"{member}|{measure}"
            shifts.append(check_lines(figure, rows, key, "place", "estimate", ["lo", "hi"]))
    assert len(set(np.round(shifts, 9))) == len(MEMBERS)  # intervals do not cover each other
    assert np.abs(shifts).max() < 0.25
    curves = where(study["early_curve"], OWN)
    for (member, group), rows in curves.groupby(["member", "group"]):
        key = f"{member}|early:{group}"
        shift = check_lines(figure, rows, key, "fraction", "estimate", ["lo", "hi"])
        assert abs(shift) < (CUTS[1] - CUTS[0]) / 4
    n_drawn = 1 if len(seeds(alone)) == 1 else 4
    assert len(lines(figure)) == 4 * len(MEMBERS) * n_drawn
    for ax in figure.axes[:2]:
        ticks = [label.get_text() for label in ax.get_xticklabels()]
        assert ticks == ["0", "5", "8", "11", "14", "natural", "+1", "+2"]


def test_directions_draw_the_childs_cosine_with_its_parent_and_the_effect(study: Tables) -> None:
    figure = shown_of("strategy_directions", study)
    cosines = study["strategy_cosines"]
    layer = cosines["site"].str.removeprefix("resid_post.").astype(int)
    between = cosines.assign(layer=layer).query("source_a == 'base' and source_b != 'base'")
    expected = 0
    for strategy in STRATEGIES:
        same = where(between, {"label_a": strategy, "label_b": strategy})
        for child, rows in same.groupby("source_b"):
            key = f"{child}|{strategy}:cosine"
            check_lines(figure, rows, key, "layer", "corrected", None)
            expected += 1
        for member, rows in where(study["strategy_layers"], {"strategy": strategy}).groupby(
            "member"
        ):
            key = f"{member}|{strategy}:exact"
            shift = check_lines(figure, rows, key, "layer", "exact", ["exact_lo", "exact_hi"])
            assert abs(shift) < 0.25
            expected += 1
    n_drawn = 1 if len(seeds(cosines)) == 1 else 4
    assert len(lines(figure)) == expected * n_drawn
    # The parent has no cosine with itself, and one member no direction of one strategy.
    assert expected == len(STRATEGIES) * (2 * len(MEMBERS) - 1) - 1
    titles = [
        ax.get_title(loc="left").lower().replace("\n", "-") for ax in figure.axes[: len(STRATEGIES)]
    ]
    assert titles == sorted(STRATEGIES)
    assert figure.axes[0].get_xlim()[1] > N_LAYERS - 1


def test_steering_draws_each_strategy_on_itself_over_the_random_directions(study: Tables) -> None:
    figure = shown_of("strategy_steering", study)
    steering = study["strategy_steering"]
    names = {"change": "estimate", "change_lo": "lo", "change_hi": "hi"}
    for ax, strategy in zip(figure.axes, sorted(STRATEGIES), strict=True):
        assert ax.get_title(loc="left").lower().replace("\n", "-") == strategy
        itself = where(steering, {"steered": strategy, "measure": strategy})
        bars, heights = whiskers(ax), []
        for coefficient in (1.0, -1.0):
            of = where(itself, {"coefficient": coefficient})
            series = f"{strategy}:{coefficient:g}"
            mine = [str(p.get_gid()) for p in points(ax) if f"|{series}|" in str(p.get_gid())]
            steered = where(of, {"kind": "strategy"}).drop(columns=["estimate", "lo", "hi"])
            check_forest(
                ax, steered.rename(columns=names), list(MEMBERS), row="member",
                filled=coefficient > 0, mine=mine,
            )  # fmt: skip
            for place, member in enumerate(MEMBERS):
                null = where(of, {"kind": "random", "member": member})["change"]
                low, high, y = bars[f"{member}|{series}:random|all"]
                np.testing.assert_allclose([low, high], np.quantile(null, [0.05, 0.95]))
                heights.append(y - place)
        assert np.ptp(heights[: len(MEMBERS)]) < 1e-9
        assert heights[0] < 0 < heights[-1]  # up is above down
    shown = words(figure)
    assert {"steered towards it", "steered away", "90% of random directions"} <= set(shown)


def test_more_doses_stand_in_rows_of_their_own(one: Tables) -> None:
    steering = one["strategy_steering"]
    twice = steering[steering["coefficient"] != 0]
    twice = twice.assign(coefficient=2 * twice["coefficient"])
    figure = figure_of("strategy_steering", {"strategy_steering": pd.concat([steering, twice])})
    for ax in figure.axes:
        heights = {round(p.get_ydata()[0], 6) for p in points(ax)}
        assert len(heights) == 4 * len(MEMBERS)


def test_random_directions_that_label_nothing_leave_no_band(one: Tables) -> None:
    steering = one["strategy_steering"]
    nothing = steering.assign(change=steering["change"].where(steering["kind"] != "random"))
    figure = figure_of("strategy_steering", {"strategy_steering": nothing})
    assert not any(":random|" in key for key in intervals(figure, 0))


def test_hybrids_draw_every_arm_of_every_child_in_either_group(study: Tables) -> None:
    figure = shown_of("hybrid", study)
    children = [member for member in MEMBERS if member != PARENT]
    assert len(figure.axes) == 2 * len(children)
    names = {"accuracy": "estimate", "accuracy_lo": "lo", "accuracy_hi": "hi"}
    for number, ax in enumerate(figure.axes):
        child, group = children[number % len(children)], ("known", "unknown")[number // 5]
        rows = where(study["hybrid"], {"member": child, "group": group}).rename(columns=names)
        assert len(rows) == len(HYBRIDS) * len(seeds(rows))
        mine = [str(p.get_gid()) for p in points(ax)]
        check_forest(ax, rows, list(HYBRIDS), row="arm", filled=True, mine=mine)
        assert {to_hex(p.get_color()) for p in points(ax)} == {Look.of(rows.assign(
            member=pd.Categorical([child] * len(rows)))).color(child)}  # fmt: skip
        assert ax.get_title(loc="left") == (child if group == "known" else "")
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks[:3] == ["parent", "child", "hybrid"]
    assert len(ticks) == len(HYBRIDS)


def test_arms_that_were_not_run_take_no_row(one: Tables) -> None:
    few = one["hybrid"][one["hybrid"]["arm"].isin(["think", "base"])]
    ax = figure_of("hybrid", {"hybrid": few}).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["parent", "child"]


@pytest.mark.parametrize("name", NAMES)
def test_members_keep_their_style_and_all_are_named(name: str, one: Tables) -> None:
    figure = shown_of(name, one)
    main = one[next(iter(REASONING_FIGURES[name].tables))]
    shown = words(figure)
    for member in main["member"].unique():
        assert member in shown
    colors = {}
    for line in figure.findobj(Line2D):
        member = str(line.get_gid()).split("|")[0]
        if member in MEMBERS and name != "hybrid":  # whose rows are arms
            colors.setdefault(member, set()).add(to_hex(line.get_color()))
    for member, found in colors.items():
        assert len(found) == 1
        if member != FOREIGN:
            assert found == {KNOWN[member][0]}


@pytest.mark.parametrize("name", NAMES)
def test_the_callers_look_is_taken_and_tables_and_settings_stay(name: str, small: Tables) -> None:
    before = {table: frame.copy(deep=True) for table, frame in small.items()}
    settings = dict(mpl.rcParams)
    look = Look({member: ("#123456", "x") for member in reversed(MEMBERS)})
    figure = figure_of(name, small, look=look)
    assert dict(mpl.rcParams) == settings
    for table, frame in small.items():
        pd.testing.assert_frame_equal(frame, before[table])
    drawn = [line for line in figure.findobj(Line2D) if line.get_gid()]
    assert {to_hex(line.get_color()) for line in drawn} == {"#123456"}


def tick_labels(figure: Figure) -> Iterator[list[Text]]:
    for ax in figure.axes:
        if ax.get_visible():
            low, high = ax.get_xlim()
            labels = ax.get_xticklabels()
            yield [label for label in labels if low <= label.get_position()[0] <= high]


@pytest.mark.parametrize(
    ("name", "scale"), [*((name, 1.0) for name in NAMES), ("strategy_steering", 0.03)]
)
def test_all_lies_within_the_page_and_texts_apart(name: str, scale: float, one: Tables) -> None:
    tables = dict(one)
    # Small changes have longer tick labels.
    tables["strategy_steering"] = tables["strategy_steering"].assign(
        **{c: scale * tables["strategy_steering"][c] for c in ("change", "change_lo", "change_hi")}
    )
    figure = figure_of(name, tables)
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    panels = [ax for ax in figure.axes if ax.get_visible()]
    heads = [text for ax in panels for text in ax.get_children() if isinstance(text, Text)]
    heads += [label for ax in panels for label in (ax.xaxis.label, ax.yaxis.label)]
    heads += [label for labels in tick_labels(figure) for label in labels]
    heads += [text for legend in figure.legends for text in legend.get_texts()]
    boxes = [head.get_window_extent() for head in heads if head.get_text()]
    for first, second in combinations(boxes, 2):
        assert not first.overlaps(second)
    for ax in panels:
        assert points(ax)  # no panel is empty


@pytest.mark.parametrize("name", ["budgets", "strategy_directions", "hybrid"])
def test_a_lineage_of_ten_fits_the_page(name: str) -> None:
    figure = figure_of(name, reasoning_tables(members=tuple(KNOWN)))
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_needs_no_column_but_those_it_names(name: str, small: Tables) -> None:
    spec = REASONING_FIGURES[name]
    short = {table: small[table][list(columns)] for table, columns in spec.tables.items()}
    assert_same(figure_of(name, short), shown_of(name, small))


def assert_same(first: Figure, second: Figure) -> None:
    ours, theirs = lines(first), lines(second)
    assert set(ours) == set(theirs)
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_drawing_twice_gives_the_same_bytes(small: Tables, tmp_path: Path) -> None:
    names = ("noticed", "budgets", "strategy_steering", "hybrid")  # one of each way of drawing
    first = draw(small, tmp_path / "first", RUN, names=names)
    again = draw(small, tmp_path / "again", RUN, names=names)
    wanted = {f"{name}.{kind}" for name in names for kind in ("pdf", "png")}
    assert {path.name for path in first} == wanted | {f"{table}.csv" for table in small}
    for path, same in zip(first, again, strict=True):
        assert path.name == same.name
        assert path.read_bytes() == same.read_bytes(), path.name


@pytest.mark.parametrize(("name", "table", "column"), COLUMNS)
def test_a_missing_column_is_named(name: str, table: str, column: str, one: Tables) -> None:
    short = {**one, table: one[table].drop(columns=column)}
    said = rf"figure '{name}': table '{table}' lacks the column\(s\) {column};"
    with pytest.raises(InputError, match=said):
        require(short, [name])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_empty_table_is_named_and_nothing_is_written(
    name: str, one: Tables, tmp_path: Path
) -> None:
    require(one, [name])
    for table in REASONING_FIGURES[name].tables:
        others = {key: frame for key, frame in one.items() if key != table}
        with pytest.raises(InputError, match=f"figure '{name}' needs the table '{table}'"):
            draw(others, tmp_path / "out", RUN, names=[name])
        with pytest.raises(InputError, match=f"table '{table}' has no rows"):
            draw({**one, table: one[table].head(0)}, tmp_path / "out", RUN, names=[name])
    assert not (tmp_path / "out").exists()


def test_every_figure_has_a_caption_that_says_its_intervals() -> None:
    for name, spec in REASONING_FIGURES.items():
        assert spec.caption.endswith("."), name
        assert "intervals" in spec.caption, name
