"""MMLU-Math and MMLU-History of AbstentionBench (arXiv 2506.09038).

Questions of MMLU (arXiv 2009.03300), whole and without their context; the choices stand below
either, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows
from interp.prompts.datasets.stubs import CAUTION, twins

_LETTERS = "ABCD"
_MATH = ("college_mathematics", "abstract_algebra", "high_school_mathematics")
_HISTORY = ("global_facts", "high_school_world_history", "prehistory")


def _file(subject: str) -> str:
    return f"data/mmlu/test/{subject}_test.csv"


def _records(folder: Path, *, name: str, subjects: Sequence[str]) -> list[Record]:
    records = []
    for subject in subjects:
        for number, row in enumerate(csv_rows(folder / _file(subject)), start=1):
            records += _twins(row, name, subject, number)
    return records


def _twins(row: Row, name: str, subject: str, number: int) -> list[Record]:
    # A choice may be empty or "None": it is text as it stands, not a value that is missing.
    choices = [str(row.get(f"choice{index}")) for index in range(len(_LETTERS))]
    right = int(row.one_of("answer", [str(index) for index in range(len(_LETTERS))]))
    lines = [f"\n{letter}. {choice}" for letter, choice in zip(_LETTERS, choices, strict=True)]
    return twins(
        f"{name}/{subject}/{number}",
        row.text("question"),
        [_LETTERS[right]],
        dataset=name,
        options="".join(lines),
        meta={"subject": subject, "choice": choices[right]},
    )


def _dataset(name: str, subjects: Sequence[str], pairs: int) -> Dataset:
    return Dataset(
        name=name,
        folder="mmlu_test",
        files=tuple(_file(subject) for subject in subjects),
        records=partial(_records, name=name, subjects=subjects),
        known=Counts(rows=2 * pairs, should_abstain=pairs, pairs=pairs),
        scenarios=("underspecified_context",),
        url="https://github.com/HaeChan0305/MLILAB-FedLLM",
        licence="MIT (hendrycks/test); this copy Apache-2.0",
        caution=CAUTION,
    )


MMLU_MATH = _dataset("mmlu_math", _MATH, 133)
MMLU_HISTORY = _dataset("mmlu_history", _HISTORY, 39)
