"""Known Unknowns of BIG-bench (arXiv 2206.04615): what nobody knows, beside what is known.

Questions come in twos about one thing: the first asks for what cannot be known. Neither of the two
choices is shown, as one of them is "Unknown"; the other one of a question that calls for abstention
is made up (`meta.offered`).
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_list

_FILE = "bigbench/benchmark_tasks/known_unknowns/task.json"
_UNKNOWN = "Unknown"


def _records(folder: Path) -> list[Record]:
    return [_record(row) for row in json_list(folder / _FILE, "examples")]


def _record(row: Row) -> Record:
    unknown, other = _choices(row)
    first = row.number % 2 == 1
    if unknown != first:
        raise row.bad(
            "target_scores", "Unknown as the answer to every other question, from the 1st"
        )
    pair_id = f"bb_known_unknowns/{(row.number + 1) // 2}"
    return {
        "prompt_id": f"{pair_id}/{'unknown' if unknown else 'known'}",
        "pair_id": pair_id,
        "text": row.text("input"),
        "should_abstain": unknown,
        "scenario": "answer_unknown",
        "answers": [] if unknown else [other],
        "dataset": "bb_known_unknowns",
        "split": "test",
        "meta": {"offered": other},
    }


def _choices(row: Row) -> tuple[bool, str]:
    """Whether the answer is unknown, and the choice beside "Unknown"."""
    scores = row.object("target_scores").values
    others = [choice for choice in scores if choice != _UNKNOWN]
    if len(scores) != 2 or len(others) != 1 or sorted(scores.values()) != [0, 1]:
        raise row.bad("target_scores", "'Unknown' and one other choice, one with 1 and one with 0")
    return scores[_UNKNOWN] == 1, others[0]


BB_KNOWN_UNKNOWNS = Dataset(
    name="bb_known_unknowns",
    folder="bigbench",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=46, should_abstain=23, pairs=23),
    scenarios=("answer_unknown",),
    url="https://github.com/google/BIG-bench",
    licence="Apache-2.0",
    caution="23 pairs only; they share a subject, not their words",
)
