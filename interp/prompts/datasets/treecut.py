"""TreeCut (Ouyang, arXiv 2502.13442): generated price problems, some with a link cut out.

The sample of the repository: 500 answerable and 500 cut problems of each of four sizes; they are
not pairs. What makes a problem undecidable is in `meta.proof`.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_SIZES = ((4, 2, 1), (6, 4, 2), (8, 6, 3), (10, 8, 4))
"""Variables, depth of the answer, depth of the cut."""


def _file(variables: int, depth: int, cut: int | None) -> str:
    hallu = "hallu-False" if cut is None else f"hallu-True_cutDepth-{cut}"
    return (
        f"sample_data/qa_theme-food_compositeName_True_numVars-{variables}_ansDepth-{depth}"
        f"_order-random_{hallu}_REP-500.jsonl"
    )


def _records(folder: Path) -> list[Record]:
    return [
        _record(row, variables, is_cut=cut is not None)
        for variables, depth, deep in _SIZES
        for cut in (None, deep)
        for row in json_lines(folder / _file(variables, depth, cut))
    ]


def _record(row: Row, variables: int, *, is_cut: bool) -> Record:
    answer = row.text("answer")
    if (answer == "unknown") != is_cut:
        raise row.bad("answer", "'unknown'" if is_cut else "a number")
    kind = "cut" if is_cut else "whole"
    return {
        "prompt_id": f"treecut/{variables}/{kind}/{row.number}",
        "text": row.text("problem"),
        "should_abstain": is_cut,
        "scenario": "underspecified_context",
        "answers": [] if is_cut else [answer],
        "dataset": "treecut",
        "meta": {"variables": variables, "proof": row.text("proof")},
    }


TREECUT = Dataset(
    name="treecut",
    folder="treecut",
    files=tuple(_file(one, two, cut) for one, two, deep in _SIZES for cut in (None, deep)),
    records=_records,
    known=Counts(rows=4000, should_abstain=2000, pairs=0),
    scenarios=("underspecified_context",),
    url="https://github.com/j-bagel/treecut-math",
    licence="Apache-2.0",
)
