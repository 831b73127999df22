"""Boxed answers: made texts, and real traces of a reasoning model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp.behavior.audit.json_stream import read_objects
from interp.behavior.grading.boxed import boxed_answers, boxed_outcome, plain
from interp.errors import InputError

REAL = Path(__file__).parents[4] / "shared/data/sum_umwp_reasoning_outputs/data/out"
MODEL = "UMWP/DeepSeek-R1-Distill-Qwen-7B"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the public traces are not on this machine")


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        (r"so \boxed{5}.", ["5"]),
        (r"\boxed{\frac{1}{2}} or \boxed {3}", [r"\frac{1}{2}", "3"]),
        (r"\boxed{a{b{c}}d} tail }", ["a{b{c}}d"]),
        (r"\boxed{never closed", []),
        (r"\boxed{} \fbox{7}", ["", "7"]),
        ("no box", []),
    ],
)
def test_boxes_are_found_with_their_braces(text: str, boxes: list[str]) -> None:
    assert boxed_answers(text) == boxes


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"I\,don't\,know.", "I don't know."),
        (r"I\ don't\ know.", "I don't know."),
        (r"\text{I don't know.}", "I don't know."),
        (r"10,\!011", "10011"),
        (r"1,234.50", "1234.50"),
        (r"\dfrac{3}{4} \text{ hours}", "3/4 hours"),
        (r"60\%", "60%"),
    ],
)
def test_typesetting_is_taken_off(latex: str, text: str) -> None:
    assert plain(latex) == text


@pytest.mark.parametrize(
    ("reply", "answers", "graded"),
    [
        (r"\boxed{I\,don't\,know.}", [], "abstain"),
        (r"think \boxed{I don't know} then \boxed{5}", ["5"], "correct"),
        (r"\boxed{5} on reflection \boxed{I don’t know}", ["5"], "abstain"),
        (r"\boxed{2.50 \text{ hours}}", ["2.5"], "correct"),
        (r"\boxed{\frac{1}{2}}", ["0.5"], "correct"),
        (r"\boxed{-40}", ["40"], "wrong"),
        (r"\boxed{152 \text{ ounces}}", ["152.0"], "correct"),
        (r"\boxed{10\,\text{to}\,20}", ["10"], "wrong"),
        (r"\boxed{3/0}", ["3"], "wrong"),
        (r"\boxed{\text{Paris}}", ["paris"], "correct"),
        (r"\boxed{1,234}", ["1234.0"], "correct"),
        (r"\boxed{}", ["5"], "none"),
        ("cut off before the box", ["5"], "none"),
        (r"\boxed{unknown}", ["5"], "abstain"),
    ],
)
def test_the_last_box_is_graded(reply: str, answers: list[str], graded: str) -> None:
    assert boxed_outcome(reply, answers) == graded


@real
@pytest.mark.parametrize(
    ("file", "abstaining"),
    [
        (f"stage1/{MODEL}/unsolve/generation_log_formal.jsonl", 127),
        (f"stage1/{MODEL}/solve/generation_log_formal.jsonl", 3),
        (f"stage2/{MODEL}/unsolve_intervention_result.jsonl", 191),
        (f"stage2/{MODEL}/solve_intervention_result.jsonl", 6),
    ],
)
def test_real_traces_abstain_as_often_as_known(file: str, abstaining: int) -> None:
    """.423 and .637 of 300 unanswerable problems, .010 and .020 of 300 answerable ones."""
    rows, cut = read_objects(REAL / file)
    assert (len(rows), cut) == (300, False)
    graded = [boxed_outcome(row["output"], []) for row in rows]
    assert graded.count("abstain") == abstaining
    # Those without a box are counted apart, not as answers.
    assert graded.count("none") == sum(
        not any(plain(box) for box in boxed_answers(row["output"])) for row in rows
    )


@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("between", ["\n", "", ",\n"])
def test_objects_are_read_however_they_are_put_together(
    tmp_path: Path, indent: int | None, between: str
) -> None:
    rows = [{"a": 1, "b": "}{"}, {"a": 2, "b": {"c": "é\n"}}]
    path = tmp_path / "rows.jsonl"
    text = between.join(json.dumps(row, indent=indent) for row in rows)
    path.write_text(f"\n{text}\n", encoding="utf-8")
    assert read_objects(path) == (rows, False)


def test_an_object_that_was_cut_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": 2, "b": "some te', encoding="utf-8")
    assert read_objects(path) == ([{"a": 1}], True)


def test_what_is_no_object_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"a": oops}\n{"a": 3}', encoding="utf-8")
    with pytest.raises(InputError, match="line 2: not JSON"):
        read_objects(path)
    path.write_text('{"a": 1}\n[1, 2]', encoding="utf-8")
    with pytest.raises(InputError, match="line 2: expected an object, found list"):
        read_objects(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_objects(tmp_path / "none.jsonl")
