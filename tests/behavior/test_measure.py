from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from interp.behavior import behavior_table
from interp.errors import InputError

RATES = {"known": (0.1, 0.8), "unknown": (0.7, 0.05), "missing_premise": (0.9, 0.0)}


@pytest.fixture
def items() -> pd.DataFrame:
    """Two modes of three groups; unknown entities are asked twice."""
    rng = np.random.default_rng(0)
    rows = []
    for mode in ("direct", "cot"):
        for group, (abstains, correct) in RATES.items():
            for entity in range(40):
                for question in range(2 if group == "unknown" else 1):
                    outcome = rng.choice(
                        ["abstain", "correct", "wrong"],
                        p=[abstains, correct, 1 - abstains - correct],
                    )
                    rows.append(
                        {
                            "prompt_id": f"{mode}-{group}-{entity}-{question}",
                            "entity": f"{group} {entity}",
                            "group": group,
                            "mode": mode,
                            "outcome": outcome,
                            "score": rng.normal() + (group == "unknown"),
                        }
                    )
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def estimate(table: pd.DataFrame, mode: str, group: str, measure: str) -> float:
    row = table[(table["mode"] == mode) & (table["group"] == group) & (table["measure"] == measure)]
    assert len(row) == 1
    return float(row["estimate"].iloc[0])


def test_estimates_are_what_they_are_named(items: pd.DataFrame) -> None:
    table = behavior_table(items, n_boot=20)
    for mode in ("direct", "cot"):
        outcomes = {
            group: items[(items["mode"] == mode) & (items["group"] == group)] for group in RATES
        }
        for group, rows in outcomes.items():
            for measure, outcome in (("abstain_rate", "abstain"), ("accuracy", "correct")):
                share = rows["outcome"].tolist().count(outcome) / len(rows)
                assert estimate(table, mode, group, measure) == pytest.approx(share)
        unknown, known = outcomes["unknown"], outcomes["known"]
        hits, alarms = ((rows["outcome"] == "abstain").sum() for rows in (unknown, known))
        assert estimate(table, mode, "all", "J") == pytest.approx(
            hits / len(unknown) - alarms / len(known)
        )
        z_hit = norm.ppf((hits + 0.5) / (len(unknown) + 1))
        z_alarm = norm.ppf((alarms + 0.5) / (len(known) + 1))
        assert estimate(table, mode, "all", "dprime") == pytest.approx(z_hit - z_alarm)
        assert estimate(table, mode, "all", "criterion") == pytest.approx(-(z_hit + z_alarm) / 2)
        above = unknown["score"].to_numpy()[:, None] > known["score"].to_numpy()
        assert estimate(table, mode, "all", "auroc") == pytest.approx(above.mean())


def test_intervals_hold_their_estimate_and_rows_are_counted(items: pd.DataFrame) -> None:
    table = behavior_table(items, n_boot=200)
    assert list(table.columns) == ["mode", "group", "measure", "estimate", "lo", "hi", "n"]
    assert not table.duplicated(["mode", "group", "measure"]).any()
    assert (table["lo"] <= table["estimate"]).all()
    assert (table["estimate"] <= table["hi"]).all()
    n_of = table.drop_duplicates("group").set_index("group")["n"].to_dict()
    assert n_of == {"known": 40, "unknown": 80, "missing_premise": 40, "all": 120}


def test_asking_an_entity_the_same_again_tells_nothing_new(items: pd.DataFrame) -> None:
    """Intervals are over entities: copies of all rows leave them as they were."""
    items = items.sort_values("prompt_id")
    once = behavior_table(items, n_boot=100)
    thrice = behavior_table(pd.concat([items] * 3, ignore_index=True), n_boot=100)
    scale_free = ~once["measure"].isin(["dprime", "criterion"])  # their correction counts rows
    pd.testing.assert_frame_equal(
        once[scale_free].drop(columns="n"), thrice[scale_free].drop(columns="n"), rtol=1e-9
    )


def test_without_known_entities_nothing_is_compared(items: pd.DataFrame) -> None:
    table = behavior_table(items[items["group"] != "known"], n_boot=10)
    assert set(table["measure"]) == {"abstain_rate", "accuracy"}


def test_bad_items_are_refused(items: pd.DataFrame) -> None:
    first = items["prompt_id"].iloc[0]
    cases = [
        (items.drop(columns=["score"]), "lack the column score"),
        (items.iloc[:0], "no rows"),
        (items.assign(outcome=["refuse", *items["outcome"][1:]]), f"prompt {first}: the outcome"),
        (items.assign(score=[np.nan, *items["score"][1:]]), f"prompt {first}: the score is nan"),
    ]
    for bad, message in cases:
        with pytest.raises(InputError, match=message):
            behavior_table(bad)


def test_every_resample_holds_both_groups(items: pd.DataFrame) -> None:
    """With two known entities in forty, one resample in eight would lack them by chance."""
    few = items[(items["group"] == "unknown") | items["entity"].isin(["known 0", "known 1"])]
    table = behavior_table(few, n_boot=200)
    assert np.isfinite(table[["estimate", "lo", "hi"]].to_numpy(float)).all()
