from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.behavior.reasoning.fast_slow import (
    OUTCOMES,
    fast_slow_items,
    fast_slow_table,
    outcome_table,
    slow_prompts,
)
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.reasoning.traced import record

outcomes = st.sampled_from(OUTCOMES)
both_ways = st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=12)


def replies(said, model="m", **more) -> pd.DataFrame:
    ids = [f"p{n}" for n in range(len(said))]
    said = np.array(said, dtype=object)
    return pd.DataFrame({"prompt_id": ids, "model": model, "outcome": said, "pair_id": ids} | more)


def items_of(pairs, model="m", **more) -> pd.DataFrame:
    fast, slow = zip(*pairs, strict=True)
    return fast_slow_items(replies(fast, model, **more), replies(slow, model))


def estimates(items, n_boot=2, **more) -> pd.Series:
    table = fast_slow_table(items, units=["pair_id"], n_boot=n_boot, **more)
    return table[table["against"] == ""].set_index("measure")["estimate"]


@settings(max_examples=8)
@given(both_ways)
def test_the_identity_is_exact(pairs):
    got = estimates(items_of(pairs))
    n = len(pairs)
    wrong = [s for f, s in pairs if f != "correct"]
    right = [s for f, s in pairs if f == "correct"]
    assert got["C_KR"] == pytest.approx(len(right) / n)
    assert got["delta"] == pytest.approx(got["A_slow"] - got["C_KR"])
    assert got["delta"] == pytest.approx(got["delta_c"] - got["delta_o"])
    part = got["r_c"] * len(wrong) if wrong else 0
    lost = got["r_o"] * len(right) if right else 0
    assert got["delta"] == pytest.approx((part - lost) / n)
    assert np.isnan(got["r_c"]) == (not wrong)
    assert np.isnan(got["r_o"]) == (not right)


@settings(max_examples=4)
@given(both_ways)
def test_the_nine_cells_add_up_to_the_four(pairs):
    items = items_of(pairs)
    table = outcome_table(items, units=["pair_id"], n_boot=2)
    share = table.query("measure == 'share'").set_index(["fast", "slow"])["estimate"]
    given_fast = table.query("measure == 'given_fast'").set_index(["fast", "slow"])["estimate"]
    got = estimates(items)
    assert share.sum() == pytest.approx(1)
    assert share.xs("correct", level="slow").sum() == pytest.approx(got["A_slow"])
    spoiled = share["correct"].drop("correct").sum()
    assert spoiled == pytest.approx(got["delta_o"])
    for fast in OUTCOMES:
        if share[fast].sum() > 0:
            assert given_fast[fast].sum() == pytest.approx(1)
            assert np.allclose(given_fast[fast] * share[fast].sum(), share[fast])
        else:
            assert given_fast[fast].isna().all()


def test_planted_rates_are_covered_and_models_are_compared_question_by_question():
    rng = np.random.default_rng(0)
    n = 400

    def asked(r_c, r_o, model):
        fast = rng.random(n) < 0.6
        moved = rng.random(n) < np.where(fast, r_o, r_c)
        slow = fast ^ moved
        word = np.array(["wrong", "correct"], dtype=object)
        return items_of(list(zip(word[fast * 1], word[slow * 1], strict=True)), model)

    both = pd.concat([asked(0.5, 0.1, "R"), asked(0.2, 0.1, "P")])
    table = fast_slow_table(both, units=["pair_id"], against="P", n_boot=400)
    rows = table.set_index(["model", "against", "measure"])
    for model, r_c in (("R", 0.5), ("P", 0.2)):
        row = rows.loc[model, "", "r_c"]
        assert row["lo"] < r_c < row["hi"]
        of = both[(both["model"] == model) & (both["fast"] == "wrong")]
        assert row["n"] == len(of)
        assert row["estimate"] == pytest.approx((of["slow"] == "correct").mean())
        assert rows.loc[model, "", "r_o"]["lo"] < 0.1 < rows.loc[model, "", "r_o"]["hi"]
    change = rows.loc["R", "P", "r_c"]
    assert change["lo"] < 0.3 < change["hi"]
    assert change["lo"] > 0
    same = rows.loc["R", "P", "r_o"]
    assert same["lo"] < 0 < same["hi"]


def test_abstention_is_not_right_and_has_cells_of_its_own():
    pairs = [("abstain", "correct"), ("abstain", "wrong"), ("wrong", "abstain"), ("wrong", "wrong")]
    items = items_of(pairs * 3)
    got = estimates(items)
    assert got["C_KR"] == 0
    assert got["r_c"] == 0.25
    table = outcome_table(items, units=["pair_id"], n_boot=20).set_index(
        ["measure", "fast", "slow"]
    )
    assert table.loc[("given_fast", "abstain", "wrong"), "estimate"] == 0.5
    assert table.loc[("share", "wrong", "abstain"), "estimate"] == 0.25
    assert np.isnan(table.loc[("given_fast", "correct", "wrong"), "estimate"])


