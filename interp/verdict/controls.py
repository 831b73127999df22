"""Whether the planted controls were read rightly here, so that other models may be judged."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from interp.tables import read_csv
from interp.verdict.judging import misread
from interp.verdict.rule import Rule, Verdict, rule_text

UNGATED: tuple[Verdict, ...] = ("NO-EFFECT", "KNOWLEDGE-DRIVEN", "INCONCLUSIVE")
"""What rests on replies alone, or says nothing: no control is needed for it."""


@dataclass(frozen=True)
class Controls:
    """What a finished study of the embedded lineage says of the rule.

    Attributes:
        study: its name.
        fault: why it does not vouch for the rule; None if it does.
    """

    study: str
    fault: str | None

    def admit(self, verdict: Verdict) -> Verdict:
        """The verdict, or SUITE NOT VALID where it rests on a rule that nothing vouches for."""
        return verdict if self.fault is None or verdict in UNGATED else "SUITE NOT VALID"


def read_controls(folder: Path, rule: Rule) -> Controls:
    """Reads the verdicts of a finished study whose members' truth is planted.

    Args:
        folder: of the study, with `verdict.csv` and `run.json`.
        rule: the rule that is to be used.

    Returns:
        The controls; a study that is not there, was judged by another rule, lacks a planted truth
        that the gate names, or misread one, is a fault and no error.
    """
    study = folder.name
    stamp, table = folder / "run.json", folder / "verdict.csv"
    if not stamp.is_file() or not table.is_file():
        return Controls(
            study,
            f"the planted controls have not been read here: run `interp study {study}` first",
        )
    if json.loads(stamp.read_text(encoding="utf-8")).get("rule") != rule_text():
        return Controls(
            study,
            f"study '{study}' was judged by another rule: run `interp study {study}` again",
        )
    verdicts = read_csv(table)
    absent = [truth for truth in rule.gate if truth not in set(verdicts["planted"])]
    if absent:
        return Controls(study, f"study '{study}' has no member that is {', '.join(absent)}")
    for seed, of_seed in verdicts.groupby("seed"):
        planted = dict(zip(of_seed["member"], of_seed["planted"], strict=True))
        called = dict(zip(of_seed["member"], of_seed["verdict"], strict=True))
        if wrong := misread(called, planted, rule):
            said = ", ".join(f"{name} ({planted[name]}) {called[name]}" for name in wrong)
            return Controls(study, f"study '{study}' misread on seed {seed}: {said}")
    return Controls(study, None)
