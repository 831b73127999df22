"""The figure of the layer claim draws the tables' numbers, and says the verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from interp.figures.layers import CLAIMS, CURVES, POINTS, layers_figure
from interp.figures.style import Look
from interp.verdict.change_point import change_points
from interp.verdict.layer_claim import layer_claims
from interp.verdict.layer_curves import activation_curve, causal_curve, information_curve, of_pairs
from interp.verdict.layer_effects import graft_effects
from tests.figures.drawn import bands, intervals, lines, words
from tests.verdict.layer_tables import graft_rows, preservation_rows

LOSSES = [0.0, 0.01, 0.02, 0.1, 0.3, 0.3]
BLOCKS = [0.0, 0.05, 0.0, 0.1, 0.2, 0.4]
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


def tables_of(seeds: tuple[int, ...], targets: tuple[str, ...] = ("should_abstain",)) -> Tables:
    rng = np.random.default_rng(0)
    kept, grafts, transfer = [], [], []
    for seed in seeds:
        for target in targets:
            losses = np.array(LOSSES) + rng.normal(0, 0.005, 6)
            held = [0.5] + [0.9] * 5
            kept.append(preservation_rows(losses, seed=seed, target=target, parent_auroc=held))
            blocks = np.array(BLOCKS) + rng.normal(0, 0.02, 6)
            grafts.append(graft_rows(blocks, seed=seed, target=target))
        transfer.append(preservation_rows(rng.uniform(0, 1, 6), seed=seed).assign(measure="cka"))
    information = information_curve(pd.concat(kept), position="entity_last")
    curves = of_pairs(
        information,
        activation_curve(pd.concat(transfer), position="entity_last"),
        causal_curve(pd.concat(grafts)),
    )
    claims = layer_claims(information, graft_effects(pd.concat(grafts)))
    return curves, claims, change_points(curves)


def test_one_seed_draws_every_number_of_the_tables() -> None:
    curves, claims, points = tables_of((0,))
    figure = layers_figure(curves, claims, points)
    drawn, bars, filled = lines(figure), intervals(figure, 1), bands(figure)
    for curve, name in (
        ("information", "should_abstain:information"),
        ("activations", "activations"),
        ("causal", "should_abstain:causal"),
    ):
        rows = curves[curves["curve"] == curve]
        np.testing.assert_array_equal(
            drawn[f"child|{name}|0"], rows[["layer", "estimate"]].to_numpy().T
        )
    information = curves[curves["curve"] == "information"]
    np.testing.assert_array_equal(
        bars["child|should_abstain:information:interval|0"], information[["lo", "hi"]]
    )
    assert drawn["child|should_abstain:information:empty|0"][0].tolist() == [0]
    (claim,) = claims.to_dict("records")
    for effect in ("early", "late"):
        _, y = drawn[f"child|{effect}|mean"]
        np.testing.assert_allclose(y, claim[effect] / 3)
        heights = set(filled[f"child|{effect}:interval|all"][:, 1])
        assert heights == {claim[f"{effect}_lo"] / 3, claim[f"{effect}_hi"] / 3}
    assert claim["verdict"] in words(figure)


def test_several_seeds_show_their_mean_and_count_their_verdicts() -> None:
    curves, claims, points = tables_of((0, 1, 2))
    figure = layers_figure(curves, claims, points)
    drawn = lines(figure)
    rows = curves[curves["curve"] == "causal"]
    mean = rows.groupby("layer")["estimate"].mean()
    np.testing.assert_allclose(drawn["child|should_abstain:causal|mean"][1], mean)
    assert {f"child|should_abstain:causal|{seed}" for seed in range(3)} <= set(drawn)
    (said,) = {word for word in words(figure) if "/3" in word}
    counted = claims["verdict"].value_counts()
    assert sorted(said.split("\n")) == sorted(f"{name} {n}/3" for name, n in counted.items())


def test_a_step_is_marked_where_its_p_is_small() -> None:
    curves, claims, points = tables_of((0, 1, 2))
    steps = {row.curve: row for row in points.itertuples()}
    assert steps["causal"].p <= 0.05 < steps["activations"].p  # planted against noise
    drawn = lines(layers_figure(curves, claims, points))
    marked = {key for key in drawn if ":step" in key}
    assert marked == {
        f"child|should_abstain:{name}:step|mean" for name, row in steps.items() if row.p <= 0.05
    }
    x, _ = drawn["child|should_abstain:causal:step|mean"]
    assert set(x) == {steps["causal"].at - 0.5}


def test_a_row_for_each_target_in_the_members_colour() -> None:
    curves, claims, points = tables_of((0,), ("should_abstain", "backtracking"))
    renamed = (frame.assign(member="reason_sft") for frame in (curves, claims, points))
    figure = layers_figure(*renamed)
    assert len(figure.axes) == 6
    labels = [ax.get_ylabel() for ax in figure.axes[::3]]
    assert labels == ["reason_sft\nbacktracking", "reason_sft\nshould_abstain"]
    assert to_hex(figure.axes[0].yaxis.label.get_color()) == Look.of(
        pd.DataFrame({"member": ["reason_sft"]})
    ).color("reason_sft")
    # Activations have no target, and stand in both rows.
    assert sum(line.get_gid() == "reason_sft|activations|0" for line in figure.findobj()
               if hasattr(line, "get_xdata")) == 2  # fmt: skip


@pytest.mark.parametrize("without", ["information", "causal", "activations"])
def test_a_curve_that_was_not_measured_leaves_its_panel_empty(without: str) -> None:
    curves, claims, points = tables_of((0,))
    curves = curves[curves["curve"] != without]
    if without == "causal":
        claims = claims.assign(n_blocks=np.nan, early=np.nan, late=np.nan, verdict="undecided")
    figure = layers_figure(curves, claims, points.iloc[:0])
    figure.canvas.draw()
    assert not any(f":{without}" in key or f"|{without}|" in key for key in lines(figure))


def test_the_tables_have_what_the_figure_needs() -> None:
    for table, columns in zip(tables_of((0, 1)), (CURVES, CLAIMS, POINTS), strict=True):
        assert set(columns) <= set(table.columns)
