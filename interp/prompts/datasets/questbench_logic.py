"""QuestBench, Logic-Q (Li et al., arXiv 2503.22674): rules and facts that leave a goal undecided.

The rules are "if all of these then that". One more attribute would decide the goal whichever value
it has; the twin is told that value: that the attribute holds, and then the goal does, or (for every
other problem) that it does not, and then the goal does not either.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_FILE = "questbench_data/Logic-Q/simplelogic_heldout_1k.csv"
_NOT = "not "


def _records(folder: Path) -> list[Record]:
    problems: dict[str, Row] = {}  # by their texts: one that repeats bars other questions only
    for row in csv_rows(folder / _FILE):
        problems.setdefault(_problem(row), row)
    return [
        record
        for number, row in enumerate(problems.values(), start=1)
        for record in _twins(row, number)
    ]


def _twins(row: Row, number: int) -> list[Record]:
    pair_id = f"questbench_logic/{number}"
    deciding = sorted(_names(row, "gt_qs"))
    holds = number % 2 == 1
    common: dict[str, Any] = {
        "pair_id": pair_id,
        "scenario": "underspecified_context",
        "dataset": "questbench_logic",
        "split": "test",
    }
    cut = {
        "prompt_id": f"{pair_id}/cut",
        "text": _problem(row),
        "should_abstain": True,
        "meta": {"missing": deciding, "depth": row.whole("max_depth")},
    }
    whole = {
        "prompt_id": f"{pair_id}/whole",
        "text": _problem(row, f"Alice is {'' if holds else _NOT}{deciding[0]}."),
        "should_abstain": False,
        "answers": ["yes" if holds else "no"],
        "meta": {"told": deciding[0], "depth": row.whole("max_depth")},
    }
    return [{**common, **cut}, {**common, **whole}]


def _problem(row: Row, *told: str) -> str:
    facts = [f"Alice is {name}." for name in _names(row, "known_facts")]
    facts += [f"Alice is not {name}." for name in _names(row, "known_untrue_facts")]
    lines = [*sorted(_rule(row, clause) for clause in _list(row, "rules")), "", *sorted(facts)]
    return "\n".join([*lines, *told, "", f"Is Alice {row.text('goal')}?"])


def _rule(row: Row, clause: Any) -> str:
    """A clause "not this, not that, or the other" as a rule."""
    if not isinstance(clause, list) or not all(isinstance(name, str) for name in clause):
        raise row.bad("rules", "a list of lists of names")
    premises = [name.removeprefix(_NOT) for name in clause if name.startswith(_NOT)]
    conclusions = [name for name in clause if not name.startswith(_NOT)]
    if len(conclusions) != 1 or not premises:
        raise row.bad("rules", "clauses of one name and of others that start with 'not '")
    return f"If Alice is {' and '.join(premises)}, then Alice is {conclusions[0]}."


def _names(row: Row, column: str) -> list[str]:
    names = _list(row, column)
    if not all(isinstance(name, str) for name in names) or (column == "gt_qs" and not names):
        raise row.bad(column, "a list of names, as ['...', '...']")
    return names


def _list(row: Row, column: str) -> list[Any]:
    try:
        listed = ast.literal_eval(row.text(column))
    except (SyntaxError, ValueError) as error:
        raise row.bad(column, "a list, as ['...', '...']") from error
    if not isinstance(listed, list):
        raise row.bad(column, "a list, as ['...', '...']")
    return listed


QUESTBENCH_LOGIC = Dataset(
    name="questbench_logic",
    folder="questbench",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=2264, should_abstain=1132, pairs=1132),
    scenarios=("underspecified_context",),
    url="https://github.com/google-deepmind/questbench",
    licence="CC BY 4.0",
    caution="156 rule sets make all problems; 18 of 1150 repeat another and are read once",
)
