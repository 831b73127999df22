"""UMWP traces read again: known rates, and planted ones with traces that are cut off."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.behavior.published.umwp import (
    OUTCOMES,
    umwp_changes,
    umwp_noticed,
    umwp_noticed_by_length,
    umwp_outcomes,
    umwp_replies,
    umwp_transitions,
)
from tests.behavior import published_replies as made
from tests.behavior.published_replies import BOXED_GAP, REAL

real = pytest.mark.skipif(
    not (REAL / "sum_umwp_reasoning_outputs").is_dir(),
    reason="the public traces are not on this machine",
)


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return umwp_replies(REAL)


def at(table: pd.DataFrame, **where: object) -> pd.Series:
    for name, value in where.items():
        table = table[table[name] == value]
    (row,) = [row for _, row in table.iterrows()]
    return row


@real
def test_the_published_rates_and_their_change_come_out(published):
    outcomes = umwp_outcomes(published)
    for due, before, after in ((True, 0.423, 0.637), (False, 0.010, 0.020)):
        for arm, rate in (("plain", before), ("intervention", after)):
            row = at(outcomes, arm=arm, should_abstain=due, of="all", outcome="abstain")
            assert (round(row["estimate"], 3), row["n"]) == (rate, 300)
    row = at(umwp_changes(published), should_abstain=True, of="all", outcome="abstain")
    assert row["estimate"] == pytest.approx(64 / 300)
    assert row["lo"] > 0.1


@real
def test_most_of_the_gain_is_traces_that_are_no_longer_cut_off(published):
    changes = umwp_changes(published, n_boot=500)
    both = at(changes, should_abstain=True, of="completed", outcome="abstain")
    assert (round(both["estimate"], 3), both["n"]) == (0.076, 251)
    moved = umwp_transitions(published)
    assert at(moved, should_abstain=True, before="cut_off", after="abstain")["n"] == 45
    assert moved.groupby("should_abstain")["n"].sum().to_dict() == {False: 300, True: 300}


@real
def test_traces_that_end_without_a_box_abstain_in_words(published):
    unboxed = published[published["ended"] == "unboxed"]
    assert len(unboxed) == 55
    assert unboxed["in_words"].all()


@real
def test_false_alarms_grow_with_length_and_less_so_early(published):
    """Both arms of the answerable problems, 600 traces; shares as measured."""
    table = umwp_noticed_by_length(published)
    table = table[~table["should_abstain"]]
    table = table.assign(hits=table["estimate"] * table["n"])
    sums = table.groupby(["notice", "words"], sort=False)[["hits", "n"]].sum()
    rates = (sums["hits"] / sums["n"]).round(2)
    assert sums.loc["any", "n"].sum() == 600
    assert rates["any"].tolist() == [0, 0.02, 0.1, 0.4, 0.56, 0.67]
    long = sums.loc[["early", "any"]].drop(index=["1-150", "151-250", "251-400"], level=1)
    long = long.groupby("notice").sum()
    shares = (long["hits"] / long["n"]).round(2)
    assert shares.to_dict() == {"any": 0.46, "early": 0.13}


CUT = "thinks on and on"
SAID = "thinks. </think> It cannot be determined."
MUTE = "thinks. </think> Well then."
WRONG = r"thinks. </think> \boxed{9}"
GIVEN = f"It is unclear. </think> {BOXED_GAP}"
RIGHT = r"thinks. </think> \boxed{6}"


def planted(tmp_path, times: int = 10) -> pd.DataFrame:
    return umwp_replies(
        made.umwp_traces(
            tmp_path,
            {
                ("plain", True): [CUT, CUT, WRONG, GIVEN, MUTE] * times,
                ("intervention", True): [GIVEN, SAID, WRONG, SAID, CUT] * times,
                ("plain", False): [RIGHT, RIGHT, RIGHT, RIGHT, CUT] * times,
                ("intervention", False): [RIGHT, RIGHT, RIGHT, GIVEN, RIGHT] * times,
            },
        )
    )


def test_what_is_cut_off_is_not_what_ends_in_words(tmp_path):
    replies = planted(tmp_path, 1)
    plain = replies[(replies["arm"] == "plain") & replies["should_abstain"]]
    assert plain["ended"].tolist() == ["cut_off", "cut_off", "wrong", "abstain", "unboxed"]
    assert plain["in_words"].tolist() == [False] * 5
    assert plain["concluded"].isna().tolist() == [True, True, False, False, True]
    changed = replies[(replies["arm"] == "intervention") & replies["should_abstain"]]
    assert changed["in_words"].tolist() == [False, True, False, True, False]
    assert changed["concluded"].iloc[:4].tolist() == ["abstain", "abstain", "answer", "abstain"]


def test_outcomes_share_out_all_traces_and_those_completed(tmp_path):
    outcomes = umwp_outcomes(planted(tmp_path))
    parts = outcomes[outcomes["outcome"].isin(OUTCOMES)]
    sums = parts.groupby(["arm", "should_abstain", "of"])["estimate"].sum()
    assert np.allclose(sums, 1)
    where = {"arm": "intervention", "should_abstain": True, "outcome": "abstain_any"}
    assert at(outcomes, of="all", **where)["estimate"] == pytest.approx(3 / 5)
    assert at(outcomes, of="completed", **where)["estimate"] == pytest.approx(3 / 4)
    impossible = outcomes[outcomes["should_abstain"] & (outcomes["outcome"] == "correct")]
    assert impossible.empty


def test_changes_are_those_that_were_planted(tmp_path):
    changes = umwp_changes(planted(tmp_path), n_boot=300)
    whole = {
        "abstain": 0.0,
        "abstain_any": 2 / 5,
        "wrong": 0.0,
        "unboxed": 1 / 5,
        "cut_off": -1 / 5,
        "answers_given_noticed": 0.0,
    }
    for outcome, change in whole.items():
        row = at(changes, should_abstain=True, of="all", outcome=outcome)
        assert row["estimate"] == pytest.approx(change)
        assert row["lo"] <= change + 1e-9
        assert row["hi"] >= change - 1e-9
    # Cut off in neither arm: wrong and wrong, boxed and said.
    row = at(changes, should_abstain=True, of="completed", outcome="abstain")
    assert (row["estimate"], row["n"]) == (pytest.approx(-1 / 2), 20)
    row = at(changes, should_abstain=False, of="all", outcome="correct")
    assert row["estimate"] == pytest.approx(0.0)


def test_transitions_count_problems(tmp_path):
    moved = umwp_transitions(planted(tmp_path))
    there = moved[moved["should_abstain"]].drop(columns="should_abstain")
    assert there.to_numpy().tolist() == [
        ["abstain", "unboxed", 10],
        ["wrong", "wrong", 10],
        ["unboxed", "cut_off", 10],
        ["cut_off", "abstain", 10],
        ["cut_off", "unboxed", 10],
    ]


def test_noticing_is_told_by_arm_and_problem(tmp_path):
    table = umwp_noticed(planted(tmp_path))
    where = {"notice": "any", "measure": "noticed"}
    assert at(table, arm="plain", should_abstain=True, **where)["estimate"] == 1 / 2
    assert at(table, arm="plain", should_abstain=False, **where)["estimate"] == 0
    assert at(table, arm="intervention", should_abstain=False, **where)["n"] == 50
