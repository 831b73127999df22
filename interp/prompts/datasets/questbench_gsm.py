"""QuestBench, GSM-Q (Li et al., arXiv 2503.22674): problems that lack the value of one variable.

Two sets of the held-out pilot: equations, beside the whole system that they are cut from, and word
problems, whose whole text the files do not have. Problems of one system are one group; a problem
that the file repeats is read once. `meta.missing` says what a question back has to ask for.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, csv_rows

_SCENARIO = "underspecified_context"


def _file(form: str) -> str:
    return f"questbench_data/GSM-Q/gsm_{form}_heldout_pilot.csv"


def _records(folder: Path, *, name: str, form: str) -> list[Record]:
    records: dict[str, Record] = {}  # by their texts
    groups: dict[str, str] = {}
    for row in csv_rows(folder / _file(form)):
        system = row.text("CSP" if form == "verbal" else "Full Problem")
        pair_id = groups.setdefault(system, f"{name}/{len(groups) + 1}")
        common = {"pair_id": pair_id, "scenario": _SCENARIO, "dataset": name, "split": "test"}
        if form == "CSP":
            records.setdefault(system, common | _whole(row, pair_id))
        cut = records.setdefault(row.text("Rewritten Problem"), common | _cut(row, pair_id))
        cut["meta"]["missing"] = list(dict.fromkeys([*cut["meta"]["missing"], _missing(row)]))
    return list(records.values())


def _whole(row: Row, pair_id: str) -> Record:
    return {
        "prompt_id": f"{pair_id}/whole",
        "text": row.text("Full Problem"),
        "should_abstain": False,
        "answers": [row.text("Full Answer")],
    }


def _cut(row: Row, pair_id: str) -> Record:
    return {
        "prompt_id": f"{pair_id}/cut/{row.number}",
        "text": row.text("Rewritten Problem"),
        "should_abstain": True,
        "meta": {"missing": [], "depth": row.whole("depth")},
    }


def _missing(row: Row) -> str:
    """What the variable is whose value is not given."""
    name = row.text("GT Question")
    try:
        variables = json.loads(row.text("Variables"))
    except json.JSONDecodeError as error:
        raise row.bad("Variables", "a JSON object, description by variable") from error
    if not isinstance(variables, dict) or not isinstance(variables.get(name), str):
        raise row.bad("Variables", f"a JSON object with a description of {name}")
    return f"{name}: {variables[name]}"


def _dataset(name: str, form: str, known: Counts, caution: str) -> Dataset:
    return Dataset(
        name=name,
        folder="questbench",
        files=(_file(form),),
        records=partial(_records, name=name, form=form),
        known=known,
        scenarios=(_SCENARIO,),
        url="https://github.com/google-deepmind/questbench",
        licence="CC BY 4.0",
        caution=caution,
    )


QUESTBENCH_GSM_CSP = _dataset(
    "questbench_gsm_csp",
    "CSP",
    Counts(rows=202, should_abstain=151, pairs=51),
    "several cut problems to a whole one: weigh by pair; five, of one system, can be solved as cut",
)
QUESTBENCH_GSM_VERBAL = _dataset(
    "questbench_gsm_verbal",
    "verbal",
    Counts(rows=235, should_abstain=235, pairs=0),
    "no answerable twins; 53 systems, so weigh by pair; 288 rows, of which 53 repeat a text",
)
