"""QASPER, test set (Dasigi et al., arXiv 2105.03011): questions about a paper, asked of all of it.

As in AbstentionBench: a question calls for abstention if all of its annotators found no answer in
the paper; where they do not agree, it is left out.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_object

_FILE = "qasper-test-v0.3.json"
_PROMPT = (
    "Respond to the question about the following scientific paper.\n\n"
    "Paper title: {title}\n\nPaper text:\n{text}\n\nQuestion: {question}"
)


def _records(folder: Path) -> list[Record]:
    path = folder / _FILE
    papers = Row(json_object(path), 1, str(path))
    return [
        record
        for name in papers.values
        for question in papers.object(name).objects("qas")
        for record in _of_question(question, papers.object(name), name)
    ]


def _of_question(row: Row, paper: Row, name: str) -> list[Record]:
    """The question's row, or none where annotators do not agree."""
    annotations = [one.object("answer") for one in row.objects("answers")]
    unanswerable = {one.flag("unanswerable") for one in annotations}
    if len(unanswerable) != 1:
        return []
    (abstain,) = unanswerable
    answers = [answer for one in annotations for answer in _answers(one)]
    prompt = _PROMPT.format(
        title=paper.text("title"), text=_text(paper), question=row.text("question").strip()
    )
    record = {
        "prompt_id": f"qasper/{name}/{row.number}",
        "text": prompt,
        "should_abstain": abstain,
        "scenario": "underspecified_context",
        "answers": [] if abstain else sorted(set(answers)),
        "dataset": "qasper",
        "split": "test",
        "meta": {"paper": name},
    }
    return [record]


def _text(paper: Row) -> str:
    """Headings and paragraphs, as far as they are not empty."""
    lines: list[str] = []
    for section in paper.objects("full_text"):
        # A section may be without a heading.
        lines += [str(section.get("section_name") or ""), *section.texts("paragraphs")]
    return "\n\n".join(line.strip() for line in lines if line.strip())


def _answers(annotation: Row) -> list[str]:
    yes_no = annotation.get("yes_no")
    said = [] if yes_no is None else ["Yes" if annotation.flag("yes_no") else "No"]
    free = str(annotation.get("free_form_answer") or "")
    found = [free, *said, *annotation.texts("extractive_spans")]
    return [answer.strip() for answer in found if answer.strip()]


QASPER = Dataset(
    name="qasper",
    folder="qasper",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=1287, should_abstain=79, pairs=0),
    scenarios=("underspecified_context",),
    url="https://allenai.org/data/qasper",
    licence="CC BY 4.0",
    caution=(
        "prompts of up to 29 thousand tokens; only 6% call for abstention; its counts are those "
        "of AbstentionBench (1287 questions; 79 from its published recalls), not counted from "
        "the file"
    ),
)