def test_questions_that_call_for_abstention_stand_apart():
    items = pd.concat(
        [
            items_of([("abstain", "wrong")] * 4, should_abstain=True),
            items_of([("correct", "correct")] * 4, should_abstain=False).replace(
                {f"p{n}": f"q{n}" for n in range(4)}
            ),
        ]
    )
    with pytest.raises(InputError, match="prompt p0: it calls for abstention"):
        fast_slow_table(items, units=["pair_id"])
    table = outcome_table(items, units=["pair_id"], by=("should_abstain",), n_boot=10)
    cell = table.set_index(["should_abstain", "measure", "fast", "slow"])["estimate"]
    assert cell[True, "share", "abstain", "wrong"] == 1
    assert cell[False, "share", "correct", "correct"] == 1


def test_replies_without_an_outcome_are_counted():
    items = items_of([("correct", None), (None, "wrong"), ("correct", "wrong")])
    table = fast_slow_table(items, units=["pair_id"], n_boot=5).set_index("measure")
    assert table.loc["delta", ["estimate", "n", "excluded"]].tolist() == [-1, 1, 2]
    nine = outcome_table(items, units=["pair_id"], n_boot=5)
    assert (nine.query("measure == 'share'")["excluded"] == 2).all()


def test_samples_are_paired_by_number():
    fast = replies(["correct"] * 2, sample=[0, 0])
    fast = pd.concat([fast, replies(["wrong"] * 2, sample=[1, 1])])
    slow = fast.assign(outcome="correct")
    items = fast_slow_items(fast, slow.iloc[::-1])
    assert sorted(items["change"]) == [0, 0, 1, 1]


def test_a_slow_reply_sees_the_fast_answer():
    asked = [{"role": "user", "content": "who ?"}]
    chat = record("b", "", "8") | {"text": None, "messages": asked}
    prompts = PromptSet.from_records([record("a", "q : what is 3 + 4 ? a :", "7"), chat])
    fast = pd.DataFrame({"prompt_id": ["b", "a"], "answer": [" Ann.\n", "8"]})
    slow = slow_prompts(prompts, fast, ask="Think.").frame
    assert slow["text"][0] == "q : what is 3 + 4 ? a : 8\nThink."
    assert slow["messages"][1] == [
        *asked,
        {"role": "assistant", "content": "Ann."},
        {"role": "user", "content": "Think."},
    ]
    assert [meta["mode"] for meta in slow["meta"]] == ["cot", "cot"]
    unchanged = ["prompt_id", "pair_id", "answers", "should_abstain"]
    pd.testing.assert_frame_equal(slow[unchanged], prompts.frame[unchanged])
    assert prompts.frame["messages"][1] == asked
    assert prompts.frame["meta"].tolist() == [{}, {}]


@pytest.mark.parametrize(
    ("change", "ask", "message"),
    [
        (lambda t: t, " ", "ask is empty"),
        (lambda t: t.drop(columns="answer"), "x", "lack the column answer"),
        (lambda t: t.iloc[:1], "x", "prompt b: 0 replies"),
        (lambda t: pd.concat([t, t]), "x", "prompt a: 2 replies"),
    ],
)
def test_bad_fast_replies_make_no_slow_prompts(change, ask, message):
    prompts = PromptSet.from_records([record("a", "q", "7"), record("b", "q", "8")])
    fast = pd.DataFrame({"prompt_id": ["a", "b"], "answer": ["7", "7"]})
    with pytest.raises(InputError, match=message):
        slow_prompts(prompts, change(fast), ask=ask)


@pytest.mark.parametrize(
    ("fast", "slow", "message"),
    [
        (lambda t: t.iloc[:0], lambda t: t, "fast replies: no rows"),
        (lambda t: t, lambda t: t.drop(columns="model"), "slow replies lack the column model"),
        (lambda t: t.assign(outcome="right"), lambda t: t, "fast replies, prompt p0: outcome 'ri"),
        (lambda t: t, lambda t: pd.concat([t, t]), "slow replies, prompt p0: twice of one model"),
        (lambda t: t, lambda t: t.iloc[:1], "prompt p1, model m: only fast; ask every question"),
        (lambda t: t.iloc[:1], lambda t: t, "prompt p1, model m: only slow"),
    ],
)
def test_bad_replies_are_refused(fast, slow, message):
    table = replies(["correct", "wrong"])
    with pytest.raises(InputError, match=message):
        fast_slow_items(fast(table), slow(table))


def test_a_model_to_compare_with_has_to_be_there():
    with pytest.raises(InputError, match="no model 'P' to compare with; there are m"):
        fast_slow_table(items_of([("correct", "wrong")]), units=["pair_id"], against="P")
