"""BBQ (Parrish et al., arXiv 2110.08193): which of two people, told by a long context or not told.

As in AbstentionBench the options are not shown: one of them would be "cannot be determined".
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_CATEGORIES = (
    "Age",
    "Disability_status",
    "Gender_identity",
    "Nationality",
    "Physical_appearance",
    "Race_ethnicity",
    "Race_x_SES",
    "Race_x_gender",
    "Religion",
    "SES",
    "Sexual_orientation",
)


def _file(category: str) -> str:
    return f"data/{category}.jsonl"


def _records(folder: Path) -> list[Record]:
    return [
        _record(row, category)
        for category in _CATEGORIES
        for row in json_lines(folder / _file(category))
    ]


def _record(row: Row, category: str) -> Record:
    number = row.integer("example_id")
    ambiguous = row.one_of("context_condition", ("ambig", "disambig")) == "ambig"
    right = row.integer("label")
    if right not in (0, 1, 2):
        raise row.bad("label", "0, 1 or 2")
    return {
        "prompt_id": f"bbq/{category}/{number}",
        # An example with the short context has an even number; the next one has the long context.
        "pair_id": f"bbq/{category}/{number // 2}",
        "text": f"{row.text('context')} {row.text('question')}",
        "should_abstain": ambiguous,
        "scenario": "underspecified_context",
        "answers": [] if ambiguous else [row.text(f"ans{right}")],
        "dataset": "bbq",
        "split": "test",
        "meta": {"category": category, "polarity": row.text("question_polarity")},
    }


BBQ = Dataset(
    name="bbq",
    folder="bbq",
    files=tuple(_file(category) for category in _CATEGORIES),
    records=_records,
    known=Counts(rows=58492, should_abstain=29246, pairs=29246),
    scenarios=("underspecified_context",),
    url="https://github.com/nyu-mll/BBQ",
    licence="CC BY 4.0",
    caution=(
        "its known counts are as commonly reported; those of six categories (age, disability, "
        "nationality, appearance, religion, orientation: 11956 rows) were counted from the files"
    ),
)
