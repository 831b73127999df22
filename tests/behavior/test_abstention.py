from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import f1_score, precision_score, recall_score

from interp.behavior import behavior_table
from interp.behavior.abstention import abstention_table
from interp.errors import InputError

REPLIES = st.lists(
    st.sampled_from([(True, "abstain"), (True, "wrong"), (False, "abstain"), (False, "correct"),
                     (False, "wrong")]),
    min_size=1, max_size=30,
)  # fmt: skip


def items_of(replies: list[tuple[bool, str]]) -> pd.DataFrame:
    due, outcome = zip(*replies, strict=True)
    names = [f"p{row}" for row in range(len(replies))]
    return pd.DataFrame(
        {"prompt_id": names, "pair_id": names, "mode": "direct", "should_abstain": due}
        | {"outcome": outcome}
    )


def agent(dprime: float, criterion: float, n_pairs: int, seed: int = 0) -> pd.DataFrame:
    """Pairs answered by an observer of equal variances: evidence above the criterion abstains.

    The criterion counts from halfway between the two kinds of questions, as c does.
    """
    rng = np.random.default_rng(seed)
    due_N = np.tile([True, False], n_pairs)
    evidence_N = rng.normal(size=2 * n_pairs) + np.where(due_N, dprime / 2, -dprime / 2)
    known_N = ~due_N & (rng.random(2 * n_pairs) < 0.7)
    outcome_N = np.select([evidence_N > criterion, known_N], ["abstain", "correct"], "wrong")
    pair_N = np.repeat(np.arange(n_pairs), 2)
    return pd.DataFrame(
        {
            "prompt_id": np.arange(2 * n_pairs),
            "pair_id": pair_N,
            "entity": pair_N * 2 + due_N,
            "mode": "direct",
            "group": np.where(due_N, "unknown", "known"),
            "should_abstain": due_N,
            "outcome": outcome_N,
            "score": evidence_N,
        }
    )


def values(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["measure"], table["estimate"], strict=True))


@given(REPLIES)
def test_measures_are_sklearns_and_truthrls(replies) -> None:
    items = items_of(replies)
    ours = values(abstention_table(items, units=["pair_id"], n_boot=2))
    due_N = items["should_abstain"].to_numpy()
    said_N = (items["outcome"] == "abstain").to_numpy()
    expected = {
        "recall": recall_score(due_N, said_N, zero_division=np.nan),
        "over_abstention": said_N[~due_N].mean() if (~due_N).any() else np.nan,
        "precision": precision_score(due_N, said_N, zero_division=np.nan),
        "f1": f1_score(due_N, said_N, zero_division=np.nan),
        "hallucination": (items["outcome"] == "wrong").mean(),
        "truthfulness": items["outcome"].map({"correct": 1, "abstain": 0, "wrong": -1}).mean(),
    }
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, nan_ok=True), name


@pytest.mark.parametrize(("dprime", "criterion"), [(0.0, 0.5), (1.5, 0.0), (1.5, 1.0), (2.5, -0.5)])
def test_a_simulated_agents_sensitivity_and_criterion_are_recovered(dprime, criterion) -> None:
    items = agent(dprime, criterion, 20_000)
    table = behavior_table(items, n_boot=2)
    found = values(table[table["group"] == "all"])
    assert found["dprime"] == pytest.approx(dprime, abs=0.05)
    assert found["criterion"] == pytest.approx(criterion, abs=0.05)
    assert found["auroc"] == pytest.approx(norm.cdf(dprime / np.sqrt(2)), abs=0.01)


def test_rates_of_a_simulated_agent_are_its_tails() -> None:
    items = agent(1.5, 0.3, 2500)
    due, not_due = norm.sf(0.3 - 0.75), norm.sf(0.3 + 0.75)
    ours = values(abstention_table(items, units=["pair_id"], n_boot=2))
    assert ours["recall"] == pytest.approx(due, abs=0.03)
    assert ours["over_abstention"] == pytest.approx(not_due, abs=0.03)
    assert ours["precision"] == pytest.approx(due / (due + not_due), abs=0.03)
    assert ours["accuracy"] == pytest.approx(0.7 * (1 - not_due), abs=0.03)


