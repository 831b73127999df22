"""(QA)2 (Kim et al., arXiv 2212.10003): search queries that take for granted what is not so.

The evaluation set: half of its questions have an assumption that is false or cannot be verified.
The answer to such a question corrects the assumption (`meta.rebuttal`).
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_FILE = "QAQA_evaluation_set_Dec2022.csv"


def _records(folder: Path) -> list[Record]:
    return [_record(row, number) for number, row in enumerate(csv_rows(folder / _FILE), start=1)]


def _record(row: Row, number: int) -> Record:
    invalid = row.one_of("all_assumptions_valid", ("all_valid", "has_invalid")) == "has_invalid"
    answer = row.text("abstractive_answer").strip()
    return {
        "prompt_id": f"qaqa/{number}",
        # The queries end without a mark.
        "text": f"{row.text('question').strip().removesuffix('?')}?",
        "should_abstain": invalid,
        "scenario": "false_premise",
        "answers": [] if invalid else [answer],
        "dataset": "qaqa",
        "split": "test",
        "meta": {
            "assumption": row.text("questionable_assumption") if invalid else None,
            "kind": row.text("type_questionable_assumption"),
            "rebuttal": answer if invalid else None,
        },
    }


QAQA = Dataset(
    name="qaqa",
    folder="qaqa",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=570, should_abstain=285, pairs=0),
    scenarios=("false_premise",),
    url="https://github.com/najoungkim/qaqa",
    licence="not stated",
    caution=(
        "for evaluation only, never train on it; its counts are the published ones (602 questions, "
        "half of them questionable, less 32 set aside), not counted from the file"
    ),
)
