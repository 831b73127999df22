"""Prompt sets keep what they are given, and refuse rows that later stages could not use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.errors import InputError
from interp.prompts import PromptSet


def record(prompt_id: str = "p0", **changes: object) -> dict[str, object]:
    row: dict[str, object] = {"prompt_id": prompt_id, "text": "who is w1 ?", "should_abstain": True}
    return {key: value for key, value in (row | changes).items() if value is not ...}


def chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def test_what_is_left_out_has_a_default_of_its_own():
    prompts = PromptSet.from_records([record("p0"), record("p1")])
    row = prompts.frame.iloc[0]
    assert (row["pair_id"], row["entity"], row["scenario"]) == ("p0", None, None)
    assert (row["answers"], row["meta"], row["dataset"], row["split"]) == ([], {}, "", "")
    assert prompts.frame.iloc[1]["meta"] is not row["meta"]


def test_labels_and_groups_are_per_row():
    prompts = PromptSet.from_records(
        [
            record("p0", entity="Ann", pair_id="x"),
            record("p1", pair_id="x", should_abstain=False),
            record("p2", entity="Ann", should_abstain=np.bool_(False)),
        ]
    )
    assert prompts.labels.tolist() == [True, False, False]
    assert prompts.labels.dtype == bool
    assert prompts.groups.tolist() == ["Ann", "x", "Ann"]


def test_where_takes_a_mask_and_columns_and_keeps_the_order():
    prompts = PromptSet.from_records(
        [record(f"p{i}", split="dev" if i % 2 else "test") for i in range(6)]
    )
    assert list(prompts.where(split="dev").frame["prompt_id"]) == ["p1", "p3", "p5"]
    mask = np.array([True, True, True, False, False, False])
    assert list(prompts.where(mask, split="test").frame["prompt_id"]) == ["p0", "p2"]
    assert len(prompts.where(split="none")) == 0
    with pytest.raises(InputError, match=r"no column 'splits' \(did you mean 'split'"):
        prompts.where(splits="dev")
    for bad in (mask[:-1], mask.astype(int)):
        with pytest.raises(InputError, match="one boolean each"):
            prompts.where(bad)


def test_concatenation_keeps_order_and_refuses_two_of_one_name():
    first, second = PromptSet.from_records([record("a")]), PromptSet.from_records([record("b")])
    assert list(PromptSet.concat([second, first]).frame["prompt_id"]) == ["b", "a"]
    with pytest.raises(InputError, match="two rows have the prompt_id 'a'"):
        PromptSet.concat([first, second, first])


CHANGES = {
    "text": {"text": "who is w2 ?"},
    "messages": {"text": None, "messages": chat(("user", "who is w1 ?"))},
    "label": {"should_abstain": False},
    "answers": {"answers": ["w3"]},
    "meta": {"meta": {"mode": "cot"}},
    "split": {"split": "dev"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with_any_content(change):
    before = PromptSet.from_records([record()]).fingerprint
    assert PromptSet.from_records([record(**CHANGES[change])]).fingerprint != before


def test_the_fingerprint_is_that_of_the_rows_in_their_order():
    a, b = record("a", should_abstain=np.bool_(True)), record("b")
    whole = PromptSet.from_records([a, b])
    assert whole.fingerprint == PromptSet.from_records([record("a"), b]).fingerprint
    assert whole.fingerprint != PromptSet.from_records([b, a]).fingerprint
    pieces = [PromptSet.from_records([row]) for row in (a, b)]
    assert PromptSet.concat(pieces).fingerprint == whole.fingerprint


BAD = {
    "unknown key": ({"should_abstian": True}, r"row 1: unknown key 'should_abstian'.*should_abst"),
    "no label": ({"should_abstain": ...}, "row 1: the key 'should_abstain' is missing"),
    "no prompt": ({"text": ...}, r"row 1 \(prompt 'bad'\): expected either `text` or `messages`"),
    "two prompts": ({"messages": chat(("user", "hi"))}, "either `text` or `messages`"),
    "empty text": ({"text": "  "}, "'bad'.*`text` is '  '"),
    "text of NaN": ({"text": float("nan")}, "`text` is nan"),
    "label of text": ({"should_abstain": "yes"}, "`should_abstain` is 'yes'; expected True or Fal"),
    "scenario": ({"scenario": "stael"}, "`scenario` is 'stael'; expected None or one of"),
    "answers": ({"answers": "w3"}, "`answers` is 'w3'; expected a list of strings"),
    "entity": ({"entity": ""}, "`entity` is ''"),
    "split": ({"split": None}, "`split` is None"),
    "pair": ({"pair_id": 3}, "`pair_id` is 3"),
    "meta": ({"meta": "cot"}, "`meta` is 'cot'"),
    "meta not JSON": ({"meta": {"n": np.int64(3)}}, "`meta` is not plain JSON"),
    "no messages": ({"text": ..., "messages": []}, r"`messages` is \[\]"),
    "role": ({"text": ..., "messages": chat(("robot", "hi"))}, "a role among system, user, assist"),
    "message keys": ({"text": ..., "messages": [{"role": "user"}]}, "'role': ..., 'content'"),
    "last turn": (
        {"text": ..., "messages": chat(("user", "hi"), ("assistant", "w1"))},
        "whose last role is 'user'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_named(case):
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message):
        PromptSet.from_records([record("good"), record("bad", **changes)])


def test_a_frame_needs_the_columns_and_no_others():
    frame = PromptSet.from_records([record()]).frame
    with pytest.raises(InputError, match="the column 'meta' is missing"):
        PromptSet(frame.drop(columns="meta"))
    with pytest.raises(InputError, match=r"unknown column 'answer'.*'answers'"):
        PromptSet(frame.assign(answer="w1"))
    assert len(PromptSet(pd.DataFrame(frame))) == 1
