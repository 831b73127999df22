"""What is committed of the study of objectives follows from its own tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp import configs
from interp.study import StudyConfig
from interp.tables import read_csv
from interp.verdict.claim_table import claims_table
from interp.verdict.claims import load_claims
from interp.verdict.rule import load_rule
from interp.verdict.signature import signature_table

FOLDER = Path(__file__).parents[1] / "figures" / "objectives"
CONFIG = configs.load(configs.locate("objectives", "studies"), StudyConfig)
TESTS_WITHOUT_REPLIES = {"calibration", "lag", "gain", "verdicts"}
"""Tests of claims that read no table of replies, which is too long to commit."""


def table(name: str) -> pd.DataFrame:
    found = read_csv(FOLDER / f"{name}.csv")
    words = [column for column in ("mode", "position", "sentence", "text") if column in found]
    return found.assign(**{column: found[column].fillna("") for column in words})


def test_every_member_is_judged_on_every_seed() -> None:
    verdict = table("verdict")
    judged = set(zip(verdict["member"], verdict["seed"], strict=True))
    assert judged == {(member, seed) for member in CONFIG.members for seed in CONFIG.seeds}
    assert len(verdict) == len(judged)


def test_the_gate_held_and_the_other_planted_truths_were_called_rightly() -> None:
    rule, verdict = load_rule(), table("verdict")
    assert "SUITE NOT VALID" not in set(verdict["verdict"])
    expected = verdict[verdict["planted"].isin(rule.planted)]
    right = [row.verdict in rule.planted[row.planted] for row in expected.itertuples()]
    missed = expected[~np.array(right)]
    # `scrubbed` was expected to be ATTENUATED and never was (README).
    assert set(missed["planted"]) <= {"linearly_erased"}


def test_claims_follow_from_the_tables_beside_them() -> None:
    names = ("calibration", "measures", "verdict", "trajectory")
    found = claims_table({name: table(name) for name in names}, seeds=CONFIG.seeds)
    ids = [claim.id for claim in load_claims().claims if claim.test in TESTS_WITHOUT_REPLIES]
    committed = table("claims")
    assert set(committed["claim"]) == {claim.id for claim in load_claims().claims}
    keys = ["claim", "objective", "mode", "seed"]
    for claim in ids:
        mine, theirs = (
            rows[rows["claim"] == claim].set_index(keys).sort_index() for rows in (found, committed)
        )
        assert mine["call"].tolist() == theirs["call"].tolist()
        assert mine["estimate"].to_numpy() == pytest.approx(
            theirs["estimate"].to_numpy(), abs=2e-5, nan_ok=True
        )


def test_the_signature_follows_from_the_tables_beside_it() -> None:
    names = (
        *("behavior", "abstention", "signal", "calibration", "layer_change", "layer_grafts"),
        *("relearn", "verdict"),
    )
    found = signature_table({name: table(name) for name in names})
    keys = ["seed", "member", "group", "measure"]
    mine, theirs = (rows.set_index(keys).sort_index() for rows in (found, table("signature")))
    assert mine.index.equals(theirs.index)
    assert mine["estimate"].to_numpy() == pytest.approx(
        theirs["estimate"].to_numpy(), rel=1e-4, abs=1e-5, nan_ok=True
    )


def test_every_claim_has_a_sentence_and_is_called_as_its_seeds_are() -> None:
    claims = table("claims")
    overall = claims[claims["seed"] == "all"]
    assert overall["sentence"].str.len().min() > 20
    for row in overall.itertuples():
        of_seeds = claims[
            (claims["claim"] == row.claim)
            & (claims["objective"] == row.objective)
            & (claims["mode"] == row.mode)
            & (claims["seed"] != "all")
        ]
        if row.call in ("holds", "does not hold") and row.claim != "deployment_not_capability":
            assert set(of_seeds["call"]) == {row.call}
        assert f": {row.call}." in row.sentence
