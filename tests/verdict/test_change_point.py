"""One step against none: the step is found, and the p keeps its promise where there is none."""

from __future__ import annotations

from itertools import permutations
from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest

from interp.errors import InputError
from interp.verdict.change_point import change_point, change_points


def gain_by_least_squares(curve_L: np.ndarray) -> tuple[float, int]:
    """The largest fall of the residual sum of squares, and where: two means against one."""

    def residual(part: np.ndarray) -> float:
        return float(((part - part.mean()) ** 2).sum())

    falls = [
        residual(curve_L) - residual(curve_L[:k]) - residual(curve_L[k:])
        for k in range(1, len(curve_L))
    ]
    return max(falls), 1 + int(np.argmax(falls))


@pytest.mark.parametrize("seed", range(5))
def test_p_of_a_curve_is_that_of_all_its_orders(seed: int) -> None:
    curve_L = np.random.default_rng(seed).normal(size=6) + np.array([0, 0, 0, 0, 1, 1])
    reached, at = gain_by_least_squares(curve_L)
    every = [gain_by_least_squares(np.array(order))[0] for order in permutations(curve_L)]
    found = change_point(curve_L[None], permute="layers")
    assert found.at == at
    assert (found.below, found.above) == pytest.approx((curve_L[:at].mean(), curve_L[at:].mean()))
    assert found.p == pytest.approx(np.mean(np.array(every) >= reached - 1e-9))


@pytest.mark.parametrize("seed", range(3))
def test_p_of_items_is_that_of_all_flips_of_groups(seed: int) -> None:
    rng = np.random.default_rng(seed)
    item_NL = rng.normal(size=(12, 5)) + rng.normal(size=(12, 1)) + np.array([0, 0, 0.6, 0.6, 0.6])
    groups = np.repeat(np.arange(6), 2)
    centred_NL = item_NL - item_NL.mean(1, keepdims=True)
    every = []
    for code in range(2**6):
        signs = np.array([1 - 2 * (code >> group & 1) for group in groups])
        every.append(gain_by_least_squares((signs[:, None] * centred_NL).mean(0))[0])
    found = change_point(item_NL, permute="items", groups=groups)
    assert found.p == pytest.approx(np.mean(np.array(every) >= every[0] - 1e-12))
    assert found.smallest_p == 2 / 2**6


@pytest.mark.parametrize(("n_rows", "n_layers"), [(3, 6), (2, 10), (1, 6), (1, 12)])
def test_p_over_layers_is_uniform_for_flat_curves(n_rows: int, n_layers: int) -> None:
    """A single curve has few groupings of its layers, so ties make its p larger, never smaller."""
    rng = np.random.default_rng(n_rows)
    p_T = [
        change_point(
            rng.normal(size=(n_rows, n_layers)) + 3, permute="layers", n_perm=800, seed=trial
        ).p
        for trial in range(300)
    ]
    if n_rows > 1:
        assert kstest(p_T, "uniform").pvalue > 0.01
    assert kstest(p_T, "uniform", alternative="greater").pvalue > 0.01


def test_p_over_items_is_uniform_where_layers_share_their_noise() -> None:
    """Noise that drifts along the layers: flips keep it whole, shuffled layers do not."""
    rng = np.random.default_rng(0)
    p_T, by_layers_T = [], []
    for trial in range(300):
        item_NL = rng.normal(size=(30, 6)).cumsum(1)
        p_T.append(change_point(item_NL, permute="items", n_perm=400, seed=trial).p)
        by_layers_T.append(change_point(item_NL.mean(0)[None], permute="layers").p)
    assert kstest(p_T, "uniform").pvalue > 0.01
    # A drift passes for a step.
    assert kstest(by_layers_T, "uniform", alternative="greater").pvalue < 1e-6


def test_a_planted_step_is_found() -> None:
    rng = np.random.default_rng(1)
    step_L = np.where(np.arange(12) < 8, 0.02, 0.5)
    found = change_point((step_L + rng.normal(0, 0.05, 12))[None], permute="layers")
    assert (found.at, found.permuted) == (8, "layers")
    assert found.p < 0.01
    assert found.above == pytest.approx(0.5, abs=0.05)
    of_items = change_point(step_L + rng.normal(0, 0.5, (40, 12)), permute="items")
    assert of_items.at == 8
    assert of_items.p < 0.01
    upside_down = change_point(-step_L[None] + rng.normal(0, 0.01, 12), permute="layers")
    assert upside_down.at == 8
    assert upside_down.above < upside_down.below


