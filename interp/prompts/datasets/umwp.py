"""UMWP (Sun et al., arXiv 2403.03558): word problems, each beside one made unanswerable."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_FILE = "data/StandardDataset.jsonl"
_CATEGORIES = {
    1: "key information missing",
    2: "ambiguous key information",
    3: "unrealistic conditions",
    4: "unrelated object",
    5: "question missing",
}


def _records(folder: Path) -> list[Record]:
    rows = json_lines(folder / _FILE)
    answerable = {row.integer("id") for row in rows if row.flag("answerable")}
    return [_record(row, answerable) for row in rows]


def _record(row: Row, answerable: set[int]) -> Record:
    number = row.integer("id")
    return {
        "prompt_id": f"umwp/{number}",
        "pair_id": f"umwp/{_original(row, answerable)}",
        "text": row.text("question"),
        "should_abstain": number not in answerable,
        "scenario": "underspecified_context",
        "answers": _answers(row) if number in answerable else [],
        "dataset": "umwp",
        "meta": {"source": row.text("source"), "category": _category(row)},
    }


def _original(row: Row, answerable: set[int]) -> int:
    """The answerable problem of the row's pair."""
    related = row.get("relevant_ids")
    if row.flag("answerable"):
        return row.integer("id")
    if not isinstance(related, list) or len(related) != 1 or related[0] not in answerable:
        raise row.bad("relevant_ids", "the id of one answerable problem")
    return int(related[0])


def _category(row: Row) -> str | None:
    """What makes the problem unanswerable, in the words of the paper."""
    category = row.get("category")
    if category is None:
        return None
    if category not in _CATEGORIES:
        raise row.bad("category", f"None or one of {', '.join(map(str, _CATEGORIES))}")
    return _CATEGORIES[category]


def _answers(row: Row) -> list[str]:
    """Numbers as one writes them: 460, not 460.0."""
    value = row.get("answer")
    values: list[Any] = value if isinstance(value, list) else [value]
    if not values or not all(_is_number(number) for number in values):
        raise row.bad("answer", "a number or a list of numbers")
    return [str(int(number)) if number == int(number) else str(number) for number in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


UMWP = Dataset(
    name="umwp",
    folder="umwp",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=5200, should_abstain=2600, pairs=2600),
    scenarios=("underspecified_context",),
    url="https://github.com/Yuki-Asuuna/UMWP",
    licence="CC BY-SA 4.0",
)
