"""MediQ (Li et al., arXiv 2406.00922): medical questions with the whole record, or its first line.

As in AbstentionBench: the first line alone leaves the answer open; three questions of iMEDQA have
no record and are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_FILES = {"icraftmd": "data/all_craft_md.jsonl", "imedqa": "data/all_dev_good.jsonl"}


def _records(folder: Path) -> list[Record]:
    return [
        record
        for source, file in _FILES.items()
        for row in json_lines(folder / file)
        for record in _twins(row, source)
    ]


def _twins(row: Row, source: str) -> list[Record]:
    lines = [line if line.endswith(".") else f"{line}." for line in row.texts("context")]
    if not lines:
        return []
    pair_id = f"mediq/{source}/{row.integer('id')}"
    common: dict[str, Any] = {
        "pair_id": pair_id,
        "scenario": "underspecified_context",
        "dataset": "mediq",
        "meta": {"source": source},
    }
    whole = {
        "prompt_id": f"{pair_id}/whole",
        "text": _prompt(row, " ".join(lines)),
        "should_abstain": False,
        "answers": [row.text("answer")],
    }
    first = {
        "prompt_id": f"{pair_id}/first_line",
        "text": _prompt(row, lines[0]),
        "should_abstain": True,
    }
    return [{**common, **whole}, {**common, **first}]


def _prompt(row: Row, context: str) -> str:
    options = row.get("options")
    if not isinstance(options, dict) or not all(isinstance(one, str) for one in options.values()):
        raise row.bad("options", "an object of texts")
    choices = "\n".join(options.values())
    return f"Context: {context}\nQuestion: {row.text('question')}\nChoices:\n{choices}\nAnswer:"


MEDIQ = Dataset(
    name="mediq",
    folder="mediq",
    files=tuple(_FILES.values()),
    records=_records,
    known=Counts(rows=2818, should_abstain=1409, pairs=1409),
    scenarios=("underspecified_context",),
    url="https://github.com/stellalisy/mediQ",
    licence="CC BY 4.0",
    caution="one line of context is shorter than all: report a length-only baseline with it",
)
