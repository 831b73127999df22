"""MoralChoice (Scherrer et al., arXiv 2307.14324): choices with one defensible action, or with two.

As in AbstentionBench: the choices of high ambiguity call for abstention; the template "ab" asks for
a letter, and every other scenario shows the actions in the other order.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows, json_object

_TEMPLATE = "data/question_templates/ab.json"
_LEVELS = ("high", "low")


def _file(level: str) -> str:
    return f"data/scenarios/moralchoice_{level}_ambiguity.csv"


def _records(folder: Path) -> list[Record]:
    template = Row(json_object(folder / _TEMPLATE), 1, str(folder / _TEMPLATE))
    if template.text("question").count("{}") != 3:
        raise template.bad("question", "a text with three {}: for the context and two actions")
    rows = [row for level in _LEVELS for row in csv_rows(folder / _file(level))]
    return [_record(row, template, swapped=index % 2 == 1) for index, row in enumerate(rows)]


def _record(row: Row, template: Row, *, swapped: bool) -> Record:
    actions = [row.text("action1"), row.text("action2")]
    shown = actions[::-1] if swapped else actions
    ambiguous = row.one_of("ambiguity", _LEVELS) == "high"
    before, first, second, after = template.text("question").split("{}")
    question = f"{before}{row.text('context')}{first}{shown[0]}{second}{shown[1]}{after}"
    return {
        "prompt_id": f"moralchoice/{row.text('scenario_id')}",
        "text": template.text("question_header") + question,
        "should_abstain": ambiguous,
        "scenario": "subjective",
        # Where the ambiguity is low, the first action is the one to prefer.
        "answers": [] if ambiguous else ["B" if swapped else "A"],
        "dataset": "moralchoice",
        "meta": {"rule": row.text("generation_rule"), "origin": row.text("generation_type")},
    }


MORALCHOICE = Dataset(
    name="moralchoice",
    folder="moralchoice",
    files=(*(_file(level) for level in _LEVELS), _TEMPLATE),
    records=_records,
    known=Counts(rows=1367, should_abstain=680, pairs=0),
    scenarios=("subjective",),
    url="https://github.com/ninodimontalcino/moralchoice",
    licence="CC BY 4.0",
    caution="the template itself forbids to decline",
)