def test_a_shift_of_the_criterion_leaves_the_sensitivity() -> None:
    """What suppression looks like: the child answers more and ranks as well as the parent."""
    parent, child = (
        values(behavior_table(agent(1.5, c, 20_000), n_boot=2).query("group == 'all'"))
        for c in (0.0, 1.0)
    )
    assert child["criterion"] - parent["criterion"] == pytest.approx(1, abs=0.05)
    assert child["dprime"] == pytest.approx(parent["dprime"], abs=0.05)
    assert child["auroc"] == parent["auroc"]
    assert child["J"] < parent["J"] - 0.1


def test_truthfulness_takes_its_weights() -> None:
    items = items_of([(False, "correct"), (False, "wrong"), (True, "abstain"), (True, "wrong")])
    for weights, expected in (((1.0, 0.0, 1.0), -0.25), ((1.0, 0.5, 0.0), 0.375)):
        table = abstention_table(items, units=["pair_id"], weights=weights, n_boot=2)
        assert values(table)["truthfulness"] == expected


def test_intervals_are_over_pairs_and_cover_the_truth() -> None:
    """Both questions of a pair are abstained on together: recall and F1 vary by pair."""
    rng = np.random.default_rng(1)
    covered = {"recall": 0, "f1": 0}
    for seed in range(60):
        abstains_N = np.repeat(rng.random(100) < 0.6, 2)
        items = items_of([(row % 2 == 0, "wrong") for row in range(200)])
        items = items.assign(pair_id=np.repeat(np.arange(100), 2))
        items.loc[abstains_N, "outcome"] = "abstain"
        table = abstention_table(items, units=["pair_id"], n_boot=150, seed=seed)
        for measure, truth in (("recall", 0.6), ("f1", 1.2 / 2.2)):
            (row,) = table[table["measure"] == measure].itertuples()
            covered[measure] += row.lo <= truth <= row.hi
            assert row.lo <= row.estimate <= row.hi
    assert min(covered.values()) >= 53


def test_modes_are_apart_and_rows_are_counted() -> None:
    both = pd.concat([agent(1.5, 0.0, 50), agent(0.5, 1.0, 50).assign(mode="cot")])
    table = abstention_table(both, units=["pair_id"], n_boot=50)
    assert not table.duplicated(["mode", "measure"]).any()
    for mode, rows in table.groupby("mode", sort=False):
        alone = abstention_table(both[both["mode"] == mode], units=["pair_id"], n_boot=50)
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), alone)
        n_of = dict(zip(rows["measure"], rows["n"], strict=True))
        assert (n_of["recall"], n_of["over_abstention"], n_of["f1"]) == (50, 50, 100)
        said = both[(both["mode"] == mode) & (both["outcome"] == "abstain")]
        assert n_of["precision"] == len(said)


def test_who_never_abstains_has_no_precision() -> None:
    items = agent(1.0, 9.0, 20)
    table = abstention_table(items, units=["pair_id"], n_boot=20).set_index("measure")
    assert table.loc["precision", ["estimate", "lo", "hi"]].isna().all()
    assert table.loc["f1", "estimate"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="should_abstain"), "lack the column should_abstain"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(outcome="refuse"), "prompt 0: the outcome is 'refuse'"),
        (lambda t: t.assign(should_abstain=None), "prompt 0: should_abstain is neither"),
        (lambda t: t.assign(outcome="correct"), "prompt 0: outcome is correct where"),
    ],
)
def test_bad_items_are_refused(change, message) -> None:
    with pytest.raises(InputError, match=message):
        abstention_table(change(agent(1.0, 0.0, 5)), units=["pair_id"])


def test_units_are_named() -> None:
    with pytest.raises(InputError, match="units are"):
        abstention_table(agent(1.0, 0.0, 5), units=[])
