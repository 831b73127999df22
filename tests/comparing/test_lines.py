"""Lines of evidence from replies alone, against sums done by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.comparing.lines import behaviour_measures, right_where_due, unmeasured
from interp.prompts import PromptSet


def questions(*, told: bool) -> PromptSet:
    """Four to abstain on, whose answers somebody knows if they are told, and four to answer."""
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"p{n}",
                "text": f"question {n}?",
                "should_abstain": n < 4,
                "answers": [f"answer {n}"] if told or n >= 4 else [],
            }
            for n in range(8)
        ]
    )


def replies(member: str, abstains: set[int], knows: set[int]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "member": member,
                "prompt_id": f"p{n}",
                "should_abstain": n < 4,
                "text": f"It is answer {n}." if n in knows else "Hm.",
                "outcome": "abstain" if n in abstains else "wrong",
            }
            for n in range(8)
        ]
    )


PARENTS = {"parent": "", "child": "parent"}


def test_j_drop_and_knowledge_are_the_shares_counted_by_hand():
    items = pd.concat([replies("parent", {0, 1, 2, 4}, set()), replies("child", {0}, {1, 2, 5})])
    found = behaviour_measures(items, questions(told=True), PARENTS, np.arange(8), 0)
    values = found.set_index(["member", "line"])["estimate"]
    assert values["parent", "j"] == pytest.approx(3 / 4 - 1 / 4)
    assert values["child", "j"] == pytest.approx(1 / 4)
    assert values["child", "drop"] == pytest.approx(1 / 2 - 1 / 4)
    assert values["parent", "drop"] == 0
    assert values["child", "knowledge"] == pytest.approx(2 / 4)  # not p5, which has to be answered


def test_without_the_answers_nobody_is_said_to_know_more():
    assert right_where_due(replies("child", set(), {1}), questions(told=False)) is None
    items = replies("parent", set(), {1})
    found = behaviour_measures(items, questions(told=False), {"parent": ""}, np.arange(8), 0)
    assert set(found["line"]) == {"j", "drop"}


def test_a_line_that_is_missing_has_its_reason():
    skipped = {("child", "transfer"): "too wide", ("child", "intervene"): "too wide"}
    with_names = unmeasured(skipped, ["child"], ["entity_last", "last_prompt"])
    assert with_names == {
        ("child", line): "too wide" for line in ("transfer", "refit", "nonlinear")
    }
    without = unmeasured({}, ["child"], ["last_prompt"])
    assert set(without) == set(with_names)
    assert all("names an entity" in why for why in without.values())
