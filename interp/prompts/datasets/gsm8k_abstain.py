"""GSM8K-Abstain: test problems of GSM8K (arXiv 2110.14168), whole and without their context."""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines
from interp.prompts.datasets.stubs import CAUTION, twins

_FILE = "grade_school_math/data/test.jsonl"


def gsm8k_answer(row: Row) -> str:
    """The number after the worked solution."""
    _, mark, number = row.text("answer").rpartition("#### ")
    if not mark or not number.strip():
        raise row.bad("answer", "a solution that ends with '#### ' and a number")
    return number.strip()


def _records(folder: Path) -> list[Record]:
    return [
        record
        for row in json_lines(folder / _FILE)
        for record in twins(
            f"gsm8k_abstain/{row.number}",
            row.text("question"),
            [gsm8k_answer(row)],
            dataset="gsm8k_abstain",
        )
    ]


GSM8K_ABSTAIN = Dataset(
    name="gsm8k_abstain",
    folder="gsm8k",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=2426, should_abstain=1213, pairs=1213),
    scenarios=("underspecified_context",),
    url="https://github.com/openai/grade-school-math",
    licence="MIT",
    caution=CAUTION,
)
