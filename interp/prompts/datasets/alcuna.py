"""ALCUNA (Yin et al., arXiv 2310.14820): questions about made-up taxa, asked of their properties.

As in AbstentionBench: questions with a blank and boolean ones, each below all that is known of the
taxon; the answer "I don't know" is the label. The prompt does not offer that answer, as theirs do.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines, json_object

_QUESTIONS, _TAXA = "dataset/id2question.json", "dataset/meta_data.jsonl"
_FORMS = ("fill-in-blank", "boolean", "multi-choice")
_UNKNOWN = ["I don't know"]
_PROMPT = (
    "Here is what is known about a taxon. Use it, and what you know about biology.\n"
    "{taxon}\n\nAnswer the following question in a few words: {question}"
)


def _records(folder: Path) -> list[Record]:
    rows = [row.object("artificial_entity") for row in json_lines(folder / _TAXA)]
    taxa = {str(row.integer("id")): row for row in rows}
    path = folder / _QUESTIONS
    questions = Row(json_object(path), 1, str(path))
    for name in questions.values:
        if name not in taxa:
            raise questions.bad(name, f"an id that {folder / _TAXA} has")
    return [
        _record(row, name, taxa[name])
        for name in questions.values
        for row in questions.objects(name)
        if row.one_of("form", _FORMS) != "multi-choice"
    ]


def _record(row: Row, name: str, taxon: Row) -> Record:
    answers = row.texts("answers")
    unknown = answers == _UNKNOWN
    return {
        "prompt_id": f"alcuna/{name}/{row.number}",
        "text": _PROMPT.format(taxon=_known_of(taxon), question=row.text("question").strip()),
        "should_abstain": unknown,
        "scenario": "underspecified_context",
        "answers": [] if unknown else answers,
        "entity": taxon.text("name"),
        "dataset": "alcuna",
        "split": "test",
        "meta": {"form": row.text("form"), "kind": row.text("type")},
    }


def _known_of(taxon: Row) -> str:
    lines = [f"name: {taxon.text('name')}", f"rank: {taxon.text('rank')}"]
    for one in taxon.objects("properties"):
        lines.append(f"{one.text('name')}: {', '.join(one.texts('values'))}")
    return "\n".join(lines)


ALCUNA = Dataset(
    name="alcuna",
    folder="alcuna",
    files=(_QUESTIONS, _TAXA),
    records=_records,
    known=None,
    scenarios=("underspecified_context",),
    url="https://github.com/Arvid-pku/ALCUNA",
    licence="MIT",
    caution=(
        "more than 63 thousand rows, about half of them to abstain on: take a sample; no counts "
        "are published, and the files (on Google Drive) were not read"
    ),
)
