"""One's own table: the same prompts from CSV, JSON lines and parquet."""

from __future__ import annotations

import pandas as pd
import pytest

from interp.errors import InputError
from interp.prompts.datasets import read_table
from tests.prompts.datasets.files import put, put_csv, put_lines

COLUMNS = {
    "prompt_id": "key",
    "text": "q",
    "should_abstain": "unanswerable",
    "answers": "gold",
    "scenario": "why",
    "meta.topic": "topic",
}
ROWS = [
    {"key": 1, "q": "Who?", "unanswerable": "yes", "gold": "", "why": "stale", "topic": "x"},
    {"key": 2, "q": "What?", "unanswerable": "no", "gold": "Bo", "why": "", "topic": "y"},
    {"key": 3, "q": "Why?", "unanswerable": "0", "gold": '["a, b", "c"]', "why": "", "topic": "y"},
]


def test_three_formats_give_the_same_prompts(tmp_path):
    (tmp_path / "csv").mkdir()
    paths = [
        put_csv(tmp_path / "mine.csv", ROWS),
        put_lines(
            tmp_path / "mine.jsonl",
            [
                ROWS[0] | {"unanswerable": True, "gold": None, "why": "stale"},
                ROWS[1] | {"unanswerable": False, "gold": ["Bo"], "why": None},
                ROWS[2] | {"unanswerable": 0, "gold": ["a, b", "c"], "why": None},
            ],
        ),
    ]
    frame = pd.DataFrame(ROWS).assign(
        unanswerable=[True, False, False], gold=[[], ["Bo"], ["a, b", "c"]]
    )
    frame.to_parquet(tmp_path / "mine.parquet")
    prompts = [read_table(path, COLUMNS) for path in [*paths, tmp_path / "mine.parquet"]]
    assert len({one.fingerprint for one in prompts}) == 1
    rows = prompts[0].frame.to_dict("records")
    assert [row["prompt_id"] for row in rows] == ["1", "2", "3"]
    assert [row["answers"] for row in rows] == [[], ["Bo"], ["a, b", "c"]]
    assert [row["should_abstain"] for row in rows] == [True, False, False]
    assert [row["scenario"] for row in rows] == ["stale", None, None]
    assert [row["meta"] for row in rows] == [{"topic": "x"}, {"topic": "y"}, {"topic": "y"}]
    assert {row["dataset"] for row in rows} == {"mine"}


def test_ids_that_are_not_named_are_those_of_the_lines(tmp_path):
    path = put(tmp_path / "own.csv", 'q,a\n"Who\nis it?",1\nWhat?,0\n')
    prompts = read_table(path, {"text": "q", "should_abstain": "a"})
    assert prompts.frame["prompt_id"].tolist() == ["own/3", "own/4"]
    assert prompts.frame["pair_id"].tolist() == ["own/3", "own/4"]


def test_messages_may_stand_for_the_text(tmp_path):
    messages = [{"role": "user", "content": "Who?"}]
    path = put_lines(tmp_path / "own.jsonl", [{"m": messages, "a": True}])
    prompts = read_table(path, {"messages": "m", "should_abstain": "a"})
    assert prompts.frame["messages"][0] == messages


BAD = {
    "column that is not there": ({"text": "question"}, {}, "line 2: the column 'question' is mi"),
    "column of no prompt set": ({"txt": "q"}, {}, r"no column 'txt' \(did you mean 'text'"),
    "meta without a key": ({"meta.": "q"}, {}, "no column 'meta.'"),
    "label": ({}, {"unanswerable": "maybe"}, "line 2: `unanswerable` is 'maybe'; expected true"),
    "no label": ({}, {"unanswerable": ""}, "line 2: `unanswerable` is ''; expected true"),
    "answers": ({}, {"gold": '["a"'}, r"line 2: `gold` is '\[\"a\"'; expected one answer, or a JS"),
    "scenario": ({}, {"why": "because"}, "mine.csv: .*`scenario` is 'because'; expected None or"),
    "no text": ({}, {"q": ""}, "mine.csv: .*expected either `text` or `messages`"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_said(case, tmp_path):
    columns, changed, message = BAD[case]
    path = put_csv(tmp_path / "mine.csv", [ROWS[0] | changed])
    with pytest.raises(InputError, match=message):
        read_table(path, COLUMNS | columns)


def test_a_table_needs_prompts_and_labels(tmp_path):
    path = put_csv(tmp_path / "mine.csv", ROWS)
    for columns in ({"text": "q"}, {"should_abstain": "unanswerable"}, {}):
        with pytest.raises(InputError, match="which column is `should_abstain`, and which is `tex"):
            read_table(path, columns)
    with pytest.raises(InputError, match=r"mine.xlsx: expected a file that ends with .csv, .jsonl"):
        read_table(tmp_path / "mine.xlsx", COLUMNS)
