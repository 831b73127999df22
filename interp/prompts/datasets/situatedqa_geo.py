"""SituatedQA, geographic (Zhang and Choi, arXiv 2109.06157): questions whose answer needs a place.

As in AbstentionBench: the question without a place calls for abstention, the edited ones that name
a place can be answered; they are one group.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import json_lines

_FILE = "data/qa_data/geo.test.jsonl"


def _records(folder: Path) -> list[Record]:
    records: list[Record] = []
    seen: set[str] = set()
    for row in json_lines(folder / _FILE):
        pair_id = f"situatedqa_geo/{row.integer('id')}"
        common: dict[str, Any] = {
            "pair_id": pair_id,
            "scenario": "underspecified_intent",
            "dataset": "situatedqa_geo",
            "split": "test",
        }
        if pair_id not in seen:
            seen.add(pair_id)
            bare = {
                "prompt_id": f"{pair_id}/no_place",
                "text": f"{row.text('question')}?",
                "should_abstain": True,
            }
            records.append({**common, **bare})
        placed = {
            "prompt_id": f"{pair_id}/{row.text('location')}",
            "text": f"{row.text('edited_question')}?",
            "should_abstain": False,
            "answers": row.texts("answer"),
            "meta": {"location": row.text("location"), "elsewhere": row.texts("any_answer")},
        }
        records.append({**common, **placed})
    return records


SITUATEDQA_GEO = Dataset(
    name="situatedqa_geo",
    folder="situatedqa",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=635, should_abstain=129, pairs=129),
    scenarios=("underspecified_intent",),
    url="https://github.com/mikejqzhang/SituatedQA",
    licence="not stated",
    caution="several answerable questions to one that is not: weigh by pair",
)
