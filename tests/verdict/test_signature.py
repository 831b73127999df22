"""The signature holds the tables' numbers, and crossings and centres counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.errors import InputError
from interp.verdict.signature import COLUMNS, signature_table
from tests.verdict.objective_tables import RECALL, SEEDS, objective_tables

KEY = {"seed": 21, "member": "a", "parent": "base"}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return objective_tables()


def value(table: pd.DataFrame, group: str, measure: str, seed: int = 21, member: str = "a"):
    (row,) = table.query(
        "seed == @seed and member == @member and group == @group and measure == @measure"
    ).itertuples()
    return row


def test_one_row_for_each_seed_member_and_measure(tables) -> None:
    found = signature_table(tables)
    assert list(found.columns) == list(COLUMNS)
    assert not found.duplicated(["seed", "member", "group", "measure"]).any()
    assert set(found["member"]) == set(RECALL)
    assert set(found["seed"]) == set(SEEDS)
    assert found["text"].ne("").eq(found["group"] == "verdict").all()


def test_numbers_are_those_of_the_tables(tables) -> None:
    found = signature_table(tables)
    behavior = tables["behavior"].query("seed == 22 and member == 'rl_binary'")
    for measure, group, named in (
        ("recall", "unknown", "abstain_rate"),
        ("over_abstention", "known", "abstain_rate"),
        ("accuracy", "known", "accuracy"),
        ("dprime", "all", "dprime"),
    ):
        rows = behavior[(behavior["group"] == group) & (behavior["measure"] == named)]
        (source,) = rows.itertuples()
        row = value(found, "behaviour", measure, 22, "rl_binary")
        assert (row.estimate, row.lo, row.hi) == (source.estimate, source.lo, source.hi)
    (source,) = (
        tables["calibration"]
        .query(
            "seed == 22 and member == 'rl_brier' and source == 'chain of thought, stated' "
            "and measure == 'brier'"
        )
        .itertuples()
    )
    assert value(found, "stated", "brier", 22, "rl_brier").estimate == source.estimate
    (source,) = (
        tables["relearn"]
        .query("seed == 22 and member == 'lora' and scope == 'upper' and n_examples == 8")
        .itertuples()
    )
    assert value(found, "relearning", "8, upper", 22, "lora").hi == source.ratio_hi
    assert value(found, "verdict", "verdict", 22, "repurposed").text == "REPURPOSED"


def test_the_other_mode_is_read_where_it_is_asked_for(tables) -> None:
    direct = signature_table({"calibration": tables["calibration"]}, mode="direct")
    table = tables["calibration"].query("source == 'direct answer, sequence probability'")
    rows = direct[direct["group"] == "sequence probability"]
    assert len(rows) == len(table)
    assert signature_table({"behavior": tables["behavior"]}, mode="direct").empty


def test_abstention_and_signal_stand_in_for_behaviour() -> None:
    abstention = pd.DataFrame(
        [{"seed": 21, "member": "a", "mode": "cot", "measure": "recall", "estimate": 0.4,
          "lo": 0.3, "hi": 0.5}]
    )  # fmt: skip
    signal = pd.DataFrame(
        [{"seed": 21, "member": "a", "mode": "cot", "measure": "dprime", "child": 1.5,
          "child_lo": 1.2, "child_hi": 1.8, "estimate": -2.0, "lo": -2.2, "hi": -1.8}]
    )  # fmt: skip
    found = signature_table({"abstention": abstention, "signal": signal})
    assert value(found, "behaviour", "recall").estimate == 0.4
    row = value(found, "behaviour", "dprime")
    assert (row.estimate, row.lo, row.hi) == (1.5, 1.2, 1.8)
    behavior = pd.DataFrame(
        [{**abstention.iloc[0], "group": "unknown", "measure": "abstain_rate", "estimate": 0.6}]
    )
    both = signature_table({"abstention": abstention, "behavior": behavior})
    assert value(both, "behaviour", "recall").estimate == 0.6


def test_the_centre_of_change_is_the_weighted_mean_block() -> None:
    rows = [
        {**KEY, "layer": layer, "part": part, "change": change}
        for layer, change in ((0, 0.0), (1, 0.1), (2, 0.0), (3, 0.3))
        for part in ("all", "mlp")
    ]
    rows += [{**KEY, "layer": 4, "part": "head", "change": 9.0}]
    still = [{**KEY, "member": "b", "layer": 0, "part": "all", "change": 0.0}]
    found = signature_table({"layer_change": pd.DataFrame([*rows, *still])})
    assert value(found, "layers", "change_centre").estimate == pytest.approx(2.5)
    assert np.isnan(value(found, "layers", "change_centre", member="b").estimate)


def curve_of(column: str, at: list[int], ratio: list[float], **more) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {**KEY, column: n, "ratio": r, "ratio_lo": r - 0.2, "ratio_hi": r + 0.2, **more}
            for n, r in zip(at, ratio, strict=True)
        ]
    )


def test_half_is_lost_at_the_first_crossing_and_its_limits_cross_on_either_side() -> None:
    grafts = curve_of("n_lower", [0, 1, 2, 3, 4], [1.0, 0.65, 0.4, 0.25, 0.8])
    row = value(signature_table({"layer_grafts": grafts}), "layers", "half_lost_at")
    assert (row.estimate, row.lo, row.hi) == (2, 1, 3)
    kept = curve_of("n_lower", [0, 1, 2], [1.0, 0.9, 0.8])
    row = value(signature_table({"layer_grafts": kept}), "layers", "half_lost_at")
    assert np.isinf([row.estimate, row.lo, row.hi]).all()


def test_the_cost_of_relearning_is_the_smallest_dose_that_reaches_half() -> None:
    doses = [1, 2, 4, 8, 16]
    examples = curve_of("n_examples", doses, [0.1, 0.35, 0.5, 0.9, 1.0])
    row = value(
        signature_table({"relearn": examples.assign(scope="all")}), "relearning", "examples_to_half"
    )
    assert (row.estimate, row.lo, row.hi) == (4, 2, 8)
    never = curve_of("n_examples", doses, [0.0, 0.0, 0.0, 0.1, 0.4])
    row = value(
        signature_table({"relearn": never.assign(scope="all")}), "relearning", "examples_to_half"
    )
    assert (row.estimate, row.lo, row.hi) == (np.inf, 16, np.inf)
    scoped = pd.concat([examples.assign(scope="all"), examples.assign(scope="upper", ratio=0.9)])
    row = value(signature_table({"relearn": scoped}), "relearning", "examples_to_half")
    assert row.estimate == 4


def test_the_order_of_rows_changes_nothing(tables) -> None:
    order = ["seed", "member", "group", "measure"]
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
    first, second = (
        signature_table(t).sort_values(order, ignore_index=True) for t in (tables, shuffled)
    )
    pd.testing.assert_frame_equal(first, second)


def test_what_is_missing_is_left_out_and_a_missing_column_is_named() -> None:
    assert signature_table({}).empty
    assert list(signature_table({}).columns) == list(COLUMNS)
    bare = curve_of("n_examples", [1], [0.1]).drop(columns="ratio_hi")
    with pytest.raises(InputError, match="relearn: no column ratio_hi"):
        signature_table({"relearn": bare.assign(scope="all")})
