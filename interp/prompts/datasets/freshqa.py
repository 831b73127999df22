"""FreshQA (Vu et al., arXiv 2310.03214) of two dates: questions whose answer has changed since.

As in AbstentionBench (arXiv 2506.09038), of 28 October and 18 December 2024: test questions without
a false premise whose answers are not "never-changing". One whose answers differ between the two
files, or that stands in one of them only, calls for abstention; the others have the later answers.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_EARLIER = "FreshQA_v10282024 - freshqa.csv"
_LATER = "FreshQA_v12182024 - freshqa.csv"
_LINES_ABOVE_HEADER = 2
_FACTS = ("fast-changing", "slow-changing", "never-changing")
_ANSWERS = tuple(f"answer_{number}" for number in range(10))


def _records(folder: Path) -> list[Record]:
    earlier, later = _answers_by_question(folder / _EARLIER), _answers_by_question(folder / _LATER)
    keys = list(dict.fromkeys([*later, *earlier]))
    return [
        _record(number, key, earlier.get(key), later.get(key))
        for number, key in enumerate(keys, start=1)
    ]


def _record(
    number: int, key: tuple[str, str], before: list[str] | None, after: list[str] | None
) -> Record:
    question, fact = key
    same = before is not None and after is not None and set(before) == set(after)
    return {
        "prompt_id": f"freshqa/{number}",
        "text": question,
        "should_abstain": not same,
        "scenario": "stale",
        "answers": after or [] if same else [],
        "dataset": "freshqa",
        "split": "test",
        "meta": {"fact": fact, "before": before, "after": after},
    }


def _answers_by_question(path: Path) -> dict[tuple[str, str], list[str]]:
    """The answers of a date's questions, by question and kind of fact."""
    rows = csv_rows(path, before=_LINES_ABOVE_HEADER)
    return {
        (row.text("question").strip(), row.one_of("fact_type", _FACTS)): _answers(row)
        for row in rows
        if row.one_of("split", ("TEST", "DEV")) == "TEST"
        and row.one_of("false_premise", ("TRUE", "FALSE")) == "FALSE"
        and row.one_of("fact_type", _FACTS) != "never-changing"
    }


def _answers(row: Row) -> list[str]:
    answers = [str(row.get(column)).strip() for column in _ANSWERS]
    return list(dict.fromkeys(answer for answer in answers if answer))


FRESHQA = Dataset(
    name="freshqa",
    folder="freshqa",
    files=(_EARLIER, _LATER),
    records=_records,
    known=Counts(rows=254, should_abstain=47, pairs=0),
    scenarios=("stale",),
    url="https://github.com/freshllms/freshqa",
    licence="Apache-2.0",
    caution=(
        "stale only for a model that was trained between the two dates, or before; export both "
        "sheets as CSV; its counts are those of AbstentionBench (47 from its published recalls), "
        "not counted from the files"
    ),
)
