"""KUQ (Amayuelas et al., arXiv 2305.13712): known-unknown questions of six kinds, and known ones.

The kinds are one dataset each, put into scenarios as in AbstentionBench (arXiv 2506.09038), which
leaves the counterfactual ones out; here they are kept. The known questions, of other sources, have
no kind: they are a dataset of no scenario. Questions that repeat share a `pair_id`.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_FILE = "knowns_unknowns.jsonl"
_SCENARIOS = {
    "ambiguous": "underspecified_intent",
    "controversial": "subjective",
    "counterfactual": "answer_unknown",
    "false assumption": "false_premise",
    "future unknown": "answer_unknown",
    "unsolved problem": "answer_unknown",
}


def _records(folder: Path) -> list[Record]:
    first: dict[tuple[str, bool], int] = {}  # one question is among the known and the unknown
    return [
        _record(row, first.setdefault((_question(row), row.flag("unknown")), row.number))
        for row in json_lines(folder / _FILE)
    ]


def _question(row: Row) -> str:
    return row.text("question").strip()


def _record(row: Row, group: int) -> Record:
    unknown = row.flag("unknown")
    category = row.one_of("category", list(_SCENARIOS)) if unknown else None
    group_name = category.replace(" ", "_") if category else "known"
    return {
        "prompt_id": f"kuq/{row.number}",
        "pair_id": f"kuq/{group}",
        "text": _question(row),
        "should_abstain": unknown,
        "scenario": _SCENARIOS[category] if category else None,
        # Those of an unknown question say why it is unknown.
        "answers": [] if unknown else row.texts("answer"),
        "dataset": f"kuq/{group_name}",
        "meta": {"source": row.text("source"), "reasons": row.texts("answer") if unknown else []},
    }


KUQ = Dataset(
    name="kuq",
    folder="kuq",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=6884, should_abstain=3437, pairs=0),
    scenarios=("answer_unknown", "false_premise", "subjective", "underspecified_intent"),
    url="https://huggingface.co/datasets/amayuelas/KUQ",
    licence="MIT",
    caution=(
        "known questions come from SQuAD, TriviaQA and HotpotQA (`meta.source`): the source tells "
        "labels; 955 of the 3437 unknown questions repeat another one"
    ),
)
