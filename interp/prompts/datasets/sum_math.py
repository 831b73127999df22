"""SUM (Song et al., arXiv 2505.13988): competition problems, each beside one made unanswerable.

The test set as Abstain-R1 publishes it.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_FILE = "data/Abstain-Test-SUM/sum_test.jsonl"


def _records(folder: Path) -> list[Record]:
    return [
        _record(row, should_abstain)
        for row in json_lines(folder / _FILE)
        for should_abstain in (False, True)
    ]


def _record(row: Row, should_abstain: bool) -> Record:
    kind = "unanswerable" if should_abstain else "answerable"
    pair_id = f"sum/{row.number}"
    return {
        "prompt_id": f"{pair_id}/{kind}",
        "pair_id": pair_id,
        "text": row.text(f"{kind}_question"),
        "should_abstain": should_abstain,
        "scenario": "underspecified_context",
        "answers": [] if should_abstain else [row.text("ground_truth")],
        "dataset": "sum",
        "split": "test",
    }


SUM = Dataset(
    name="sum",
    folder="abstain_r1",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=568, should_abstain=284, pairs=284),
    scenarios=("underspecified_context",),
    url="https://github.com/leo-leung04/Abstain-R1",
    licence="Apache-2.0; the problems keep the licence of their source",
)
