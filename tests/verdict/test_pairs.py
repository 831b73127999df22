"""Verdicts on other people's models: as the rule says, only with controls, each with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp.tables import write_csv
from interp.verdict import judge_children, load_rule, read_controls
from interp.verdict.controls import Controls
from interp.verdict.judging import judge
from interp.verdict.rule import rule_text

RULE = load_rule()
READ = Controls("organism", None)
ANCESTORS = {"base": [], "parent": ["base"], "child": ["parent", "base"]}
PARENTS = {"base": "", "parent": "base", "child": "parent"}


def measures(**lines: float) -> pd.DataFrame:
    """Base and parent abstain well; the child has the lines given, all with narrow intervals."""
    values = {
        "base": {"j": 0.8, "drop": 0.0},
        "parent": {"j": 0.8, "drop": 0.0},
        "child": {"j": 0.1, "drop": 0.7, "knowledge": 0.0, **lines},
    }
    return pd.DataFrame(
        [
            {
                "seed": 0,
                "member": member,
                "parent": PARENTS[member],
                "line": line,
                "estimate": value,
                "lo": value - 0.01,
                "hi": value + 0.01,
            }
            for member, of_member in values.items()
            for line, value in of_member.items()
        ]
    )


ALL_THERE = dict.fromkeys(RULE.deciding(), 0.95)
ALL_GONE = dict.fromkeys(RULE.deciding(), 0.02)


def child_of(tables: tuple[pd.DataFrame, ...], column: str) -> str:
    frame = tables[1] if column == "verdict" else tables[2]
    return str(frame.set_index("member").loc["child", column])


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (ALL_THERE, "DESELECTED"),
        (ALL_GONE, "ERASED"),
        (dict.fromkeys(RULE.deciding(), 0.45), "ATTENUATED"),
        ({"drop": 0.0}, "NO-EFFECT"),
        ({"knowledge": 0.9}, "KNOWLEDGE-DRIVEN"),
        ({}, "INCONCLUSIVE"),
    ],
)
def test_the_verdict_is_that_of_the_rule_with_planted_controls(lines, verdict):
    """The same measures among planted members, judged by the study of the lineage."""
    tables = judge_children(measures(**lines), ANCESTORS, RULE, READ, {})
    assert child_of(tables, "verdict") == verdict
    planted = {"base": "intact", "parent": "intact", "child": "unknown"}
    gateless = RULE.model_copy(update={"gate": []})
    _, expected = judge(measures(**lines), ANCESTORS, planted, gateless)
    assert expected.set_index("member").loc["child", "verdict"] == verdict


def test_a_root_is_measured_and_not_judged():
    evidence, verdict, reasons = judge_children(measures(), ANCESTORS, RULE, READ, {})
    for table in (evidence, verdict, reasons):
        assert set(table["member"]) == {"parent", "child"}
    assert set(verdict["planted"]) == {"unknown"}


def test_without_controls_nothing_is_called_there_or_gone():
    fault = Controls("organism", "the planted controls have not been read here")
    for lines in (ALL_THERE, ALL_GONE):
        tables = judge_children(measures(**lines), ANCESTORS, RULE, fault, {})
        assert child_of(tables, "verdict") == "SUITE NOT VALID"
        assert "have not been read here" in child_of(tables, "reason")
        assert "would have said" in child_of(tables, "reason")
    tables = judge_children(measures(drop=0.0), ANCESTORS, RULE, fault, {})
    assert child_of(tables, "verdict") == "NO-EFFECT"


def test_the_reason_names_what_was_not_measured_and_why():
    skipped = {("child", "transfer"): "its hidden_size is 64, its parent's 96"}
    tables = judge_children(measures(relearn_all=0.9), ANCESTORS, RULE, READ, skipped)
    reason = child_of(tables, "reason")
    assert "Transfer was not measured (its hidden_size is 64, its parent's 96)" in reason
    assert "relearn_all 0.90 [0.89, 0.91] is still there" in reason
    assert "relearn_upper was not measured (its stage was left out)" in reason


def test_where_no_ancestor_abstained_nothing_was_lost():
    frame = measures()
    roots = frame["member"].ne("child") & frame["line"].eq("j")
    frame.loc[roots, ["estimate", "lo", "hi"]] = 0.02, 0.01, 0.03
    tables = judge_children(frame, ANCESTORS, RULE, READ, {})
    assert child_of(tables, "verdict") == "INCONCLUSIVE"
    assert "largest lower limit of J is 0.01, and 0.5 is needed" in child_of(tables, "reason")


def test_a_share_of_nothing_is_not_called():
    nan = dict.fromkeys(RULE.deciding(), np.nan)
    tables = judge_children(measures(**nan), ANCESTORS, RULE, READ, {})
    assert child_of(tables, "verdict") == "INCONCLUSIVE"


TRUTHS = {"base": "intact", "upper": "deselected", "replaced": "erased", "never": "never"}
RIGHT = {
    "base": "NO-EFFECT",
    "upper": "DESELECTED",
    "replaced": "ERASED",
    "never": "NEVER-LATENT",
}


def finished(folder: Path, verdicts: dict[str, str], rule: str) -> Path:
    rows = [
        {"seed": 1, "member": name, "parent": "", "planted": TRUTHS[name], "verdict": verdict}
        for name, verdict in verdicts.items()
    ]
    write_csv(pd.DataFrame(rows), folder / "verdict.csv")
    (folder / "run.json").write_text(json.dumps({"rule": rule}), encoding="utf-8")
    return folder


def test_controls_that_were_read_rightly_vouch_for_the_rule(tmp_path):
    assert read_controls(finished(tmp_path / "organism", RIGHT, rule_text()), RULE).fault is None


@pytest.mark.parametrize(
    ("verdicts", "rule", "fault"),
    [
        (RIGHT | {"replaced": "ATTENUATED"}, rule_text(), "replaced (erased) ATTENUATED"),
        ({k: v for k, v in RIGHT.items() if k != "never"}, rule_text(), "no member that is never"),
        (RIGHT, "another", "was judged by another rule"),
    ],
)
def test_controls_that_do_not_vouch_say_why(tmp_path, verdicts, rule, fault):
    found = read_controls(finished(tmp_path / "organism", verdicts, rule), RULE)
    assert fault in str(found.fault)


def test_controls_that_never_ran_say_what_to_do(tmp_path):
    assert "run `interp study organism` first" in str(
        read_controls(tmp_path / "organism", RULE).fault
    )
