from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp.behavior import Decoding, Thinking, grade_replies
from interp.behavior.grading.lexicons import Lexicon
from interp.behavior.reasoning.budgets import budget_replies, budget_table, thinking_arms
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.checkpoints.tiny import write_checkpoint

DECODING = Decoding(
    max_new_tokens=16, thinking=Thinking(end="a :", force="a :", least=9, extend=1, more="w3")
)
UNITS = ("pair_id",)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(write_checkpoint(tmp_path_factory.mktemp("llama")), "llama").load()


def prompts(n: int) -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": f"p{k}", "pair_id": f"p{k // 2}", "text": f"q w{k} ?"}
            | {"should_abstain": bool(k % 2), "answers": [] if k % 2 else ["w1"]}
            for k in range(n)
        ]
    )


def test_arms_differ_in_their_chains_alone() -> None:
    arms = thinking_arms(DECODING, budgets=(8, 0), extensions=(2, 1))
    assert list(arms) == ["budget 0", "budget 8", "natural", "extend 1", "extend 2"]
    of = {name: arm.thinking for name, arm in arms.items()}
    assert [each.budget for each in of.values()] == [0, 8, None, None, None]
    assert [each.extend for each in of.values()] == [0, 0, 0, 1, 2]
    assert [each.least for each in of.values()] == [None, None, None, 9, 9]
    same = {arm.model_copy(update={"thinking": None}) for arm in arms.values()}
    assert same == {DECODING.model_copy(update={"thinking": None})}


def test_replies_of_all_arms_come_graded(loaded: LoadedModel, tmp_path: Path) -> None:
    asked = prompts(6)
    arms = thinking_arms(DECODING, budgets=(0, 4), extensions=(1,))
    found = budget_replies(loaded, asked, arms, tmp_path)
    assert found.groupby("arm", sort=False).size().to_dict() == dict.fromkeys(arms, 6)
    stopped = found[found["arm"] == "budget 4"]
    assert (stopped["thought"] <= 4).all()
    assert stopped["forced"].any()
    assert not found[found["arm"] == "natural"]["forced"].any()
    graded = grade_replies(asked, found, Lexicon.load())
    table = budget_table(graded, units=UNITS, n_boot=20)
    tokens = table[(table["measure"] == "thinking_tokens") & (table["against"] == "")]
    assert tokens.set_index("arm")["estimate"]["budget 0"] == 0


