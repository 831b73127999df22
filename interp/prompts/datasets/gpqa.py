"""GPQA-Diamond-Abstain of AbstentionBench (arXiv 2506.09038).

Questions of GPQA Diamond (Rein et al., arXiv 2311.12022), whole and without their context; the
choices stand below either, as there. The right one stands first in the first pair, second in the
second and so on, not at random, so that rows are the same however often they are read.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows
from interp.prompts.datasets.stubs import CAUTION, last_question, twins

_FILE = "gpqa_diamond.csv"
_LETTERS = "ABCD"
_WRONG = tuple(f"Incorrect Answer {number}" for number in (1, 2, 3))


def _records(folder: Path) -> list[Record]:
    # The rule is for the text as it stands: with spaces after the mark it does not apply.
    rows = [row for row in csv_rows(folder / _FILE) if last_question(row.text("Question"))]
    return [record for index, row in enumerate(rows) for record in _twins(row, index)]


def _twins(row: Row, index: int) -> list[Record]:
    right = index % len(_LETTERS)
    choices = [row.text(column).strip() for column in _WRONG]
    choices.insert(right, row.text("Correct Answer").strip())
    lines = [f"\n{letter}. {choice}" for letter, choice in zip(_LETTERS, choices, strict=True)]
    return twins(
        f"gpqa_diamond/{row.text('Record ID')}",
        row.text("Question"),
        [_LETTERS[right]],
        dataset="gpqa_diamond",
        options="".join(lines),
        meta={"subject": row.text("Subdomain"), "choice": choices[right]},
    )


GPQA_DIAMOND = Dataset(
    name="gpqa_diamond",
    folder="gpqa",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=80, should_abstain=40, pairs=40),
    scenarios=("underspecified_context",),
    url="https://huggingface.co/datasets/Idavidrein/gpqa",
    licence="CC BY 4.0; access on request",
    caution=f"its authors ask not to show questions in public; {CAUTION}",
)
