from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.behavior.reasoning.budgets import budget_table
from interp.behavior.reasoning.thinking_effect import thinking_by_training
from interp.errors import InputError

UNITS = ("prompt_id",)
OFF_UNTRAINED, ON_UNTRAINED, OFF_TRAINED, ON_TRAINED = (
    {"trained": trained, "thinking": thinking}
    for trained in (False, True)
    for thinking in (False, True)
)


def cell(outcome, *, due=True, kind=None, truncated=False, **where) -> pd.DataFrame:
    """Replies of a cell as they come graded."""
    n = len(outcome)
    due_N = np.full(n, due) if np.isscalar(due) else np.asarray(due)
    return pd.DataFrame(
        {
            "prompt_id": [f"p{k}" for k in range(n)], "sample": 0, "outcome": outcome,
            "kind": kind or ["abstain" if said == "abstain" else "answer" for said in outcome],
            "should_abstain": due_N, "has_answer": ~due_N, "truncated": truncated,
        }
        | where
    )  # fmt: skip


def shares(share: float, n: int, **where) -> pd.DataFrame:
    """The first so many ask back, where they should."""
    asks_N = np.arange(n) < share * n
    kind = np.where(asks_N, "clarify", "answer").tolist()
    return cell(np.where(asks_N, "abstain", "wrong").astype(object), kind=kind, **where)


def value(table: pd.DataFrame, effect: str, measure: str) -> pd.Series:
    ((_, row),) = table[(table["effect"] == effect) & (table["measure"] == measure)].iterrows()
    return row


@pytest.fixture(scope="module")
def planted() -> pd.DataFrame:
    """Thinking takes 20 points from the untrained model and gives 30 to the trained one."""
    return pd.concat(
        [
            shares(0.4, 200, **OFF_UNTRAINED),
            shares(0.2, 200, **ON_UNTRAINED),
            shares(0.5, 200, **OFF_TRAINED),
            shares(0.8, 200, **ON_TRAINED),
        ]
    ).sample(frac=1, random_state=0)


def test_the_interaction_is_what_was_planted(planted: pd.DataFrame) -> None:
    table = thinking_by_training(planted, units=UNITS, n_boot=300)
    expected = {
        "untrained, off": 0.4, "untrained, on": 0.2, "trained, off": 0.5, "trained, on": 0.8,
        "thinking, untrained": -0.2, "thinking, trained": 0.3, "training, off": 0.1,
        "training, on": 0.6, "interaction": 0.5,
    }  # fmt: skip
    for effect, share in expected.items():
        for measure in ("abstention", "clarification"):
            row = value(table, effect, measure)
            assert row["estimate"] == pytest.approx(share)
            assert row["lo"] <= share <= row["hi"]
    assert set(table["effect"]) == set(expected)
    assert value(table, "interaction", "abstention")["lo"] > 0.3
    for measure in ("accuracy", "over_abstention"):  # of no item
        row = value(table, "interaction", measure)
        assert np.isnan(row["estimate"])
        assert row["n"] == 0


