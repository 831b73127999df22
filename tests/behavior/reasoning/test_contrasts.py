from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.behavior.reasoning.contrasts import contrast_table
from interp.errors import InputError
from interp.stats import hierarchical_bootstrap, weighted_mean

RNG = np.random.default_rng(0)
N = 60


def items() -> pd.DataFrame:
    """Two models on the same questions, of which each is hard or easy for both."""
    hard = RNG.normal(size=N)
    rows = pd.DataFrame({"prompt_id": [f"p{n}" for n in range(N)], "pair_id": np.arange(N) // 2})
    of = [rows.assign(model="B", value=hard), rows.assign(model="R", value=hard + 1)]
    return pd.concat(of, ignore_index=True).assign(kept=lambda t: (t["value"] > 0).astype(float))


TABLE = items()


def row(table, model, against="", measure="mean"):
    return table.set_index(["model", "against", "measure"]).loc[model, against, measure]


def test_a_mean_is_that_of_the_bootstrap_itself():
    got = row(contrast_table(TABLE, {"mean": "value"}, units=["pair_id"], n_boot=100), "B")
    own = TABLE[TABLE["model"] == "B"]
    levels = {"pair_id": own["pair_id"].to_numpy()}
    value = hierarchical_bootstrap(
        weighted_mean(own["value"].to_numpy()), levels, n_boot=100, seed=0
    )
    assert got[["estimate", "lo", "hi"]].tolist() == pytest.approx([*value.columns().values()])


def test_a_difference_is_paired_by_item():
    table = contrast_table(TABLE, {"mean": "value"}, units=["pair_id"], against="B", n_boot=100)
    change = row(table, "R", "B")
    # One more on every question, however much the questions differ.
    assert change[["estimate", "lo", "hi"]].tolist() == pytest.approx([1, 1, 1])
    assert row(table, "R")["hi"] - row(table, "R")["lo"] > 0.3


def test_only_what_both_were_measured_on_is_compared():
    lost = TABLE.copy()
    lost.loc[(lost["model"] == "R") & (lost["value"] > 1), "value"] = np.nan
    n_lost = int(lost["value"].isna().sum())
    table = contrast_table(lost, {"mean": "value"}, units=["pair_id"], against="B", n_boot=50)
    assert row(table, "R", "B")[["n", "excluded"]].tolist() == [N - n_lost, n_lost]
    assert row(table, "R", "B")["estimate"] == pytest.approx(1)
    assert row(table, "B")[["n", "excluded"]].tolist() == [N, 0]
    # Left to itself the mean of what is left would say the opposite.
    assert row(table, "R")["estimate"] < row(table, "B")["estimate"] + 1


def test_a_conditional_mean_is_of_the_items_where_it_holds():
    table = contrast_table(
        TABLE, {"mean": ("value", "kept")}, units=["pair_id"], against="B", n_boot=50
    )
    means = TABLE[TABLE["kept"] == 1].groupby("model")["value"].mean()
    assert row(table, "B")["estimate"] == pytest.approx(means["B"])
    assert row(table, "B")["n"] == TABLE.query("model == 'B'")["kept"].sum()
    assert row(table, "R", "B")["estimate"] == pytest.approx(means["R"] - means["B"])
    # What does not hold of an item need not have a value there.
    unsaid = TABLE.assign(value=TABLE["value"].where(TABLE["kept"] == 1))
    same = contrast_table(
        unsaid, {"mean": ("value", "kept")}, units=["pair_id"], against="B", n_boot=50
    )
    pd.testing.assert_frame_equal(same, table)
    never = contrast_table(
        TABLE.assign(kept=0.0), {"mean": ("value", "kept")}, units=["pair_id"], n_boot=5
    )
    assert never["estimate"].isna().all()
    assert never["n"].eq(0).all()


def test_groups_stand_apart():
    both = pd.concat([TABLE.assign(arm="a"), TABLE.assign(arm="b", value=0.0)])
    table = contrast_table(
        both, {"mean": "value"}, units=["pair_id"], by=("arm",), against="B", n_boot=20
    )
    assert table.query("arm == 'b'")["estimate"].eq(0).all()
    arms = contrast_table(
        both, {"mean": "value"}, units=["pair_id"], factor="arm", against="b", by=("model",),
        n_boot=20,
    )  # fmt: skip
    apart = arms.query("against == 'b' and model == 'R'")["estimate"].item()
    assert apart == pytest.approx(TABLE.query("model == 'R'")["value"].mean())


def test_items_of_no_group_are_a_group_of_their_own():
    named = TABLE.assign(scenario=np.where(TABLE["pair_id"] < 10, None, "stale"))
    table = contrast_table(named, {"mean": "value"}, units=["pair_id"], by=("scenario",), n_boot=5)
    of_none = TABLE[TABLE["pair_id"] < 10].groupby("model")["value"].mean()
    got = table[table["scenario"].isna()].set_index("model")["estimate"]
    assert got.to_dict() == pytest.approx(of_none.to_dict())
    assert table["n"].sum() == len(TABLE)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.iloc[:0], {}, "no rows"),
        (lambda t: t.drop(columns="model"), {}, "lack the column model"),
        (lambda t: t.drop(columns="value"), {}, "lack the column value"),
        (lambda t: t.assign(model=None), {}, "prompt p0: no model; name one"),
        (lambda t: t, {"units": []}, "units are"),
        (lambda t: t, {"against": "P"}, "no model 'P' to compare with; there are B, R"),
        (lambda t: pd.concat([t, t]), {}, "prompt p0: twice of one model"),
    ],
)
def test_bad_items_are_refused(change, options, message):
    with pytest.raises(InputError, match=message):
        contrast_table(change(TABLE), {"mean": "value"}, **({"units": ["pair_id"]} | options))
