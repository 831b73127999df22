"""Targets, levels and files of prompt sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from interp.errors import InputError
from interp.prompts import PromptSet, levels_of, read_prompts, targets_of


def record(number: int, **changes: object) -> dict[str, object]:
    plain = {"prompt_id": f"p{number}", "text": f"question {number}", "should_abstain": False}
    return {**plain, **changes}


def prompt_set(*changes: dict[str, object]) -> PromptSet:
    return PromptSet.from_records([record(n, **one) for n, one in enumerate(changes)])


def test_a_boolean_column_is_one_target_and_rows_without_a_value_are_none_of_it() -> None:
    prompts = prompt_set(
        {"meta": {"seen": True}}, {"meta": {}}, {"meta": {"seen": False}}, {"meta": {"seen": None}}
    )
    (target,) = targets_of(prompts, ["meta.seen"])
    assert target.name == "meta.seen"
    assert target.rows_M.tolist() == [0, 2]
    assert target.labels_M.tolist() == [True, False]


def test_a_column_of_several_values_is_read_one_against_the_rest() -> None:
    prompts = prompt_set(
        {"scenario": "stale"}, {"scenario": "subjective"}, {}, {"scenario": "stale"}
    )
    stale, subjective = targets_of(prompts, ["scenario"])
    assert (stale.name, subjective.name) == ("scenario=stale", "scenario=subjective")
    assert stale.rows_M.tolist() == subjective.rows_M.tolist() == [0, 1, 3]
    assert stale.labels_M.tolist() == [True, False, True]
    np.testing.assert_array_equal(stale.labels_M, ~subjective.labels_M)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("should_abstian", "did you mean 'should_abstain'"),
        ("meta.hop", r"meta\.hop.*did you mean 'meta\.hops'.*no such column"),
        ("meta.mixed", "its values are int, str; expected all True or False"),
        ("meta.score", "its values are float"),
        ("dataset", r"all 3 rows that have a value \(row 0 is the first\) are 'd'"),
        ("meta.none", "its values are nothing"),
    ],
)
def test_a_target_that_is_none_is_refused(column: str, message: str) -> None:
    metas = [
        {"hops": 1, "mixed": 1, "score": 0.5, "none": None},
        {"hops": 2, "mixed": "a"},
        {"hops": 2},
    ]
    prompts = prompt_set(*({"dataset": "d", "meta": meta} for meta in metas))
    with pytest.raises(InputError, match=message):
        targets_of(prompts, [column])
    with pytest.raises(InputError, match="none given"):
        targets_of(prompts, [])


def test_the_answerable_half_of_a_pair_lies_in_its_scenario() -> None:
    prompts = prompt_set(
        {"pair_id": "a", "scenario": "stale", "dataset": "d"},
        {"pair_id": "a", "dataset": "d"},
        {"pair_id": "b", "dataset": "e"},
    )
    levels = levels_of(prompts)
    assert list(levels) == ["scenario", "dataset", "pair"]
    assert levels["scenario"].tolist() == ["stale", "stale", ""]
    assert levels["pair"].tolist() == ["a", "a", "b"]
    assert list(levels_of(prompts, ["pair"])) == ["pair"]


def test_units_that_are_not_nested_are_named_with_their_rows() -> None:
    prompts = prompt_set(
        {"entity": "x", "dataset": "d"},
        {"entity": "y", "dataset": "d"},
        {"entity": "x", "dataset": "e"},
    )
    with pytest.raises(InputError, match=r"rows 0 and 2 are both of the pair 'x', .*'d' and 'e'"):
        levels_of(prompts)
    assert levels_of(prompts, ["pair"])["pair"].tolist() == ["x", "y", "x"]
    with pytest.raises(InputError, match="did you mean 'dataset'"):
        levels_of(prompts, ["datset", "pair"])


def test_a_file_is_read_as_it_stands(tmp_path: Path) -> None:
    # A line separator inside a string is no end of a line.
    rows = [record(0, text="one\u2028two"), record(1, meta={"k": 1})]
    path = tmp_path / "questions.jsonl"
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text + "\n\n", encoding="utf-8")
    assert read_prompts(path).fingerprint == PromptSet.from_records(rows).fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no prompts in it"),
        (b'{"prompt_id": 1\n', "line 1: not JSON"),
        (b"\n[1]\n", "line 2: expected an object"),
        (b"\xff\xfe", "cannot be read as a prompt set"),
        (b'{"prompt_id": "a", "txt": "?"}', "unknown key 'txt'.*did you mean 'text'"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s)questions.jsonl.*{message}"):
        read_prompts(path)
    with pytest.raises(InputError, match=r"missing\.jsonl: cannot be read"):
        read_prompts(tmp_path / "missing.jsonl")
