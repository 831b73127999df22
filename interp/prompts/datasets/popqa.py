"""PopQA (Mallen et al., arXiv 2212.10511): questions about entities, from famous to unknown ones.

Every question has an answer, so none calls for abstention as such; `meta.popularity` is the page
views of the entity asked about.
"""

from __future__ import annotations

import json
from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_FILE = "data/popQA.tsv"


def _records(folder: Path) -> list[Record]:
    return [
        {
            "prompt_id": f"popqa/{row.text('id')}",
            "text": row.text("question"),
            "should_abstain": False,
            "scenario": "answer_unknown",
            "answers": _answers(row),
            "entity": row.text("subj"),
            "dataset": "popqa",
            "split": "test",
            "meta": {"relation": row.text("prop"), "popularity": row.whole("s_pop")},
        }
        for row in csv_rows(folder / _FILE, delimiter="\t")
    ]


def _answers(row: Row) -> list[str]:
    """A JSON list of texts within its field."""
    try:
        answers = json.loads(row.text("possible_answers"))
    except json.JSONDecodeError as error:
        raise row.bad("possible_answers", "a JSON list of texts") from error
    if not isinstance(answers, list) or not all(isinstance(one, str) for one in answers):
        raise row.bad("possible_answers", "a JSON list of texts")
    return answers


POPQA = Dataset(
    name="popqa",
    folder="popqa",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=14267, should_abstain=0, pairs=0),
    scenarios=("answer_unknown",),
    url="https://github.com/AlexTMallen/adaptive-retrieval",
    licence="MIT",
    caution=(
        "no prompt calls for abstention; label them by what one model knows; "
        "its known counts are as commonly reported, not counted from the files"
    ),
)
