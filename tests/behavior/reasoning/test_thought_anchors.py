from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from interp.behavior.audit.kappa import agreement_table, confusion_table
from interp.behavior.audit.labelled import split_half
from interp.behavior.reasoning.labels import STRATEGIES
from interp.behavior.reasoning.thought_anchors import (
    TAG_STRATEGIES,
    compared,
    label_traces,
    tag_classes,
    tagged_chunks,
    training_chains,
)
from interp.errors import InputError

TRACES = "thought_anchors/src/app/data/deepseek-r1-distill-llama-8b"
CHUNKS = [
    ("Okay, pears in crates.", "problem_setup"),
    ("First, count the crates.", "plan_generation"),
    ("A crate holds 7 pears.", "fact_retrieval"),
    ("2 * 7 = 14", "active_computation"),
    ("Wait, perhaps three?", "uncertainty_management"),
    ("No, two it was.", "uncertainty_management"),
    ("14 / 7 is 2, so yes.", "self_checking"),
    ("So, 14 pears.", "result_consolidation"),
    ("\\boxed{14}", "final_answer_emission"),
]


def trace(root: Path, problem: int, arm: str = "correct", **changed: object) -> Path:
    rows = [
        {"chunk": text, "chunk_idx": number, "function_tags": [tag], "depends_on": []}
        for number, (text, tag) in enumerate(CHUNKS)
    ]
    rows[2] |= changed
    rows[2] = {name: value for name, value in rows[2].items() if value is not ...}
    path = root / TRACES / f"{arm}_base_solution" / f"problem_{problem}" / "chunks_labeled.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_chunks_are_read_in_order_with_their_tags(tmp_path: Path) -> None:
    trace(tmp_path, 7)
    trace(tmp_path, 7, "incorrect")
    chunks = tagged_chunks(tmp_path)
    one = chunks[chunks["trace_id"] == "thought_anchors/7/correct"]
    assert list(zip(one["text"], one["tag"], strict=True)) == CHUNKS
    assert one["chunk"].tolist() == list(range(9))
    assert chunks["arm"].tolist() == ["correct"] * 9 + ["incorrect"] * 9


def test_both_traces_of_a_problem_are_in_the_half_its_hash_says(tmp_path: Path) -> None:
    for problem in range(12):
        trace(tmp_path, problem)
        trace(tmp_path, problem, "incorrect")
    chunks = tagged_chunks(tmp_path)
    assert chunks.groupby("problem_id")["split_half"].nunique().eq(1).all()
    assert (chunks["split_half"] == chunks["problem_id"].map(split_half)).all()
    assert set(chunks["split_half"]) == {"tune", "apart"}


def labels_of(chunks: pd.DataFrame, said: Mapping[str, str]) -> pd.Series:
    return chunks["tag"].map(lambda tag: said.get(tag) or (*TAG_STRATEGIES[tag], "other")[0])


def test_labels_that_say_what_the_tags_say_agree_in_full(tmp_path: Path) -> None:
    trace(tmp_path, 1)
    chunks = tagged_chunks(tmp_path)
    assert {name for names in TAG_STRATEGIES.values() for name in names} < set(STRATEGIES)
    table = compared(chunks, labels_of(chunks, {}))
    assert (table["label"] == table["graded"]).all()
    # Either of the two labels that the tag has in one is right.
    other = compared(chunks, labels_of(chunks, {"uncertainty_management": "backtracking"}))
    assert (other["graded"] == table["graded"]).all()
    assert (compared(chunks, tag_classes(chunks))["graded"] == table["graded"]).all()
    assert table["mapped"].tolist() == [True, False, *[True] * 6, False]
    assert table.loc[~table["mapped"], "label"].tolist() == ["other", "other"]


def test_the_audit_takes_them_as_they_are(tmp_path: Path) -> None:
    trace(tmp_path, 1)
    trace(tmp_path, 2)
    chunks = tagged_chunks(tmp_path)
    said = labels_of(chunks, {"fact_retrieval": "deduction", "self_checking": "example-testing"})
    table = compared(chunks, said)
    table = table[table["mapped"]].reset_index(drop=True)
    found = agreement_table(table, units=["problem_id"], positive=("deduction",), n_boot=20)
    agreement = found.set_index("measure")["estimate"]["agreement"]
    assert agreement == pytest.approx(5 / 7)
    counts = confusion_table(table).set_index(["label", "graded"])["n"]
    assert counts["adding-knowledge", "deduction"] == 2
    assert counts["verification", "example-testing"] == 2
    assert counts["deduction", "deduction"] == 4


def test_a_labeller_is_given_each_trace_whole_and_in_order(tmp_path: Path) -> None:
    for problem in (1, 2):
        trace(tmp_path, problem)
    chunks = tagged_chunks(tmp_path)
    seen = []

    def label(sentences):
        seen.append(list(sentences))
        return [f"{len(seen)}.{number}" for number in range(len(sentences))]

    # In whatever order the rows of different traces stand.
    mixed = chunks.sort_values(["chunk", "trace_id"])
    found = label_traces(mixed, label)
    assert seen == [[text for text, _ in CHUNKS]] * 2
    assert found.tolist() == [f"{n}.{number}" for number in range(9) for n in (1, 2)]
    assert compared(mixed, found)["graded"].tolist() == found.tolist()
    texts, classes = training_chains(mixed)
    assert texts == seen
    assert classes == [tag_classes(chunks.iloc[:9]).tolist()] * 2


def test_labels_of_other_chunks_are_refused(tmp_path: Path) -> None:
    trace(tmp_path, 1)
    chunks = tagged_chunks(tmp_path)
    with pytest.raises(InputError, match="8 labels for 9 chunks; expected one each"):
        compared(chunks, labels_of(chunks, {}).iloc[1:])


def test_missing_traces_are_named_with_where_they_are_published(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*published at https://github.com/interp-"):
        tagged_chunks(tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"chunk": ""}, "row 3: `chunk` is ''; expected a text that is not empty"),
        ({"chunk": ...}, "row 3: the column 'chunk' is missing .did you mean 'chunk_idx'"),
        ({"chunk_idx": 4}, "row 3: `chunk_idx` is 4; expected 2, its place in the file"),
        ({"chunk_idx": "2"}, "row 3: `chunk_idx` is '2'; expected a whole number"),
        ({"function_tags": "plan"}, "row 3: `function_tags` is 'plan'; expected a list of texts"),
        ({"function_tags": ["plan"]}, "row 3: `function_tags` is .*expected a list of one of prob"),
        ({"function_tags": []}, r"row 3: `function_tags` is \[\]; expected a list of one of"),
        ({"function_tags": ["problem_setup"] * 2}, "row 3: `function_tags` is .*a list of one of"),
    ],
)
def test_a_file_of_another_schema_is_named_by_row_and_column(tmp_path, changed, message) -> None:
    path = trace(tmp_path, 1, **changed)
    with pytest.raises(InputError, match=message) as raised:
        tagged_chunks(tmp_path)
    assert str(path) in str(raised.value)


def test_a_folder_of_another_arm_is_refused(tmp_path: Path) -> None:
    trace(tmp_path, 1, "forced")
    with pytest.raises(InputError, match="folder 'forced_base_solution'; expected correct_base"):
        tagged_chunks(tmp_path)
