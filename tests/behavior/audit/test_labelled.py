"""Labelled replies: what each layout becomes, known counts of the real files, and clear errors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from interp.behavior.audit.labelled import COLUMNS, labelled_replies, split_half
from interp.errors import InputError
from tests.behavior import published_replies as made
from tests.behavior.published_replies import MAKERS, REAL

FOLDERS = {
    "mip": "mip_overthinking",
    "umwp_traces": "sum_umwp_reasoning_outputs",
    "triviaqa": "sae_entities",
    "xstest": "xstest",
    "truthfulqa": "truthfulqa",
}
COUNTS = {
    "mip": {"abstain": 1884, "answer": 820, "other": 259, "format_error": 1},
    "umwp_traces": {"correct": 567, "abstain": 327, "wrong": 195, "none": 111},
    "triviaqa": {"error": 232, "refusal": 157, "correct": 123},
    "xstest": {"full_refusal": 524, "compliance": 277, "partial_refusal": 99},
    "truthfulqa": {"informative": 18076, "uninformative": 4358},
}


@pytest.mark.parametrize("source", MAKERS)
def test_every_source_has_the_same_columns_and_ids_that_tell_replies_apart(source, tmp_path):
    MAKERS[source](tmp_path)
    replies = labelled_replies(source, tmp_path)
    assert tuple(replies.columns) == COLUMNS
    assert replies["reply_id"].is_unique
    assert set(replies["source"]) == {source}
    assert not replies.isna().any().any()


@pytest.mark.parametrize("source", COUNTS)
def test_the_real_files_have_the_labels_that_were_counted(source):
    if not (REAL / FOLDERS[source]).is_dir():
        pytest.skip("the public files are not on this machine")
    replies = labelled_replies(source, REAL)
    assert replies["label"].value_counts().to_dict() == COUNTS[source]
    assert replies["reply_id"].is_unique
    halves = replies.groupby("question_id")["split_half"].nunique()
    assert (halves == 1).all()
    assert 0.4 < (replies["split_half"] == "tune").mean() < 0.6


def test_a_half_is_the_parity_of_the_hash():
    for number in range(20):
        parity = int(hashlib.sha256(f"q{number}".encode()).hexdigest(), 16) % 2
        assert split_half(f"q{number}") == ("tune", "apart")[parity]


def test_mip_finds_a_problem_by_its_text_whatever_the_order_of_the_file(tmp_path):
    made.mip(tmp_path, {"Qwen32": [("It is 4.", 1), (made.GAP, 0), ("It is 9.", 2), ("?", 3)]})
    replies = labelled_replies("mip", tmp_path).set_index("question_id").sort_index()
    assert replies["label"].tolist() == ["answer", "abstain", "other", "format_error"]
    assert replies.index.tolist() == [f"mip_overthinking/gsm8k/{n}" for n in (1, 2, 3, 4)]
    assert replies["question"].str.contains("oven").all()
    assert replies["should_abstain"].all()


def test_mip_pairs_a_whole_problem_with_the_one_that_lacks_a_premise(tmp_path):
    made.mip(tmp_path)
    whole = [{"m (question)": "14", "eval_result": 1}, {"m (question)": "7", "eval_result": 1}]
    made.put_json(tmp_path / made.MIP_WHOLE.format(model="m"), whole)
    replies = labelled_replies("mip", tmp_path)
    by_arm = replies.groupby("arm")["question_id"].agg(set)
    assert by_arm["whole"] == by_arm["missing"]
    assert replies.groupby("arm")["should_abstain"].first().to_dict() == {
        "missing": True,
        "whole": False,
    }


def test_umwp_traces_join_twins_and_grade_the_box(tmp_path):
    made.umwp_traces(
        tmp_path,
        {
            ("plain", True): [f"a </think> {made.BOXED_GAP}", "b, and on, and on"],
            ("plain", False): [r"a </think> \boxed{6}", r"b </think> \boxed{5}"],
            ("intervention", True): [r"a </think> \boxed{4}", f"b </think> {made.BOXED_GAP}"],
            ("intervention", False): [r"a </think> \boxed{6}", r"b </think> \boxed{6.0}"],
        },
    )
    replies = labelled_replies("umwp_traces", tmp_path)
    assert replies["label"].tolist() == [
        *("abstain", "none", "correct", "wrong"),
        *("wrong", "abstain", "correct", "correct"),
    ]
    assert replies["truncated"].tolist() == [False, True, *[False] * 6]
    assert replies["question_id"].tolist() == ["umwp/0", "umwp/1"] * 4
    assert replies["question"].iloc[0] == "How many loaves 0?"


def test_xstest_takes_contrasts_as_prompts_to_refuse(tmp_path):
    made.xstest(tmp_path)
    replies = labelled_replies("xstest", tmp_path)
    assert replies["label"].tolist() == ["compliance", "full_refusal"]
    assert replies["should_abstain"].tolist() == [False, True]
    assert replies["reply"].tolist() == ["Use kill.", "I will not."]


def test_truthfulqa_parts_the_question_from_the_reply(tmp_path):
    made.truthfulqa(tmp_path)
    replies = labelled_replies("truthfulqa", tmp_path)
    assert replies["question"].tolist() == ["Who baked?", "Who baked?", "Who ate?"]
    assert replies["reply"].tolist() == ["I have no comment.", "Bo.\nA: And Al.", ""]
    assert replies["question_id"].nunique() == 2
    assert replies["label"].tolist() == ["uninformative", "informative", "uninformative"]


def test_an_unknown_source_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no labelled replies 'umwp'.*umwp_traces"):
        labelled_replies("umwp", tmp_path)


@pytest.mark.parametrize("source", MAKERS)
def test_a_missing_file_is_named_with_where_it_is_published(source, tmp_path):
    with pytest.raises(InputError, match=rf"{source}: no file .*published at https://"):
        labelled_replies(source, tmp_path)


@pytest.mark.parametrize(
    ("source", "changed", "message"),
    [
        ("triviaqa", {"label": "right"}, r"row 1: `label` is 'right'; expected one of correct"),
        (
            "triviaqa",
            {"greedy_completion": ""},
            "row 1: `greedy_completion` is ''; expected a text",
        ),
        ("xstest", {"final_label": "4"}, "line 3: `final_label` is '4'; expected one of 1_full"),
        ("truthfulqa", {"completion": " maybe"}, "line 1: `completion` is .* one of yes, no"),
        ("truthfulqa", {"prompt": "Q: Who?"}, "line 1: `prompt` is 'Q: Who\\?'; expected 'Q:"),
    ],
)
def test_a_value_of_another_schema_is_named_by_row_and_column(source, changed, message, tmp_path):
    MAKERS[source](tmp_path, **changed)
    with pytest.raises(InputError, match=message):
        labelled_replies(source, tmp_path)


def mip_row(**changed: object) -> dict[str, object]:
    first = "Bo bakes 0 loaves a day. How many in a week?"
    return {"model_answer": "4", "eval_result": 1, "question": first} | changed


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([mip_row()], r"1 rows; expected 2, one a problem of .*gsm8k\.json"),
        ([mip_row(eval_result=7)] * 2, "row 1: `eval_result` is 7; expected one of 0, 1, 2, 3"),
        ([mip_row(question="Who?")] * 2, "row 1: `question` is 'Who\\?'; expected a problem of"),
        ([{"eval_result": 1}] * 2, "row 1: 0 columns of replies; expected one, `model_answer`"),
        ([mip_row(**{"m (question)": "4"})] * 2, "row 1: 2 columns of replies"),
        ([{"model_answer": "4"}] * 2, "row 1: the column 'eval_result' is missing"),
    ],
)
def test_mip_rows_that_do_not_fit_are_named(rows, message, tmp_path):
    made.mip(tmp_path)
    made.put_json(tmp_path / made.MIP_MISSING.format(model="Qwen32"), rows)
    with pytest.raises(InputError, match=message):
        labelled_replies("mip", tmp_path)


def test_mip_rows_in_place_must_have_the_answers_of_their_problems(tmp_path):
    made.mip(tmp_path)
    rows = [{"model_answer": "4", "eval_result": 1, "answer": "#### 5"}] * 2
    made.put_json(tmp_path / made.MIP_MISSING.format(model="Qwen32"), rows)
    with pytest.raises(InputError, match=r"row 1: `answer` is '#### 5'; expected that of the same"):
        labelled_replies("mip", tmp_path)


def test_mip_without_its_problems_or_with_another_arm_is_refused(tmp_path):
    made.mip(tmp_path)
    (tmp_path / made.MIP_DATA).rename(tmp_path / "kept.json")
    with pytest.raises(InputError, match=r"no file .*data/gsm8k\.json; it is published at"):
        labelled_replies("mip", tmp_path)
    (tmp_path / "kept.json").rename(tmp_path / made.MIP_DATA)
    made.put_json(tmp_path / "mip_overthinking/response/gsm8k/half/m/response.json", [mip_row()])
    with pytest.raises(InputError, match="arm 'half'; expected MiP or normal"):
        labelled_replies("mip", tmp_path)


def test_a_file_of_traces_that_breaks_off_is_refused(tmp_path):
    made.umwp_traces(tmp_path)
    path = tmp_path / made.UMWP_OUT / made.UMWP_FILES["plain", True]
    path.write_text(path.read_text()[:-10])
    with pytest.raises(InputError, match="breaks off after 0 rows; copy it again"):
        labelled_replies("umwp_traces", tmp_path)


@pytest.mark.parametrize(
    ("due", "changed", "message"),
    [
        (False, {"question_index": 100}, "object 1: `question_index` is 100; expected a problem"),
        (True, {"question_index": 0}, "object 1: `question_index` is 0; expected a problem"),
        (False, {"ground_truth": {}}, r"object 1: `ground_truth` is \{\}; expected a right answer"),
        (False, {"output": 5}, "object 1: `output` is 5; expected a text"),
    ],
)
def test_traces_that_do_not_fit_are_named(due, changed, message, tmp_path):
    made.umwp_traces(tmp_path)
    path = tmp_path / made.UMWP_OUT / made.UMWP_FILES["plain", due]
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(InputError, match=message):
        labelled_replies("umwp_traces", tmp_path)


def test_a_twin_must_be_one_problem(tmp_path):
    made.umwp_traces(tmp_path)
    folder: Path = tmp_path / "sum_umwp_reasoning_outputs/data/umwp"
    made.put(folder / "umwp_unanswer_data2.jsonl", '{"id": 100, "relevant_ids": []}')
    with pytest.raises(InputError, match=r"object 1: `relevant_ids` is \[\]; expected the id of"):
        labelled_replies("umwp_traces", tmp_path)
