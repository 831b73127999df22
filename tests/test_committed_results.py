"""The committed verdicts follow from the committed measurements by the shipped rule."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from interp.checkpoints.lineage import Lineage
from interp.study import StudyConfig, studies
from interp.tables import read_csv
from interp.verdict.judging import judge
from interp.verdict.rule import load_rule, rule_text

FIGURES = Path(__file__).parents[1] / "figures"
JUDGED = [config for config in studies() if config.purpose == "verdict"]


@pytest.mark.parametrize("config", JUDGED, ids=lambda config: config.name)
def test_verdicts_follow_from_measures(config: StudyConfig) -> None:
    folder = FIGURES / config.name
    measures = read_csv(folder / "measures.csv").fillna({"parent": ""})
    committed = read_csv(folder / "verdict.csv").fillna({"parent": ""})
    lineage = Lineage.load(config.lineage)
    ancestors = {name: lineage.ancestors(name) for name in config.members}
    planted = dict(zip(committed["member"], committed["planted"], strict=True))
    _, verdict = judge(measures, ancestors, planted, load_rule())
    keys = ["seed", "member"]
    pd.testing.assert_frame_equal(
        verdict.sort_values(keys, ignore_index=True),
        committed.sort_values(keys, ignore_index=True),
    )
    assert sorted(committed["seed"].unique()) == sorted(config.seeds)
    assert set(committed["member"]) == set(config.members)


@pytest.mark.parametrize("config", JUDGED, ids=lambda config: config.name)
def test_the_committed_run_used_the_shipped_rule(config: StudyConfig) -> None:
    run = json.loads((FIGURES / config.name / "run.json").read_text(encoding="utf-8"))
    assert run["rule"] == rule_text()


@pytest.mark.parametrize("config", JUDGED, ids=lambda config: config.name)
def test_truths_that_hold_by_construction_were_called_rightly(config: StudyConfig) -> None:
    rule = load_rule()
    verdict = read_csv(FIGURES / config.name / "verdict.csv")
    controls = verdict[verdict["planted"].isin(rule.gate)]
    assert len(controls) == len(rule.gate) * len(config.seeds)
    for row in controls.itertuples():
        assert row.verdict in rule.planted[row.planted]
    scrubbed = verdict.loc[verdict["member"] == "scrubbed", "verdict"]
    assert "DESELECTED" not in set(scrubbed)


@pytest.mark.parametrize("config", JUDGED, ids=lambda config: config.name)
def test_no_linear_reader_finds_the_classes_in_erased_members(config: StudyConfig) -> None:
    """At no layer and position above shuffled labels; the twin without the penalty is read."""
    probes = read_csv(FIGURES / config.name / "probes.csv")
    for (member, _), cells in probes.groupby(["member", "seed"]):
        assert (cells["certified"] == 1).all()
        if member in ("replaced", "scrubbed", "never"):
            assert (cells["ridge"] <= cells["null_hi"]).all()
            assert cells["p_adjusted"].min() > 0.05
        if member == "scrubbed_twin":
            assert cells["p_adjusted"].min() < 0.05
