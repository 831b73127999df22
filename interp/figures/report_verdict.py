"""The verdict as a report shows it: evidence beside its cut-offs, and why each verdict is so."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from interp.figures.calls import cutoffs, line_label, lines_of, number
from interp.figures.style import Look

VERDICTS = {
    "DESELECTED": "The child no longer abstains, but what its parent abstained on still stands "
    "in it: the parent's read-out carries over, and a few examples bring abstention back.",
    "ERASED": "The child no longer abstains, and what its parent abstained on is gone: the "
    "read-out does not carry over, and the child relearns no faster than one that never had it.",
    "ATTENUATED": "Part of it is left: the evidence falls between what is seen in members where it "
    "is known to stand and in members where it is known to be gone.",
    "REPURPOSED": "The information can be read from the child anew, but no longer in its parent's "
    "code: the parent's read-out does not carry over.",
    "NEVER-LATENT": "The ability was never there to lose: no ancestor of this member abstained.",
    "KNOWLEDGE-DRIVEN": "The child abstains less because it knows more: on what both do not know "
    "nothing has changed.",
    "NO-EFFECT": "The child abstains about as well as its parent: there is nothing to explain.",
    "INCONCLUSIVE": "The lines of evidence disagree, or their intervals are too wide to say.",
    "SUITE NOT VALID": "The tests misread members whose truth is planted, so no verdict is given.",
}


@dataclass(frozen=True)
class Cell:
    """One estimate of one line of evidence, as shown."""

    estimate: str
    interval: str
    call: str


@dataclass(frozen=True)
class Judged:
    """One child in one seed: its row of the verdict table, the evidence, and the reasons."""

    row: dict[str, str]
    cells: list[Cell]
    reasons: list[str]


@dataclass(frozen=True)
class EvidenceTable:
    """Lines of evidence side by side: header (name, cut-offs), then the children, seeds together.

    Attributes:
        header: of every line, its name and cut-offs.
        members: the name of a child, how many rows of the page it spans, and its seeds.
        planted: whether any member's truth is known.
    """

    header: list[tuple[str, str]]
    members: list[tuple[str, int, list[Judged]]]
    planted: bool


@dataclass(frozen=True)
class Glance:
    """One child's verdicts in a line: verdict, and the seeds that it was given in."""

    member: str
    verdicts: list[tuple[str, str]]


def evidence_table(
    evidence: pd.DataFrame, verdict: pd.DataFrame, reasons: pd.DataFrame | None, *, decides: bool
) -> EvidenceTable:
    """Deciding lines, or those that support.

    Args:
        evidence: of a study that judges.
        verdict: of the same study.
        reasons: seed, member, reason; None where there are none.
        decides: which lines.
    """
    lines = lines_of(evidence, decides=decides)
    cells = {(r.seed, r.member, r.line): r for r in evidence.itertuples()}
    why = _reasons(reasons) if decides else {}
    judged = [
        Judged(
            {"parent": "", "planted": ""} | {key: text(value) for key, value in row.items()},
            [_cell(cells.get((row["seed"], row["member"], line))) for line in lines],
            why.get((row["seed"], row["member"]), []),
        )
        for row in _ordered(verdict).to_dict("records")
    ]
    members = []
    for member, group in groupby(judged, key=lambda one: one.row["member"]):
        rows = list(group)
        members.append((member, len(rows) + sum(bool(one.reasons) for one in rows), rows))
    header = [(line_label(line), cutoffs(evidence[evidence["line"] == line])) for line in lines]
    return EvidenceTable(header, members, any(one.row["planted"] for one in judged))


def glance(verdict: pd.DataFrame) -> list[Glance]:
    """Every child with its verdicts, the commonest first."""
    found = []
    for member, rows in _ordered(verdict).groupby("member", sort=False):
        seeds = rows.groupby("verdict", sort=False)["seed"].apply(list)
        by_count = sorted(seeds.items(), key=lambda entry: -len(entry[1]))
        said = [(str(name), ", ".join(str(seed) for seed in of)) for name, of in by_count]
        found.append(Glance(str(member), said))
    return found


def claims_of(claims: pd.DataFrame | None) -> list[dict[str, str]]:
    """What was found of each claim over all seeds: call and sentence, those that decide first."""
    if claims is None:
        return []
    overall = claims[claims["sentence"] != ""]
    ordered = overall.sort_values("decides", ascending=False, kind="stable")
    return [
        {"call": str(row["call"]), "sentence": str(row["sentence"]), "decides": str(row["decides"])}
        for row in ordered.to_dict("records")
    ]


def text(value: Any) -> str:
    """A table value with six significant digits, as in the CSV files; empty for no value."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return str(value)


def _ordered(verdict: pd.DataFrame) -> pd.DataFrame:
    rank = {member: i for i, member in enumerate(Look.of(verdict).styles)}
    ranked = verdict.assign(_rank=verdict["member"].map(rank)).sort_values(["_rank", "seed"])
    return ranked.drop(columns="_rank")


def _reasons(reasons: pd.DataFrame | None) -> dict[tuple[Any, Any], list[str]]:
    found: dict[tuple[Any, Any], list[str]] = {}
    for row in () if reasons is None else reasons.itertuples():
        if said := text(row.reason):
            found.setdefault((row.seed, row.member), []).append(said)
    return found


def _cell(row: Any) -> Cell:
    if row is None:
        return Cell("not measured", "", "undefined")
    if not np.isfinite(row.estimate):
        return Cell("undefined", "", "undefined")
    return Cell(number(row.estimate), f"{number(row.lo)} to {number(row.hi)}", str(row.call))
