"""FalseQA (Hu et al., arXiv 2307.02394): questions with a false premise, and their true twins.

The file's first half has the false premises and its second half the true ones, in one order: the
n-th of either half are a pair.
"""

from __future__ import annotations

import ast
from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_FILE = "dataset/test.csv"


def _records(folder: Path) -> list[Record]:
    rows = csv_rows(folder / _FILE)
    half = len(rows) // 2
    return [_record(row, index, half) for index, row in enumerate(rows)]


def _record(row: Row, index: int, half: int) -> Record:
    label = row.one_of("label", ("0", "1"))
    if (label == "1") != (index < half):
        raise row.bad("label", "1 throughout the file's first half and 0 throughout its second")
    pair_id = f"falseqa/{index % half + 1}"
    return {
        "prompt_id": f"{pair_id}/{'false' if label == '1' else 'true'}",
        "pair_id": pair_id,
        "text": row.text("question"),
        "should_abstain": label == "1",
        "scenario": "false_premise",
        "answers": [] if label == "1" else _answers(row),
        "dataset": "falseqa",
        "split": "test",
        "meta": {"rebuttals": _answers(row) if label == "1" else []},
    }


def _answers(row: Row) -> list[str]:
    """One answer, or a list of them written as in Python."""
    if not row.text("answer").startswith("["):
        return [row.text("answer")]
    try:
        answers = ast.literal_eval(row.text("answer"))
    except (SyntaxError, ValueError) as error:
        raise row.bad("answer", "one answer, or a list as ['...', '...']") from error
    if not isinstance(answers, list) or not all(isinstance(one, str) for one in answers):
        raise row.bad("answer", "one answer, or a list as ['...', '...']")
    return answers


FALSEQA = Dataset(
    name="falseqa",
    folder="falseqa",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=1374, should_abstain=687, pairs=687),
    scenarios=("false_premise",),
    url="https://github.com/thunlp/FalseQA",
    licence="not stated",
)
