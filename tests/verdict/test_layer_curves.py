"""Curves by depth and effects of blocks: planted ones come back, and nothing else is drawn in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from interp.errors import InputError
from interp.stats import Interval
from interp.verdict.layer_curves import (
    COLUMNS,
    activation_curve,
    causal_curve,
    information_curve,
    of_pairs,
    weight_curve,
)
from interp.verdict.layer_effects import graft_effects, minus, paired_effects, patch_effects
from tests.verdict.layer_tables import N_LAYERS, graft_rows, items_of, preservation_rows

LOSSES = [0.01, 0.02, 0.0, 0.1, 0.3, -0.04]
BLOCKS = [0.0, 0.05, 0.0, 0.1, 0.2, 0.4]


def effects_of(table: pd.DataFrame) -> dict[str, Interval]:
    return {row.effect: Interval(row.estimate, row.lo, row.hi) for row in table.itertuples()}


def test_information_lost_is_the_parents_less_the_childs() -> None:
    table = pd.concat(
        [
            preservation_rows(LOSSES, half_width=0.03),
            preservation_rows([9.0] * 6, position="last_prompt"),
            preservation_rows([9.0] * 6, site="mlp_out"),
            preservation_rows([0.0] * 6, member="base"),
        ]
    )
    curve = information_curve(table, position="entity_last")
    assert curve.columns.tolist() == list(COLUMNS)
    assert curve["layer"].tolist() == list(range(N_LAYERS))
    np.testing.assert_allclose(curve["estimate"], LOSSES)
    np.testing.assert_allclose(curve["lo"], np.array(LOSSES) - 0.03)
    np.testing.assert_allclose(curve["hi"], np.array(LOSSES) + 0.03)
    assert curve["informative"].all()


def test_a_layer_is_informative_where_the_parent_is_above_its_control() -> None:
    table = preservation_rows([0.0] * 6, parent_auroc=[0.3, 0.5, 0.54, 0.56, 0.7, 0.9])
    curve = information_curve(table, position="entity_last")
    assert curve["informative"].tolist() == [False] * 3 + [True] * 3
    said = information_curve(table.assign(informative=True), position="entity_last")
    assert said["informative"].all()


def test_changes_of_weights_and_activations_by_layer() -> None:
    changes = pd.DataFrame(
        [
            {"seed": 0, "member": "child", "parent": "base", "layer": layer, "part": part}
            | {"change": 0.1 * layer + (0.01 if part == "mlp" else 0)}
            for layer, part in [(-1, "embedding"), (0, "all"), (0, "mlp"), (1, "all"), (2, "head")]
        ]
    )
    assert weight_curve(changes)[["layer", "estimate"]].to_numpy().tolist() == [[0, 0], [1, 0.1]]
    assert weight_curve(changes, part="mlp")["estimate"].tolist() == [0.01]
    transfer = pd.DataFrame(
        [
            {"seed": 0, "member": member, "parent": "base", "target": target, "site": "resid_post"}
            | {
                "layer": layer,
                "position": position,
                "measure": measure,
                "estimate": 0.9 - layer / 9,
            }
            for member in ("child", "base")
            for target in ("should_abstain", "doubt")
            for position in ("entity_last", "last_prompt")
            for measure in ("cka", "auroc")
            for layer in (-1, 0, 1)
        ]
    )
    curve = activation_curve(transfer, position="entity_last")
    np.testing.assert_allclose(curve["estimate"], [0.1, 0.1 + 1 / 9])
    assert set(curve["target"]) == {""}
    assert set(curve["member"]) == {"child"}


def test_effects_of_blocks_that_add_up_come_back() -> None:
    curve = causal_curve(graft_rows(BLOCKS))
    np.testing.assert_allclose(curve["estimate"], BLOCKS, atol=1e-12)
    assert curve[["lo", "hi"]].isna().all(axis=None)
    found = effects_of(graft_effects(graft_rows(BLOCKS, half_width=0.02)))
    assert found["early"].estimate == pytest.approx(0.05)
    assert found["late"].estimate == pytest.approx(0.7)
    assert found["difference"].estimate == pytest.approx(0.65)
    for value in found.values():
        assert (value.lo, value.hi) == pytest.approx((value.estimate - 0.04, value.estimate + 0.04))


def test_effects_that_do_not_add_up_still_sum_to_what_was_lost() -> None:
    """Whatever the grafts in between do, the blocks' effects sum to the child's loss."""
    grafts = graft_rows(BLOCKS)
    between = grafts["n_layers"].between(1, N_LAYERS - 1)
    noise = np.random.default_rng(0).normal(0, 0.3, between.sum())
    grafts.loc[between, "estimate"] += noise
    assert causal_curve(grafts)["estimate"].sum() == pytest.approx(sum(BLOCKS))


@pytest.mark.parametrize(("n_layers", "n_blocks", "size"), [(6, None, 3), (7, None, 3), (7, 2, 2)])
def test_as_many_blocks_on_either_side(n_layers: int, n_blocks: int | None, size: int) -> None:
    blocks = list(np.random.default_rng(1).normal(size=n_layers))
    table = graft_effects(graft_rows(blocks), n_blocks=n_blocks)
    assert set(table["n_blocks"]) == {size}
    found = effects_of(table)
    assert found["early"].estimate == pytest.approx(sum(blocks[:size]))
    assert found["late"].estimate == pytest.approx(sum(blocks[-size:]))


@pytest.mark.parametrize("correlation", [-1.0, 0.0, 0.9])
def test_a_difference_covers_whatever_its_sides_share(correlation: float) -> None:
    rng = np.random.default_rng(0)
    a_T, noise_T = rng.normal(size=(2, 4000))
    b_T = 2 * (correlation * a_T + np.sqrt(1 - correlation**2) * noise_T)
    z = norm.ppf(0.975)
    covered = [
        difference.lo <= 0 <= difference.hi
        for a, b in zip(a_T, b_T, strict=True)
        for difference in [minus(Interval(a, a - z, a + z), Interval(b, b - 2 * z, b + 2 * z))]
    ]
    assert np.mean(covered) > 0.945
    if correlation == -1:
        assert np.mean(covered) < 0.955  # the worst there is, and no wider than that


def test_a_difference_of_lopsided_intervals_keeps_each_end() -> None:
    found = minus(Interval(1.0, 0.9, 1.3), Interval(0.2, 0.0, 0.25))
    assert (found.estimate, found.lo, found.hi) == pytest.approx((0.8, 0.65, 1.3))


def test_paired_effects_are_differences_of_j_and_narrower() -> None:
    items = items_of()

    def j(name: str) -> float:
        unknown = items["should_abstain"]
        return items.loc[unknown, name].mean() - items.loc[~unknown, name].mean()

    found = paired_effects(items, unit="entity", n_boot=400)
    assert found["early"].estimate == pytest.approx(j("parent") - j("lower"))
    assert found["late"].estimate == pytest.approx(j("parent") - j("upper"))
    assert found["difference"].estimate == pytest.approx(j("lower") - j("upper"))
    assert found["difference"].lo < 0.3 < found["difference"].hi
    marginal = 2 * 1.96 * np.sqrt(2 * 0.15**2 / 200)  # two half-widths, each J by itself
    assert found["difference"].hi - found["difference"].lo < marginal / 3


def test_paired_effects_cover_the_truth() -> None:
    covered = []
    for trial in range(60):
        found = paired_effects(items_of(60, seed=trial), unit="entity", n_boot=200)["difference"]
        covered.append(found.lo <= 0.3 <= found.hi)
    assert np.mean(covered) > 0.85


def patch_rows(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"seed": 0, "member": "child", "layer": layer, "estimate": value}
            | {"lo": value - 0.02 * (1 + layer), "hi": value + 0.02 * (1 + layer)}
            for layer, value in enumerate(values)
        ]
    )


def test_patches_of_single_layers_are_averaged_on_either_side() -> None:
    found = effects_of(patch_effects(patch_rows(BLOCKS), N_LAYERS))
    assert found["early"].estimate == pytest.approx(np.mean(BLOCKS[:3]))
    assert found["late"].estimate == pytest.approx(np.mean(BLOCKS[3:]))
    assert found["late"].hi - found["late"].estimate == pytest.approx(0.02 * 5)
    assert found["difference"].hi - found["difference"].estimate == pytest.approx(0.02 * 7)
    assert causal_curve(patch_rows(BLOCKS))["estimate"].tolist() == BLOCKS


def test_pairs_are_those_of_the_information_curve() -> None:
    information = information_curve(preservation_rows(LOSSES), position="entity_last")
    grafts = pd.concat([graft_rows(BLOCKS), graft_rows([0.0] * 6, member="base")])
    curves = of_pairs(information, causal_curve(grafts))
    assert set(curves["member"]) == {"child"}
    assert set(curves["parent"]) == {"base"}
    assert curves.groupby("curve").size().to_dict() == {"information": 6, "causal": 6}
    with pytest.raises(InputError, match="one curve stands in two of the tables"):
        of_pairs(information, information)
    with pytest.raises(InputError, match="causal curve: none of the members child"):
        of_pairs(information, causal_curve(graft_rows(BLOCKS, member="other")))


def test_bad_tables_are_one_clear_error() -> None:
    table = preservation_rows(LOSSES)
    for change, said in (
        (
            {"position": "last_prompt"},
            "no position 'last_prompt' in the preservation table; it has",
        ),
        ({"position": "entity_last", "site": "mlp_out"}, "no site 'mlp_out'"),
    ):
        with pytest.raises(InputError, match=said):
            information_curve(table, **change)
    for bad, said in (
        (table.drop(columns="lo"), "preservation table: no column lo"),
        (table.drop(columns="control"), "preservation table: no column control"),
        (table.iloc[:0], "preservation table: no rows"),
        (table[table["member"] == "base"], "preservation table: no rows"),
        (pd.concat([table, table]), "child .* has layer 0 twice"),
    ):
        with pytest.raises(InputError, match=said):
            information_curve(bad, position="entity_last")
    grafts = graft_rows(BLOCKS)
    missing = grafts[(grafts["part"] == "lower") | (grafts["n_layers"] != 3)]
    with pytest.raises(InputError, match=r"upper grafts of \[0, 1, 2, 4, 5, 6\] blocks"):
        causal_curve(missing)
    with pytest.raises(InputError, match="graft table: no column part"):
        graft_effects(grafts.drop(columns="part"))
    for n_blocks in (0, 4):
        with pytest.raises(InputError, match=f"{n_blocks} blocks a side of 6; expected 1 to 3"):
            graft_effects(grafts, n_blocks=n_blocks)
    with pytest.raises(InputError, match=r"layers \[3, 4\] of \[3, 4, 5\]"):
        patch_effects(patch_rows(BLOCKS[:5]), N_LAYERS)
    empty = pd.DataFrame({"seed": [], "member": [], "parent": [], "layer": [], "part": []})
    with pytest.raises(InputError, match="weight changes: no column change"):
        weight_curve(empty)


@pytest.mark.parametrize("column", ["parent", "lower", "upper"])
def test_bad_items_are_one_clear_error(column: str) -> None:
    items = items_of(20)
    with pytest.raises(InputError, match=f"graft items: no column {column}"):
        paired_effects(items.drop(columns=column), unit="entity")
    with pytest.raises(InputError, match="both classes of should_abstain and finite values"):
        paired_effects(items.assign(**{column: np.nan}), unit="entity")
    with pytest.raises(InputError, match="both classes"):
        paired_effects(items[items["should_abstain"]], unit="entity")