def test_a_budget_beyond_the_context_is_one_error_before_anything_runs(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self, **inputs):
        raise AssertionError("nothing is asked")

    monkeypatch.setattr(type(loaded.model), "forward", never)
    long = DECODING.model_copy(update={"max_new_tokens": 200})
    arms = thinking_arms(long, budgets=(3, 64))
    said = "budget 64: a chain of 64 tokens, but llama was made for at most 64"
    with pytest.raises(InputError, match=said):
        budget_replies(loaded, prompts(2), arms, tmp_path)
    arms = thinking_arms(DECODING.model_copy(update={"max_new_tokens": 62}), budgets=(3,))
    with pytest.raises(InputError, match="prompt p0: 3 tokens and up to 62 new ones"):
        budget_replies(loaded, prompts(2), arms, tmp_path)
    arms = thinking_arms(DECODING, budgets=(3, 14))
    with pytest.raises(InputError, match="a budget of 14 and the 2 tokens of 'a :' leave nothing"):
        budget_replies(loaded, prompts(2), arms, tmp_path)
    with pytest.raises(InputError, match="no arms"):
        budget_replies(loaded, prompts(2), {}, tmp_path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"budgets": (16,)}, "a budget of 16 leaves nothing of 16 new tokens"),
        ({"budgets": (3, 3)}, "each once"),
        ({"budgets": (-1,)}, "from 0 on"),
        ({"extensions": (0,)}, "from 1 on"),
    ],
)
def test_arms_that_cannot_be_are_refused(how: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        thinking_arms(DECODING, **how)
    with pytest.raises(InputError, match="no `thinking`"):
        thinking_arms(Decoding(), **how)


def graded(outcome, *, arm: str = "natural", due=None, kind=None, truncated=False, **more):
    """Rows of one arm: an outcome for each prompt, in pairs."""
    n, pairs = len(outcome), np.arange(len(outcome)) // 2
    due_N = np.arange(n) % 2 == 1 if due is None else np.asarray(due)
    return pd.DataFrame(
        {
            "prompt_id": [f"p{k}" for k in range(n)], "pair_id": pairs,
            "sample": 0, "arm": arm, "outcome": outcome, "should_abstain": due_N,
            "has_answer": ~due_N, "truncated": truncated, "forced": False, "extended": 0,
            "thought": 5.0,
            "kind": kind or ["abstain" if o == "abstain" else "answer" if o else "none"
                             for o in outcome],
        }
        | more
    )  # fmt: skip


def value(table: pd.DataFrame, **where) -> pd.Series:
    (row,) = (row for _, row in table.iterrows() if all(row[k] == v for k, v in where.items()))
    return row


def test_measures_are_the_shares_of_all_replies_and_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    n = 200
    natural = rng.choice(["correct", "wrong", "abstain"], n).astype(object)
    natural[1::2] = rng.choice(["wrong", "abstain"], n // 2)
    stopped = natural.copy()
    stopped[:40:2] = None  # cut off: neither right nor abstaining
    stopped[1:40:2] = "abstain"
    kinds = ["clarify" if k % 4 == 1 else "abstain" for k in range(n)]
    cut_N = np.arange(n) < 40
    items = pd.concat(
        [graded(natural, kind=kinds), graded(stopped, arm="budget 4", kind=kinds,
                                             truncated=cut_N, thought=4.0)]
    )  # fmt: skip
    table = budget_table(items, units=UNITS, n_boot=200)
    answerable, due = slice(0, None, 2), slice(1, None, 2)
    for arm, said in (("natural", natural), ("budget 4", stopped)):
        place = {"arm": arm, "against": ""}
        for measure, of, expected in (
            ("accuracy", answerable, "correct"),
            ("over_abstention", answerable, "abstain"),
            ("abstention", due, "abstain"),
        ):
            row = value(table, measure=measure, **place)
            assert row["estimate"] == pytest.approx((said[of] == expected).mean())
            assert row["lo"] < row["estimate"] < row["hi"]
            assert row["n"] == n // 2
        clarified = (said[due] == "abstain") & (np.array(kinds)[due] == "clarify")
        assert value(table, measure="clarification", **place)["estimate"] == clarified.mean()
    assert value(table, arm="budget 4", against="", measure="truncation")["estimate"] == 0.2
    paired = value(table, arm="budget 4", against="natural", measure="abstention")
    expected = (stopped[due] == "abstain").mean() - (natural[due] == "abstain").mean()
    assert paired["estimate"] == pytest.approx(expected)
    apart = value(table, arm="budget 4", against="", measure="abstention")
    assert paired["hi"] - paired["lo"] < apart["hi"] - apart["lo"]  # most items are as they were
    tokens = value(table, arm="budget 4", against="natural", measure="thinking_tokens")
    assert tokens[["estimate", "lo", "hi"]].tolist() == pytest.approx([-1, -1, -1])
    assert "disagreement" not in set(table["measure"])


def test_disagreement_is_the_chance_that_two_replies_differ() -> None:
    samples = [["correct", "correct", "wrong"], ["wrong", "abstain", "correct"], ["wrong"] * 3]
    items = pd.concat(
        [graded([said[k] for said in samples], due=[False] * 3).assign(sample=k) for k in range(3)]
    )
    table = budget_table(items, units=("prompt_id",), against=None, n_boot=20)
    found = value(table, measure="disagreement")["estimate"]
    assert found == pytest.approx(np.mean([2 / 3, 1, 0]))


def test_a_model_that_never_abstains_has_shares_of_nought() -> None:
    """Shares of all that were asked; where nothing is due there is no share, and n says so."""
    outcome = ["correct", "wrong"] * 6
    items = pd.concat([graded(outcome), graded(outcome, arm="budget 4")])
    table = budget_table(items, units=UNITS, n_boot=20)
    for measure in ("abstention", "clarification", "over_abstention"):
        row = value(table, arm="budget 4", against="natural", measure=measure)
        assert row[["estimate", "lo", "hi", "n"]].tolist() == [0, 0, 0, 6]
    nothing_due = budget_table(items[~items["should_abstain"]], units=UNITS, n_boot=20)
    row = value(nothing_due, arm="natural", against="", measure="abstention")
    assert np.isnan(row["estimate"])
    assert row["n"] == 0


def test_tables_that_lack_something_are_refused() -> None:
    items = graded(["correct", "abstain"])
    with pytest.raises(InputError, match="lack the column thought"):
        budget_table(items.drop(columns="thought"), units=UNITS)
    with pytest.raises(InputError, match="no arm 'natural'"):
        budget_table(items.assign(arm="budget 4"), units=UNITS)
    with pytest.raises(InputError, match="twice"):
        budget_table(pd.concat([items, items]), units=UNITS)
