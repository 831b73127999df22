"""BIG-Bench Hard (arXiv 2210.09261), disambiguation_qa: pronouns, some of them ambiguous.

As in AbstentionBench, the option that says so is taken out of the prompt, and the questions whose
answer it was call for abstention. (AbstentionBench counts them as underspecified context.)
"""

from __future__ import annotations

import re
from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import json_list

_FILE = "bbh/disambiguation_qa.json"
# The last of three options, or of four.
_AMBIGUOUS = re.compile(r"\n(?P<option>\([CD]\)) Ambiguous$")


def _records(folder: Path) -> list[Record]:
    records: list[Record] = []
    for row in json_list(folder / _FILE, "examples"):
        target = row.one_of("target", ("(A)", "(B)", "(C)", "(D)"))
        ambiguous = _AMBIGUOUS.search(row.text("input"))
        if ambiguous is None:
            raise row.bad("input", "a question whose last option is '(C) Ambiguous' or '(D) ...'")
        should_abstain = target == ambiguous["option"]
        records.append(
            {
                "prompt_id": f"bbh_disambiguation/{row.number}",
                "text": row.text("input")[: ambiguous.start()],
                "should_abstain": should_abstain,
                "scenario": "underspecified_intent",
                "answers": [] if should_abstain else [target],
                "dataset": "bbh_disambiguation",
            }
        )
    return records


BBH_DISAMBIGUATION = Dataset(
    name="bbh_disambiguation",
    folder="bbh",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=250, should_abstain=75, pairs=0),
    scenarios=("underspecified_intent",),
    url="https://github.com/suzgunmirac/BIG-Bench-Hard",
    licence="MIT",
    caution="the instruction still asks to state an ambiguity, though no option does",
)