@pytest.mark.parametrize(("n_layers", "n_rows"), [(4, 1), (5, 1), (6, 1), (5, 2), (6, 2)])
def test_no_curve_has_a_smaller_p_than_is_said(n_layers: int, n_rows: int) -> None:
    middle = n_layers // 2
    step_L = np.where(np.arange(n_layers) < middle, 0.0, 1.0)
    clean = change_point(np.tile(step_L, (n_rows, 1)), permute="layers", n_perm=20_000)
    least = 2 / comb(n_layers, middle) ** n_rows
    assert clean.smallest_p == pytest.approx(least)
    assert clean.p == pytest.approx(least, rel=0.3)
    rng = np.random.default_rng(0)
    others = [
        change_point(rng.normal(size=(n_rows, n_layers)).cumsum(1), permute="layers", n_perm=2000).p
        for _ in range(40)
    ]
    assert min(others) > least * 0.5


def test_a_curve_without_any_spread_has_p_one() -> None:
    assert change_point(np.full((1, 5), 0.1), permute="layers").p == 1
    assert change_point(np.arange(3.0)[:, None] + np.zeros(5), permute="items").p == 1


@pytest.mark.parametrize("permute", ["layers", "items"])
def test_equal_seeds_give_equal_p_and_rows_order_does_not_count(permute: str) -> None:
    values_RL = np.random.default_rng(0).normal(size=(20, 9)) + np.linspace(0, 0.4, 9)
    first, again = (
        change_point(values_RL, permute=permute, n_perm=500, seed=3)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert first == again
    other = change_point(values_RL[::-1], permute=permute, n_perm=5000)  # type: ignore[arg-type]
    assert other.at == first.at
    assert other.p == pytest.approx(first.p, abs=0.07)


def curve_rows(values_SL: np.ndarray, informative: np.ndarray | bool = True) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "member": "child",
                "target": "t",
                "curve": "information",
                "layer": layer + 3,
                "estimate": value,
                "informative": bool(np.broadcast_to(informative, values_SL.shape)[seed, layer]),
            }
            for seed, row in enumerate(values_SL)
            for layer, value in enumerate(row)
        ]
    )


def test_change_points_of_a_table_are_over_its_seeds_and_name_the_layer() -> None:
    values_SL = np.random.default_rng(0).normal(size=(3, 7)) + np.where(np.arange(7) < 4, 0, 2)
    (row,) = change_points(curve_rows(values_SL)).to_dict("records")
    direct = change_point(values_SL, permute="layers")
    assert (row["p"], row["at"], row["n_seeds"]) == (direct.p, direct.at + 3, 3)


def test_layers_where_the_parent_holds_nothing_make_no_step() -> None:
    """Nothing to lose at the first layer is no step up from it."""
    values_SL = np.random.default_rng(0).normal(0.5, 0.01, size=(3, 6))
    values_SL[:, 0] = 0
    held = np.ones((3, 6), dtype=bool)
    held[1, 0] = False
    (row,) = change_points(curve_rows(values_SL, held)).to_dict("records")
    direct = change_point(values_SL[:, 1:], permute="layers")
    assert (row["p"], row["at"]) == (direct.p, direct.at + 4)
    assert row["p"] > change_points(curve_rows(values_SL)).iloc[0]["p"]
    held[:, 2:] = False
    assert change_points(curve_rows(values_SL, held)).empty


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        (np.zeros(5), {}, r"shape \(5,\); expected rows over at least 3"),
        (np.zeros((1, 2)), {}, r"shape \(1, 2\)"),
        (np.zeros((0, 5)), {}, r"shape \(0, 5\)"),
        (np.array([[0, 1, np.nan]]), {}, "row 0 has no finite value at layer 2"),
        (np.zeros((2, 3)), {"n_perm": 0}, "n_perm=0; expected at least 1"),
        (np.zeros((2, 3)), {"groups": [1, 2]}, "groups are for items"),
        (np.zeros((2, 3)), {"groups": [1], "permute": "items"}, "groups are for items"),
    ],
)
def test_bad_input_is_one_clear_error(values: np.ndarray, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        change_point(values, **{"permute": "layers", **options})


def test_a_table_without_its_columns_is_refused() -> None:
    table = curve_rows(np.zeros((1, 4)))
    with pytest.raises(InputError, match="layer curves: no column informative"):
        change_points(table.drop(columns="informative"))
    with pytest.raises(InputError, match="layer curves: no rows"):
        change_points(table.iloc[:0])
