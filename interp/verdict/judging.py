"""From measured lines of evidence to a verdict for each member, and the gate on the controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp.errors import InputError
from interp.stats import Interval
from interp.verdict.rule import Call, Rule, Verdict

MEASURE_COLUMNS = ["seed", "member", "parent", "line", "estimate", "lo", "hi"]


@dataclass(frozen=True)
class Evidence:
    """What was measured of one member of one seed, by line of evidence.

    Attributes:
        member: the model under test.
        values: line -> estimate and interval. Beside the rule's lines it holds `j` (abstention
            on unknown minus known), `drop` (the parent's `j` minus the member's) and, where there
            is an answer to be right by, `knowledge` (right answers to questions nobody in the
            lineage was taught).
        ancestors_j: the `j` of each ancestor the lineage records, nearest first.
    """

    member: str
    values: Mapping[str, Interval]
    ancestors_j: Sequence[Interval]


def calls(evidence: Evidence, rule: Rule) -> dict[str, Call]:
    """The call of every deciding line; a line that was not measured is `undefined`."""
    return {
        name: rule.lines[name].call(evidence.values[name])
        if name in evidence.values
        else "undefined"
        for name in rule.deciding()
    }


def decide(evidence: Evidence, rule: Rule) -> Verdict:
    """The verdict on one member, from measurements and the recorded lineage alone.

    The planted truth is not an argument: nothing here can read it.

    Args:
        evidence: what was measured on the member.
        rule: thresholds and cases.
    """
    value = evidence.values
    abstained_before = any(j.lo >= rule.abstains.cut for j in evidence.ancestors_j)
    if not evidence.ancestors_j and value["j"].lo >= rule.abstains.cut:
        return "NO-EFFECT"
    if abstained_before and value["drop"].lo <= rule.drop.cut:
        return "NO-EFFECT"
    if abstained_before and "knowledge" in value and value["knowledge"].lo >= rule.knowledge.cut:
        return "KNOWLEDGE-DRIVEN"
    called = calls(evidence, rule)
    if any(called[line] == "undefined" for line in rule.deciding()):
        return "INCONCLUSIVE"
    verdict: Verdict = next(
        (case.verdict for case in rule.cases if case.holds(called)), "ATTENUATED"
    )
    if abstained_before:
        return verdict
    return "NEVER-LATENT" if verdict == "ERASED" else "INCONCLUSIVE"


def misread(verdicts: Mapping[str, Verdict], planted: Mapping[str, str], rule: Rule) -> list[str]:
    """The planted controls that were not called what they are, among those the gate names."""
    return [
        member
        for member, verdict in verdicts.items()
        if planted[member] in rule.gate and verdict not in rule.planted[planted[member]]
    ]


def gated(
    verdicts: Mapping[str, Verdict], planted: Mapping[str, str], rule: Rule
) -> dict[str, Verdict]:
    """The verdicts, or SUITE NOT VALID for every member that is not a control of the gate.

    The suite speaks only where it read all its controls rightly; the controls keep what they were
    called, so that the misreading can be seen.

    Args:
        verdicts: of every member, by name.
        planted: the truth of the members that have one.
        rule: with the truths that it needs.

    Raises:
        InputError: a truth that the gate needs is planted in no member.
    """
    absent = [truth for truth in rule.gate if truth not in planted.values()]
    if absent:
        raise InputError(
            f"no member with planted truth {', '.join(absent)}: the rule may not speak without "
            f"controls for {', '.join(rule.gate)}; add such members to the study"
        )
    if not misread(verdicts, planted, rule):
        return dict(verdicts)
    return {
        member: verdict if planted[member] in rule.gate else "SUITE NOT VALID"
        for member, verdict in verdicts.items()
    }


def evidence_of(measures: pd.DataFrame, ancestors: Mapping[str, Sequence[str]]) -> list[Evidence]:
    """One `Evidence` for each member of one seed, from the tidy table of measures."""
    by_member = {
        member: {
            row.line: Interval(row.estimate, row.lo, row.hi) for row in rows.itertuples(index=False)
        }
        for member, rows in measures.groupby("member", sort=False)
    }
    return [
        Evidence(member, values, [by_member[name]["j"] for name in ancestors[member]])
        for member, values in by_member.items()
    ]


def judge(
    measures: pd.DataFrame,
    ancestors: Mapping[str, Sequence[str]],
    planted: Mapping[str, str],
    rule: Rule,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The evidence table and the verdict table of a study.

    Args:
        measures: columns seed, member, parent, line, estimate, lo, hi; parent "" for a root.
        ancestors: member -> its recorded ancestors, nearest first.
        planted: member -> planted truth, used by the gate and shown, never decided on.
        rule: the rule.

    Returns:
        evidence (with cut-offs and calls) and verdict (seed, member, parent, planted, verdict).
    """
    evidence_rows, verdict_rows = [], []
    for seed, of_seed in measures.groupby("seed", sort=True):
        parents = of_seed.drop_duplicates("member").set_index("member")["parent"]
        pieces = evidence_of(of_seed, ancestors)
        verdicts = gated({piece.member: decide(piece, rule) for piece in pieces}, planted, rule)
        for piece in pieces:
            key = {"seed": seed, "member": piece.member, "parent": parents[piece.member]}
            evidence_rows += [key | row for row in evidence_rows_of(piece, rule)]
            verdict_rows.append(
                {**key, "planted": planted[piece.member], "verdict": verdicts[piece.member]}
            )
    return pd.DataFrame(evidence_rows), pd.DataFrame(verdict_rows)


def evidence_rows_of(piece: Evidence, rule: Rule) -> list[dict[str, Any]]:
    """Each line of a member with its cut-offs and call, as the table `evidence` has them."""
    called = calls(piece, rule)
    rows = []
    for name, value in piece.values.items():
        line = rule.lines.get(name)
        rows.append(
            {
                "line": name,
                **value.columns(),
                "cut_gone": _number(line.cut_gone if line else None),
                "cut_there": _number(line.cut_there if line else None),
                "call": called.get(name, ""),
                "decides": line.decides if line else False,
            }
        )
    return rows


def _number(cut: float | None) -> float:
    return float("nan") if cut is None else cut
