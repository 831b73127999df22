"""Abstain-CoT of Abstain-R1: questions of seven public sets, each with a teacher's trace.

The label is the file's: the teacher boxes "I don't know." on the unanswerable ones, and its trace
(`meta.trace`) goes on with what is missing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_KINDS = ("answerable", "unanswerable")


def _file(source: str, kind: str) -> str:
    return f"data/Abstain-CoT/{source}/{source}_{kind}_clean_deepseek_filtered.jsonl"


def _records(folder: Path, *, source: str, scenario: str, split: str) -> list[Record]:
    name = f"abstain_r1_{source}"
    return [
        {
            "prompt_id": f"{name}/{kind}/{row.number}",
            "text": row.text("question"),
            "should_abstain": kind == "unanswerable",
            "scenario": scenario,
            "answers": [_answer(row)] if kind == "answerable" else [],
            "dataset": name,
            "split": split,
            "meta": {"trace": row.text("answer")},
        }
        for kind in _KINDS
        for row in json_lines(folder / _file(source, kind))
    ]


def _answer(row: Row) -> str:
    """What stands between the tags, or after them: some traces put the closing one before it."""
    body, closed, after = row.text("answer").rpartition("</answer>")
    _, opened, between = body.rpartition("<answer>")
    answer = after.strip() or (between.strip() if opened else "")
    if not closed or not answer:
        raise row.bad("answer", "a trace with an answer between <answer> and </answer>, or after")
    return answer


def _dataset(source: str, scenario: str, answerable: int, unanswerable: int) -> Dataset:
    evaluated_only = source == "qaqa"
    return Dataset(
        name=f"abstain_r1_{source}",
        folder="abstain_r1",
        files=tuple(_file(source, kind) for kind in _KINDS),
        records=partial(
            _records,
            source=source,
            scenario=scenario,
            split="test" if evaluated_only else "train",
        ),
        known=Counts(rows=answerable + unanswerable, should_abstain=unanswerable, pairs=0),
        scenarios=(scenario,),
        url="https://github.com/leo-leung04/Abstain-R1",
        licence="Apache-2.0; the questions keep the licences of their sources",
        caution="for evaluation only, never train on it" if evaluated_only else "",
    )


ABSTAIN_R1 = (
    _dataset("alcuna", "underspecified_context", 100, 71),
    _dataset("falseqa", "false_premise", 97, 93),
    _dataset("gsm8k_abstain", "underspecified_context", 100, 76),
    _dataset("known_unknown_questions", "answer_unknown", 96, 76),
    _dataset("musique", "underspecified_context", 99, 74),
    _dataset("qaqa", "false_premise", 99, 92),
    _dataset("squad2", "underspecified_context", 99, 88),
)
