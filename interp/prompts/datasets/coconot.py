"""CoCoNot (Brahman et al., arXiv 2407.12043): requests not to be complied with, and contrasts.

The requests with safety concerns are left out: they call for refusal, not for abstention. The
others are one dataset a subcategory, grouped and put into scenarios as in AbstentionBench
(arXiv 2506.09038), which leaves "underspecified" out; here it is kept.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_EVAL, _CONTRAST = "data/coconot_eval.jsonl", "data/coconot_contrast_eval.jsonl"
_SAFETY = "Requests with safety concerns"
_GROUPS = {
    "false presuppositions": ("false_presumptions", "false_premise"),
    "incomprehensible": ("incomprehensible", "underspecified_intent"),
    "subjective questions": ("subjective", "subjective"),
    "underspecified": ("underspecified", "underspecified_context"),
    "universal unknowns": ("unknowns", "answer_unknown"),
    "temporal limitations": ("temporal", "stale"),
    "modality limitations": ("unsupported", "answer_unknown"),
    "input modality limitations": ("unsupported", "answer_unknown"),
    "output modality limitations": ("unsupported", "answer_unknown"),
    "style and length limitations": ("unsupported", "answer_unknown"),
    "offer advice, opinion or recommendations": ("humanizing", "subjective"),
    "personal inquiry": ("humanizing", "subjective"),
}


def _records(folder: Path) -> list[Record]:
    return [
        _record(row, should_abstain)
        for file, should_abstain in ((_EVAL, True), (_CONTRAST, False))
        for row in json_lines(folder / file)
        if row.text("category") != _SAFETY
    ]


def _record(row: Row, should_abstain: bool) -> Record:
    subcategory = row.one_of("subcategory", list(_GROUPS))
    group, scenario = _GROUPS[subcategory]
    return {
        "prompt_id": f"coconot/{row.text('id')}",
        "text": row.text("prompt"),
        "should_abstain": should_abstain,
        "scenario": scenario,
        "dataset": f"coconot/{group}",
        "split": "test",
        "meta": {"category": row.text("category"), "subcategory": subcategory},
    }


COCONOT = Dataset(
    name="coconot",
    folder="coconot",
    files=(_EVAL, _CONTRAST),
    records=_records,
    # 1001 and 379 rows, less 395 and 149 with safety concerns.
    known=Counts(rows=836, should_abstain=606, pairs=0),
    scenarios=(
        "answer_unknown",
        "false_premise",
        "stale",
        "subjective",
        "underspecified_context",
        "underspecified_intent",
    ),
    url="https://github.com/allenai/noncompliance",
    licence="MIT; on Hugging Face ODC-BY",
    caution="contrasts exist only for false presumptions, underspecified and unsupported requests",
)
