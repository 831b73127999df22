"""TruthfulQA (Lin et al., arXiv 2109.07958): questions that many people answer wrongly.

A question whose best answer is "I have no comment" calls for abstention. They are of several kinds
(indexical, fictional, misinformed), so none is put into a scenario.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_FILE = "data/v1/TruthfulQA.csv"
_NO_COMMENT = "I have no comment"


def _records(folder: Path) -> list[Record]:
    return [_record(row, number) for number, row in enumerate(csv_rows(folder / _FILE), start=1)]


def _record(row: Row, number: int) -> Record:
    best = row.text("Best Answer").strip()
    return {
        "prompt_id": f"truthfulqa/{number}",
        "text": row.text("Question").strip(),
        "should_abstain": best == _NO_COMMENT,
        "answers": list(dict.fromkeys([best, *_listed(row, "Correct Answers")])),
        "dataset": "truthfulqa",
        "meta": {
            "type": row.one_of("Type", ("Adversarial", "Non-Adversarial")),
            "category": row.text("Category"),
            "incorrect": _listed(row, "Incorrect Answers"),
        },
    }


def _listed(row: Row, column: str) -> list[str]:
    return [part.strip() for part in row.text(column).split(";") if part.strip()]


TRUTHFULQA = Dataset(
    name="truthfulqa",
    folder="truthfulqa",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=817, should_abstain=56, pairs=0),
    scenarios=(),
    url="https://github.com/koppula/TruthfulQA",
    licence="Apache-2.0",
    caution='abstaining answers ("I have no comment") are accepted wherever the source lists them',
)
