"""The figure of repairs draws the table: every strength, what was chosen, and the frontier."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from interp.figures.repairs import COMPETING, NULLS, WAYS, frontier, repairs_figure
from tests.figures.drawn import intervals, lines, words

MEMBERS = ("reason_sft_upper", "replaced")


def repairs_of(seeds: tuple[int, ...], members: tuple[str, ...] = MEMBERS) -> pd.DataFrame:
    """Three strengths of every method, the second one chosen."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in seeds:
        for member in members:
            for number, method in enumerate(("none", "parent", *WAYS, *NULLS)):
                for strength in range(1 if method in ("none", "parent") else 3):
                    cost = 0.03 * strength * number + rng.normal(0, 0.005)
                    restored = 0.2 * strength + rng.normal(0, 0.05)
                    rows.append(
                        {
                            "seed": seed,
                            "member": member,
                            "parent": "base",
                            "method": method,
                            "strength": float(strength),
                            "chosen": method not in ("none", "parent") and strength == 1,
                            "restored": restored,
                            "restored_lo": restored - 0.05,
                            "restored_hi": restored + 0.04,
                            "cost": cost,
                            "cost_lo": cost - 0.01,
                            "cost_hi": cost + 0.02,
                        }
                    )
    return pd.DataFrame(rows)


def test_one_seed_draws_every_strength_and_the_chosen_one_with_its_intervals() -> None:
    table = repairs_of((0,))
    figure = repairs_figure(table)
    drawn, wide, high = lines(figure), intervals(figure, 0), intervals(figure, 1)
    for (member, method), rows in table.groupby(["member", "method"]):
        if method == "none":
            continue
        np.testing.assert_array_equal(
            drawn[f"{member}|{method}|mean"], rows[["cost", "restored"]].to_numpy().T
        )
        for row in rows[rows["chosen"]].itertuples():
            at = drawn[f"{member}|{method}:chosen|0"]
            np.testing.assert_array_equal(at[:, 0], [row.cost, row.restored])
            np.testing.assert_array_equal(
                wide[f"{member}|{method}:cost|0"], [[row.cost_lo, row.cost_hi]]
            )
            np.testing.assert_array_equal(
                high[f"{member}|{method}:restored|0"], [[row.restored_lo, row.restored_hi]]
            )
    assert {way.name for way in (*WAYS.values(), *NULLS.values())} <= set(words(figure))


def test_several_seeds_show_means_by_strength_and_each_choice() -> None:
    table = repairs_of((0, 1, 2))
    # One seed chose another strength: means are over what was chosen.
    other = (table["seed"] == 2) & (table["method"] == "rule")
    table.loc[other, "chosen"] = table.loc[other, "strength"] == 2
    drawn = lines(repairs_figure(table))
    rows = table[(table["member"] == "replaced") & (table["method"] == "rule")]
    mean = rows.groupby("strength")[["cost", "restored"]].mean()
    np.testing.assert_allclose(drawn["replaced|rule|mean"], mean.to_numpy().T)
    chosen = rows[rows["chosen"]]
    np.testing.assert_allclose(
        drawn["replaced|rule:chosen|mean"][:, 0], chosen[["cost", "restored"]].mean()
    )
    for row in chosen.itertuples():
        at = drawn[f"replaced|rule:chosen|{row.seed}"][:, 0]
        np.testing.assert_array_equal(at, [row.cost, row.restored])


def test_members_that_lost_nothing_have_no_panel() -> None:
    table = repairs_of((0,))
    limits = ["restored", "restored_lo", "restored_hi"]
    table.loc[table["member"] == "replaced", limits] = np.nan
    assert not [name for name in lines(repairs_figure(table)) if name.startswith("replaced|")]
    table[limits] = np.nan
    assert not lines(repairs_figure(table))


def test_the_frontier_leaves_out_nulls_and_grafts() -> None:
    table = repairs_of((0,), ("replaced",))
    best = table["method"].isin(["random", "graft"])
    table.loc[best, ["restored", "cost"]] = [1.0, -0.1]
    x, y = lines(repairs_figure(table))["replaced|frontier|mean"]
    own = table[table["method"].isin(COMPETING)]
    assert x.min() == own["cost"].min()
    assert y.max() == own["restored"].max()


@given(points=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_frontier_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    """Against the definition: no point is as cheap and restores as much, but for twins."""
    table = pd.DataFrame(points, columns=["cost", "restored"]).astype(float)
    expected = {
        (c, r) for c, r in points if not any((d <= c and s >= r) for d, s in set(points) - {(c, r)})
    }
    found = list(zip(*(frontier(table)[name] for name in ("cost", "restored")), strict=True))
    assert len(found) == len(expected)
    assert set(found) == expected
