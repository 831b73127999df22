"""The figures of published replies draw their tables."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from interp.figures.published_replies import CELLS, CHANGES, ENDINGS, mip_figure, umwp_figure

SETS = ("set/one", "set/two")
MODELS = ("a", "b")


def interval(estimate: float) -> dict[str, float]:
    return {"estimate": estimate, "lo": estimate / 2, "hi": (1 + estimate) / 2}


def rates() -> pd.DataFrame:
    values = {"a": (0.9, 0.9, 0.0), "b": (0.6, 0.3, 0.5)}
    measures = ("abstains", "abstains_unboxed", "boxed_given_abstains")
    return pd.DataFrame(
        {"dataset": dataset, "arm": "missing", "model": model, "measure": measure, "n": 10}
        | interval(value)
        for dataset in SETS
        for model in MODELS
        for measure, value in zip(measures, values[model], strict=True)
    )


def noticed() -> pd.DataFrame:
    values = (0.4, 0.3, 0.2, 0.1, 0.43)
    names = [*(part.measure for part in CELLS), "answers_given_noticed"]
    return pd.DataFrame(
        {"dataset": dataset, "arm": "missing", "model": model, "notice": notice, "measure": name}
        | interval({"any": value, "early": value / 2}.get(notice, 0.0))
        for dataset in SETS
        for model in MODELS
        for notice in ("any", "missing", "early")
        for name, value in zip(names, values, strict=True)
    )


def outcomes() -> pd.DataFrame:
    values = dict(zip((part.measure for part in ENDINGS), (0.4, 0.1, 0.2, 0.2, 0.1), strict=True))
    return pd.DataFrame(
        {"arm": arm, "should_abstain": due, "of": of, "outcome": outcome} | interval(value)
        for arm in ("plain", "intervention")
        for due in (True, False)
        for of in ("all", "completed")
        for outcome, value in values.items()
        if not (due and outcome == "correct")
    )


def changes() -> pd.DataFrame:
    return pd.DataFrame(
        {"should_abstain": due, "of": of, "outcome": outcome} | interval(0.1 * (number - 2))
        for due in (True, False)
        for of in ("all", "completed")
        for number, outcome in enumerate(CHANGES)
        if not (due and outcome == "correct")
    )


def artists(figure: Figure) -> dict[str, object]:
    return {artist.get_gid(): artist for artist in figure.findobj() if artist.get_gid()}


@pytest.fixture(scope="module")
def mip() -> dict:
    return artists(mip_figure(rates(), noticed(), names={"b": "Model B", "a": "Model A"}))


@pytest.fixture(scope="module")
def umwp() -> dict:
    return artists(umwp_figure(outcomes(), changes()))


def test_rates_stand_where_the_table_has_them(mip):
    for dataset in SETS:
        point = mip[f"{dataset}|missing|b|abstains_unboxed|all"]
        assert point.get_xdata() == [0.3]
        (segment,) = mip[f"{dataset}|missing|b|abstains|all:interval"].get_segments()
        assert segment[:, 0].tolist() == [0.3, 0.8]
        # Where no reply boxes a number, one mark says both.
        assert f"{dataset}|missing|a|abstains_unboxed|all" not in mip


def test_what_notices_early_stands_beside_and_the_axes_name_length(mip):
    whole, early = (mip[f"set/one|missing|a|answers_given_noticed|{k}"] for k in ("all", "early"))
    assert (whole.get_xdata(), early.get_xdata()) == ([0.43], [0.215])
    assert early.get_markerfacecolor() == "white"
    for ax in whole.axes.figure.axes[1:]:
        assert "long replies" in ax.get_xlabel()


def test_cells_are_stacked_end_to_end(mip):
    edges = [
        (bar.get_x(), bar.get_x() + bar.get_width())
        for bar in (mip[f"set/one|missing|a|{part.measure}|all"] for part in CELLS)
    ]
    assert edges == [pytest.approx(edge) for edge in ((0, 0.4), (0.4, 0.7), (0.7, 0.9), (0.9, 1.0))]


def test_models_stand_in_the_order_of_their_names():
    figure = mip_figure(rates(), noticed(), names={"b": "Model B", "a": "Model A"})
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["Model B", "Model A"] * 2


def test_whole_problems_have_no_ratio_of_noticing():
    whole = [table.assign(arm="whole") for table in (rates(), noticed())]
    drawn = artists(mip_figure(*whole))
    assert "set/one|whole|a|abstains|all" in drawn
    assert "set/one|whole|a|answers_given_noticed|all" not in drawn


def test_endings_of_all_traces_are_stacked(umwp):
    ends = [umwp[f"False|plain|{part.measure}|all"] for part in ENDINGS]
    assert [bar.get_width() for bar in ends] == pytest.approx([0.4, 0.1, 0.2, 0.2, 0.1])
    assert ends[-1].get_x() + ends[-1].get_width() == pytest.approx(1)
    assert "True|plain|correct|all" not in umwp


def test_changes_stand_where_the_table_has_them(umwp):
    for number, outcome in enumerate(CHANGES):
        for of in ("all", "completed"):
            if outcome != "correct":
                expected = [pytest.approx(0.1 * (number - 2))]
                assert umwp[f"True|{outcome}|{of}"].get_xdata() == expected
    assert "False|correct|all" in umwp
    assert "False|answers_given_noticed|all" not in umwp