def test_every_measure_is_of_its_own_items_and_as_in_the_table_of_budgets() -> None:
    """Each cell and each simple effect against `budget_table`, whose arms are the cells."""
    rng = np.random.default_rng(0)
    n, due = 60, np.arange(60) % 2 == 1
    cells = {}
    for name, where in (("off", OFF_UNTRAINED), ("on", ON_UNTRAINED), ("trained off", OFF_TRAINED),
                        ("trained on", ON_TRAINED)):  # fmt: skip
        outcome = np.where(due, "abstain", "correct").astype(object)
        outcome[rng.random(n) < 0.3] = "wrong"
        outcome[rng.random(n) < 0.2] = "abstain"
        cut_N = rng.random(n) < 0.2
        outcome[cut_N] = None
        kind = rng.choice(["abstain", "clarify"], n).tolist()
        more = {"arm": name, "forced": False, "extended": 0, "thought": 1.0}
        cells[name] = cell(outcome, due=due, kind=kind, truncated=cut_N, **where, **more)
    items = pd.concat(cells.values())
    table = thinking_by_training(items, units=UNITS, n_boot=50)
    by_arm = budget_table(items, units=UNITS, against="off", n_boot=50)
    same_as = {
        "untrained, off": ("off", ""),
        "trained, on": ("trained on", ""),
        "thinking, untrained": ("on", "off"),
        "training, off": ("trained off", "off"),
    }
    for effect, (arm, against) in same_as.items():
        same = by_arm[(by_arm["arm"] == arm) & (by_arm["against"] == against)]
        same = same.set_index("measure")
        for measure in ("accuracy", "abstention", "clarification", "over_abstention", "truncation"):
            row = value(table, effect, measure)
            assert row["estimate"] == pytest.approx(same.loc[measure, "estimate"])
            assert row["n"] == same.loc[measure, "n"] == (n if measure == "truncation" else n / 2)


def test_effects_are_paired_by_item() -> None:
    """Thinking changes the same tenth of the items: nine tenths of them cannot vary."""
    rng = np.random.default_rng(1)
    before = rng.choice(["abstain", "wrong"], 300).astype(object)
    after = before.copy()
    after[:30] = "abstain"
    items = pd.concat(
        [
            cell(before, **OFF_UNTRAINED),
            cell(after, **ON_UNTRAINED),
            cell(before, **OFF_TRAINED),
            cell(after, **ON_TRAINED),
        ]
    )
    table = thinking_by_training(items, units=UNITS, n_boot=200)
    apart = value(table, "trained, on", "abstention")
    paired = value(table, "thinking, trained", "abstention")
    assert paired["hi"] - paired["lo"] < 0.6 * (apart["hi"] - apart["lo"])
    interaction = value(table, "interaction", "abstention")
    assert interaction[["estimate", "lo", "hi"]].tolist() == [0, 0, 0]


def test_models_that_never_abstain_have_effects_of_nought() -> None:
    wheres = (OFF_UNTRAINED, ON_UNTRAINED, OFF_TRAINED, ON_TRAINED)
    items = pd.concat([cell(["wrong"] * 6, **where) for where in wheres])
    table = thinking_by_training(items, units=UNITS, n_boot=20)
    found = table[table["measure"] == "abstention"]
    assert (found[["estimate", "lo", "hi"]] == 0).all(axis=None)
    assert (found["n"] == 6).all()


def test_an_item_that_lacks_a_cell_is_counted_and_changes_nothing(planted: pd.DataFrame) -> None:
    holed = planted[~((planted["prompt_id"] == "p7") & planted["trained"] & planted["thinking"])]
    without = planted[planted["prompt_id"] != "p7"]
    table = thinking_by_training(holed, units=UNITS, n_boot=20)
    row = value(table, "interaction", "abstention")
    assert (row["n"], row["excluded"]) == (199, 1)
    pd.testing.assert_frame_equal(
        table.drop(columns="excluded"),
        thinking_by_training(without, units=UNITS, n_boot=20).drop(columns="excluded"),
    )


def test_items_that_cannot_be_are_refused(planted: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="no item has all four cells"):
        thinking_by_training(planted[planted["trained"]], units=UNITS)
    with pytest.raises(InputError, match="twice in a cell"):
        thinking_by_training(pd.concat([planted, planted.head(1)]), units=UNITS)
    with pytest.raises(InputError, match="lack the column trained"):
        thinking_by_training(planted.drop(columns="trained"), units=UNITS)
    with pytest.raises(InputError, match="thinking is neither true nor false"):
        thinking_by_training(planted.assign(thinking="on"), units=UNITS)
    with pytest.raises(InputError, match="no rows"):
        thinking_by_training(planted.head(0), units=UNITS)
