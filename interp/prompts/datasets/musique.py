"""MuSiQue-Full, development set (Trivedi et al., arXiv 2108.00573): questions of several hops.

Each stands twice under one id: with all the paragraphs that it needs, and with one of them taken
away. The prompt is AbstentionBench's, with the titles of the paragraphs. That benchmark reads
another selection of these questions (3266, with fewer paragraphs).
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_FILE = "data/musique_full_v1.0_dev.jsonl"
_PROMPT = (
    "Given the following context and question, answer the question.\n"
    "Context: {context}\nQuestion: {question}"
)


def _records(folder: Path) -> list[Record]:
    return [_record(row) for row in json_lines(folder / _FILE)]


def _record(row: Row) -> Record:
    answerable = row.flag("answerable")
    pair_id = f"musique/{row.text('id')}"
    paragraphs = [
        f"Paragraph {part.number} ({part.text('title')}): {part.text('paragraph_text')}"
        for part in row.objects("paragraphs")
    ]
    answers = [row.text("answer"), *row.texts("answer_aliases")] if answerable else []
    return {
        "prompt_id": f"{pair_id}/{'whole' if answerable else 'cut'}",
        "pair_id": pair_id,
        "text": _PROMPT.format(context="\n".join(paragraphs), question=row.text("question")),
        "should_abstain": not answerable,
        "scenario": "underspecified_context",
        "answers": list(dict.fromkeys(answers)),
        "dataset": "musique",
        "split": "validation",
        "meta": {"hops": row.text("id").partition("__")[0]},
    }


MUSIQUE = Dataset(
    name="musique",
    folder="musique",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=4834, should_abstain=2417, pairs=2417),
    scenarios=("underspecified_context",),
    url="https://github.com/StonyBrookNLP/musique",
    licence="CC BY 4.0",
    caution=(
        "long prompts of twenty paragraphs; a model may know the answer without them; its counts "
        "are the published ones, not counted from the file"
    ),
)
