"""Verdicts on children of any lineage, each with its reason in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from interp.stats import Interval
from interp.verdict.controls import Controls
from interp.verdict.judging import Evidence, calls, decide, evidence_of, evidence_rows_of
from interp.verdict.rule import Call, Rule, Verdict

UNKNOWN = "unknown"
"""What is planted in a model that nobody planted anything in."""
_MEANING: dict[Call, str] = {
    "there": "still there",
    "between": "between the cut-offs",
    "gone": "gone",
    "undefined": "not telling",
}


def judge_children(
    measures: pd.DataFrame,
    ancestors: Mapping[str, Sequence[str]],
    rule: Rule,
    controls: Controls,
    unmeasured: Mapping[tuple[str, str], str],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tables `evidence`, `verdict` and `reasons` of models with a parent.

    Args:
        measures: columns seed, member, parent, line, estimate, lo, hi; parent "" for a root.
        ancestors: member -> its recorded ancestors, nearest first.
        rule: the rule.
        controls: whether it read the planted controls rightly here.
        unmeasured: (member, line) -> why a line was not measured.
    """
    evidence_rows, verdict_rows, reason_rows = [], [], []
    for seed, of_seed in measures.groupby("seed", sort=True):
        parents = of_seed.drop_duplicates("member").set_index("member")["parent"]
        for piece in evidence_of(of_seed, ancestors):
            if not parents[piece.member]:
                continue
            called: Verdict = decide(piece, rule)
            verdict = controls.admit(called)
            whys = {line: why for (who, line), why in unmeasured.items() if who == piece.member}
            why = (
                _of_evidence(piece, called, rule, whys)
                if verdict == called
                else f"{controls.fault}. Without that the rule would have said {called}."
            )
            key = {"seed": seed, "member": piece.member}
            parent = {"parent": parents[piece.member]}
            evidence_rows += [key | parent | row for row in evidence_rows_of(piece, rule)]
            verdict_rows.append(key | parent | {"planted": UNKNOWN, "verdict": verdict})
            reason_rows.append(key | {"verdict": verdict, "reason": why})
    return pd.DataFrame(evidence_rows), pd.DataFrame(verdict_rows), pd.DataFrame(reason_rows)


def _of_evidence(piece: Evidence, verdict: Verdict, rule: Rule, whys: Mapping[str, str]) -> str:
    """Why the rule says what it says, from the numbers it looked at."""
    value = piece.values
    if verdict == "NO-EFFECT":
        return (
            f"It abstains about as selectively as its parent: J falls by {_said(value['drop'])}, "
            f"and less than {rule.drop.cut:g} cannot be excluded."
        )
    if verdict == "KNOWLEDGE-DRIVEN":
        return (
            "It abstains less because it knows more: right answers to "
            f"{_said(value['knowledge'])} of the questions that call for abstention."
        )
    lines = "; ".join(_of_line(line, piece, rule, whys) for line in rule.deciding())
    before = max((j.lo for j in piece.ancestors_j), default=float("nan"))
    if not before >= rule.abstains.cut:
        none = (
            "No ancestor is shown to have abstained selectively: the largest lower limit of J is "
            f"{before:.2f}, and {rule.abstains.cut:g} is needed"
        )
        return f"{none}, so there was nothing shown to lose. {_sentence(lines)}"
    return _sentence(lines)


def _of_line(line: str, piece: Evidence, rule: Rule, whys: Mapping[str, str]) -> str:
    if line not in piece.values:
        return f"{line} was not measured ({whys.get(line, 'its stage was left out')})"
    call = calls(piece, rule)[line]
    return f"{line} {_said(piece.values[line])} is {_MEANING[call]}"


def _said(value: Interval) -> str:
    return f"{value.estimate:.2f} [{value.lo:.2f}, {value.hi:.2f}]"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
