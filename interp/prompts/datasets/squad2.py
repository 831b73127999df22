"""SQuAD 2.0, development set (Rajpurkar et al., arXiv 1806.03822): answers in a text, or not in it.

The prompt is AbstentionBench's: context and question, to be answered from the context only.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_list

_FILE = "dataset/dev-v2.0.json"
_PROMPT = (
    "Respond to the question using only information given in the context.\n"
    "Context: {context}\nQuestion: {question}"
)


def _records(folder: Path) -> list[Record]:
    return [
        _record(question, paragraph.text("context"), article.text("title"))
        for article in json_list(folder / _FILE, "data")
        for paragraph in article.objects("paragraphs")
        for question in paragraph.objects("qas")
    ]


def _record(row: Row, context: str, title: str) -> Record:
    impossible = row.flag("is_impossible")
    answers = [] if impossible else [answer.text("text") for answer in row.objects("answers")]
    return {
        "prompt_id": f"squad2/{row.text('id')}",
        "text": _PROMPT.format(context=context, question=row.text("question").strip()),
        "should_abstain": impossible,
        "scenario": "underspecified_context",
        "answers": list(dict.fromkeys(answers)),
        "dataset": "squad2",
        "split": "validation",
        "meta": {"title": title},
    }


SQUAD2 = Dataset(
    name="squad2",
    folder="squad2",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=11873, should_abstain=5945, pairs=0),
    scenarios=("underspecified_context",),
    url="https://github.com/rajpurkar/SQuAD-explorer",
    licence="CC BY-SA 4.0",
    caution="its known counts are as commonly reported, not counted from the file",
)
