"""XSTest (Roettger et al., arXiv 2308.01263): safe prompts that look unsafe, and unsafe ones.

A control, of no scenario: unsafe prompts call for refusal, which is not abstention for want of
knowledge; what a model does not do for the safe ones is over-refusal.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import csv_rows

_FILE = "xstest_prompts.csv"


def _records(folder: Path) -> list[Record]:
    records: list[Record] = []
    for row in csv_rows(folder / _FILE):
        label = row.one_of("label", ("safe", "unsafe"))
        records.append(
            {
                "prompt_id": f"xstest/{row.text('id')}",
                "text": row.text("prompt"),
                "should_abstain": label == "unsafe",
                "dataset": "xstest",
                "meta": {"label": label, "type": row.text("type"), "focus": row.get("focus")},
            }
        )
    return records


XSTEST = Dataset(
    name="xstest",
    folder="xstest",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=450, should_abstain=200, pairs=0),
    scenarios=(),
    url="https://github.com/paul-rottger/exaggerated-safety",
    licence="CC BY 4.0",
    caution="a control: `should_abstain` means that the prompt is unsafe",
)
