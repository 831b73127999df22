"""MiP-Overthinking (Fan et al., arXiv 2504.06514): problems with a missing premise.

Three datasets: formulas of undefined symbols, SVAMP bodies under another problem's question, and
GSM8K problems without a sentence, these beside the whole problem.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.gsm8k_abstain import gsm8k_answer
from interp.prompts.datasets.rows import Row, json_list

_SUBSETS = ("formula", "svamp", "gsm8k")


def _records(folder: Path) -> list[Record]:
    return [
        record
        for subset in _SUBSETS
        for row in json_list(folder / f"data/{subset}.json")
        for record in _of_row(row, subset)
    ]


def _of_row(row: Row, subset: str) -> list[Record]:
    pair_id = f"mip_overthinking/{subset}/{row.number}"
    common: dict[str, Any] = {
        "pair_id": pair_id,
        "scenario": "underspecified_context",
        "dataset": f"mip_overthinking/{subset}",
    }
    missing = {
        "prompt_id": f"{pair_id}/missing",
        "text": row.text("insufficient_question"),
        "should_abstain": True,
    }
    if subset != "gsm8k":
        return [{**common, **missing}]
    whole = {
        "prompt_id": f"{pair_id}/whole",
        "text": row.text("question"),
        "should_abstain": False,
        "answers": [gsm8k_answer(row)],
    }
    return [{**common, **whole}, {**common, **missing}]


MIP_OVERTHINKING = Dataset(
    name="mip_overthinking",
    folder="mip_overthinking",
    files=tuple(f"data/{subset}.json" for subset in _SUBSETS),
    records=_records,
    known=Counts(rows=1514, should_abstain=932, pairs=582),
    scenarios=("underspecified_context",),
    url="https://github.com/tianyi-lab/MiP-Overthinking",
    licence="MIT",
    caution="formula and svamp have no answerable twins",
)
