"""What the README says of chains of thought stands in the committed tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from interp.tables import read_csv

FOLDER = Path(__file__).parents[1] / "figures" / "reasoning"
SEEDS = [21, 22, 23]
CHILDREN = ["reason_sft_upper", "reason_sft", "reason_rl", "replaced", "scrubbed"]
SILENT = ["reason_sft_upper", "reason_sft", "replaced", "scrubbed"]
SUPPRESSED = ["reason_sft_upper", "reason_sft", "reason_rl"]


def table(name: str, *, against: bool = False) -> pd.DataFrame:
    """Rows of members by themselves, or beside their parents."""
    found = read_csv(FOLDER / f"{name}.csv")
    alone = found["against"].isna()
    return found[~alone if against else alone]


def test_chains_carry_the_answer_before_and_after() -> None:
    early = table("early_answering").query("measure == 'aoc' and group == 'known'")
    assert len(early) == 6 * len(SEEDS)
    assert early["estimate"].between(0.485, 0.715).all()
    moved = table("early_answering", against=True).query("measure == 'aoc' and group == 'known'")
    assert moved["estimate"].abs().max() < 0.095
    same = table("perturbed").query("measure == 'same' and group == 'known'")
    after = same.groupby("arm")["estimate"]
    assert after.max()["mistake"] < 0.245
    assert after.min()["mistake"] > 0.025
    assert after.max()["filler"] < 0.075


def test_what_they_state_of_the_unknown_is_made_up() -> None:
    index = table("knowledge_index").query("measure == 'ki'").set_index(["group", "member"])
    assert index.loc["known"]["estimate"].min() > 0.915
    assert index.loc["unknown"].loc[CHILDREN]["estimate"].between(0.285, 0.755).all()


def test_words_hear_nothing_where_a_probe_sees() -> None:
    noticed = table("noticed").query("measure == 'noticed'")
    by = noticed.set_index(["instrument", "group", "member", "seed"])["estimate"].sort_index()
    assert (by.loc["text", "unknown"].loc[SILENT] < 0.005).all()
    assert by.loc["probe_soft", "unknown", "reason_sft_upper"].between(0.755, 0.905).all()
    assert by.loc["probe_soft", "known", "reason_sft_upper"].between(0.105, 0.225).all()
    for member in ("replaced", "scrubbed"):
        for group in ("known", "unknown"):
            assert by.loc["probe_soft", group, member].between(0.49, 0.51).all()


def test_thinking_costs_abstention() -> None:
    effects = read_csv(FOLDER / "thinking_effect.csv").query(
        "effect == 'interaction' and measure == 'abstention'"
    )
    by = effects.set_index(["about", "member", "seed"]).sort_index()
    for member in SUPPRESSED:
        names = by.loc["people", member]
        assert names.loc[[21, 23], "estimate"].between(-0.475, -0.125).all()
        assert (names.loc[[21, 23], "hi"] < 0).all()
        assert names.loc[22, "lo"] < 0 < names.loc[22, "hi"]
    premises = by.loc["problems", "reason_sft"]
    assert premises["estimate"].between(-0.875, -0.195).all()
    assert (premises["hi"] < 0).all()


def test_going_on_spoils_answers() -> None:
    right = table("budgets").query("measure == 'accuracy'").set_index("arm")["estimate"]
    assert right["natural"].between(0.945, 1).all()
    assert right["extend 1"].between(0.185, 0.485).all()


def test_rules_of_decoding() -> None:
    rules = table("decoding_rules", against=True)
    by = rules.set_index(["arm", "measure", "group", "member", "seed"]).sort_index()["estimate"]
    before = table("decoding_rules").query("arm == 'none' and measure == 'backtracking'")
    after = table("decoding_rules").query("arm == 'switch penalty' and measure == 'backtracking'")
    assert before["estimate"].max() < 0.055
    assert after["estimate"].max() < 0.01
    assert by.loc["switch penalty", "correct"].abs().max() < 0.01
    assert by.loc["abstention boost", "abstains", "known", "base"].between(0.195, 0.345).all()
    back = by.loc["abstention boost", "abstains"]
    assert back.loc["unknown", "reason_rl"].loc[[21, 23]].between(0.28, 0.30).all()
    assert back.loc["known", "reason_rl"].max() < 0.025


def test_directions_stay_and_adding_doubt_does_nothing() -> None:
    cosines = read_csv(FOLDER / "strategy_cosines.csv")
    same = cosines[
        (cosines["label_a"] == cosines["label_b"]) & (cosines["source_b"] == cosines["member"])
    ]
    near = same.set_index("member")["corrected"]
    assert near.drop("replaced").min() > 0.795
    assert near["replaced"].between(0.195, 0.845).all()
    steering = read_csv(FOLDER / "strategy_steering.csv").query(
        "kind == 'strategy' and steered == 'uncertainty-estimation' "
        "and measure == steered and coefficient == 1"
    )
    change = steering.set_index(["member", "seed"])["change"].sort_index()
    assert change["base"].between(0.125, 0.155).all()
    assert change.loc["reason_rl", 21] > 0.1
    assert change.drop("base").drop(("reason_rl", 21)).max() < 0.025


def test_the_hybrid_recovers_no_more_than_chance_does() -> None:
    hybrid = read_csv(FOLDER / "hybrid.csv").query("group == 'unknown'")
    by = hybrid.set_index(["arm", "member", "seed"])["recovered"].sort_index()
    full = by.loc["full"]
    assert full.drop("replaced").between(-0.005, 0.125).all()
    assert full.loc["replaced"].max() > 0.44
    assert by.loc["random_vectors"].max() > 0.44


def test_compression_within_its_bound_shortens_nothing() -> None:
    compressed = table("compression", against=True).query("measure == 'thinking_tokens'")
    within = compressed[compressed["arm"] == "1"]
    assert within["estimate"].abs().max() < 0.1
    kl = read_csv(FOLDER / "compression_kl.csv").query("factor == 1 and measure == 'over'")
    assert (kl["estimate"] == 0).all()


def test_the_layer_claim_is_right_where_it_is_planted() -> None:
    claims = read_csv(FOLDER / "layer_claims.csv")
    by = claims.set_index(["target", "member", "seed"]).sort_index()
    verdicts = by["verdict"]["should_abstain"]
    assert set(verdicts["reason_sft_upper"]) == {"holds"}
    assert set(verdicts["replaced"]) == set(verdicts["scrubbed"]) == {"does not hold"}
    assert verdicts["reason_sft"].tolist() == ["holds", "undecided", "holds"]
    assert verdicts["reason_rl"].tolist() == ["undecided", "does not hold", "holds"]
    on_22 = by.loc["should_abstain", "reason_rl", 22]
    assert on_22["early"] == pytest.approx(0.86, abs=0.01)
    assert on_22["late"] == pytest.approx(0.22, abs=0.01)
    strategies = claims[claims["target"] != "should_abstain"]
    assert (strategies["verdict"] == "undecided").mean() > 0.75
