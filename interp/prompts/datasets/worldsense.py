"""WorldSense (Benchekroun et al., arXiv 2311.15930): order questions that may be undecidable.

Of the training set, as in AbstentionBench: the questions answered by (1), (2) or, where it is
impossible to decide, (3).
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_lines

_FILE = "data/worldsense/training_set/trials_10k.jsonl.bz2"
_DECIDED, _UNDECIDED = ("1", "2"), "3"


def _records(folder: Path) -> list[Record]:
    return [
        _record(row)
        for row in json_lines(folder / _FILE)
        if row.text("target_message") in (*_DECIDED, _UNDECIDED)
    ]


def _record(row: Row) -> Record:
    target = row.text("target_message")
    return {
        "prompt_id": f"worldsense/{row.number}",
        "text": _question(row),
        "should_abstain": target == _UNDECIDED,
        "scenario": "underspecified_context",
        "answers": [] if target == _UNDECIDED else [target],
        "dataset": "worldsense",
        "split": "train",
    }


def _question(row: Row) -> str:
    dialogue = row.get("dialog_history")
    messages = dialogue.get("messages") if isinstance(dialogue, dict) else None
    if (
        not isinstance(messages, list)
        or len(messages) != 1
        or not isinstance(messages[0], dict)
        or not isinstance(messages[0].get("content"), str)
    ):
        raise row.bad("dialog_history", "{'messages': [...]} with one message and its `content`")
    return str(messages[0]["content"])


WORLDSENSE = Dataset(
    name="worldsense",
    folder="worldsense",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=2592, should_abstain=864, pairs=0),
    scenarios=("underspecified_context",),
    url="https://github.com/facebookresearch/worldsense",
    licence="CC BY-NC 4.0",
    caution="the prompt offers (3) for what cannot be decided: choosing it is abstaining",
)
