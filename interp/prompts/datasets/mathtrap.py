"""MathTrap (Zhao et al., arXiv 2405.06680): problems of MATH and GSM8K, and the same with a trap.

A trap by a missing condition is an underspecified context; the others (contradictions, undefined
concepts, violated common sense) are false premises. An original stands once beside all its traps of
one scenario.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_list

_FILE = "data/MathTrap_Public/MathTrap_Public.json"
_SCENARIOS = {
    "Concept Undefined": "false_premise",
    "Direct Contradiction": "false_premise",
    "Indirect Contradiction": "false_premise",
    "Missing Condition": "underspecified_context",
    "Violating Common Sense": "false_premise",
}


def _records(folder: Path) -> list[Record]:
    records: list[Record] = []
    pairs: dict[tuple[str, str], str] = {}
    for row in json_list(folder / _FILE):
        scenario = _SCENARIOS[row.one_of("trap_type", list(_SCENARIOS))]
        key = (scenario, row.text("original_problem"))
        if key not in pairs:
            pairs[key] = f"mathtrap/{scenario}/{row.number}"
            records.append(_original(row, pairs[key], scenario))
        records.append(_trap(row, pairs[key], scenario))
    return records


def _original(row: Row, pair_id: str, scenario: str) -> Record:
    return {
        **_common(row, pair_id, scenario),
        "prompt_id": f"{pair_id}/original",
        "text": row.text("original_problem"),
        "should_abstain": False,
    }


def _trap(row: Row, pair_id: str, scenario: str) -> Record:
    common = _common(row, pair_id, scenario)
    return {
        **common,
        "prompt_id": f"{pair_id}/trap_{row.number}",
        "text": row.text("trap_problem"),
        "should_abstain": True,
        "meta": {
            **common["meta"],
            "trap": row.text("trap_type"),
            "explanation": row.text("human_annotation"),
        },
    }


def _common(row: Row, pair_id: str, scenario: str) -> dict[str, Any]:
    return {
        "pair_id": pair_id,
        "scenario": scenario,
        "dataset": f"mathtrap/{scenario}",
        "split": "test",
        "meta": {"source": row.text("category")},
    }


MATHTRAP = Dataset(
    name="mathtrap",
    folder="mathtrap",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=144, should_abstain=104, pairs=40),
    scenarios=("false_premise", "underspecified_context"),
    url="https://github.com/tongjingqi/MathTrap",
    licence="Apache-2.0",
    caution="several traps to one original: weigh by pair; the originals' solutions are not parsed",
)
