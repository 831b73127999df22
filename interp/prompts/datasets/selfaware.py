"""SelfAware (Yin et al., arXiv 2305.18153): questions nobody can answer, and answerable ones."""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import json_list

_FILE = "data/SelfAware.json"


def _records(folder: Path) -> list[Record]:
    records: list[Record] = []
    for row in json_list(folder / _FILE, "example"):
        answerable = row.flag("answerable")
        records.append(
            {
                "prompt_id": f"selfaware/{row.integer('question_id')}",
                "text": row.text("question"),
                "should_abstain": not answerable,
                "scenario": "answer_unknown",
                "answers": row.texts("answer") if answerable else [],
                "dataset": "selfaware",
                "meta": {"source": row.text("source")},
            }
        )
    return records


SELFAWARE = Dataset(
    name="selfaware",
    folder="selfaware",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=3369, should_abstain=1032, pairs=0),
    scenarios=("answer_unknown",),
    url="https://github.com/yinzhangyue/SelfAware",
    licence="CC BY-SA 4.0",
    caution="answerable questions come from other sources (`meta.source`): the source tells labels",
)
