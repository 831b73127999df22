"""Claims are called as planted, are undecided where something is missing, and come as data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pydantic
import pytest

from interp.errors import InputError
from interp.verdict.claim_table import COLUMNS, claims_table
from interp.verdict.claims import Claim, Claims, load_claims, read_claims
from tests.verdict.objective_tables import SEEDS, TRACED, objective_tables

N_BOOT = 100


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return objective_tables()


@pytest.fixture(scope="module")
def called(tables) -> pd.DataFrame:
    return claims_table(tables, n_boot=N_BOOT)


def only(*ids: str) -> Claims:
    shipped = load_claims()
    kept = [claim for claim in shipped.claims if claim.id in ids]
    return shipped.model_copy(update={"claims": kept})


def overall(tables, *ids: str, **more) -> pd.DataFrame:
    found = claims_table(tables, only(*ids), n_boot=N_BOOT, **more)
    return found[(found["seed"] == "all") & (found["mode"] != "direct")]


def test_planted_claims_hold_in_every_seed_and_over_all(called) -> None:
    assert list(called.columns) == list(COLUMNS)
    # It cannot abstain less than the base, as it does here, and too much.
    both = (called["claim"] == "over_abstention") & (called["objective"] == "rlsf")
    assert set(called.loc[both, "call"]) == {"does not hold"}
    assert set(called.loc[~both, "call"]) == {"holds"}
    assert set(called["seed"]) == {"all", *map(str, SEEDS)}
    assert set(called["claim"]) == {claim.id for claim in load_claims().claims}
    assert not called.duplicated(["claim", "objective", "mode", "seed"]).any()
    assert called["sentence"].ne("").eq(called["seed"].eq("all")).all()


def test_every_claim_about_several_has_a_row_for_each(called) -> None:
    rows = called[called["seed"] == "all"].groupby("claim")["objective"].agg(set)
    assert rows["under_abstention"] == {"reason_sft", "reason_sft_known", "rl_binary", "rlsf"}
    assert rows["doses"] == {"mixed_1", "mixed_5", "mixed_10"}
    assert rows["readout_before_representation"] == set(TRACED)


def test_the_chain_of_thought_decides(called) -> None:
    assert called[called["mode"] == "cot"].query("claim == 'ternary_restores'")["decides"].all()
    assert not called.loc[called["mode"] == "direct", "decides"].any()
    beside = called[called["claim"].isin(["brier_ranks", "examples_find_it", "readout_gain_falls"])]
    assert not beside["decides"].any()


def test_the_row_over_seeds_is_their_mean(called) -> None:
    rows = called.query("claim == 'ternary_restores' and mode == 'cot'").set_index("seed")
    seeds = rows.drop(index="all")
    assert rows.loc["all", "estimate"] == pytest.approx(seeds["estimate"].mean())
    below = np.sqrt(((seeds["estimate"] - seeds["lo"]) ** 2).sum()) / 3
    assert rows.loc["all", "lo"] == pytest.approx(rows.loc["all", "estimate"] - below)


def test_estimates_are_those_of_the_replies(tables, called) -> None:
    items = tables["items"].query("group == 'unknown' and mode == 'cot' and seed == 22")
    rate = (items["outcome"] == "abstain").groupby(items["member"]).mean()
    row = called.query("claim == 'ternary_restores' and mode == 'cot' and seed == '22'").iloc[0]
    assert row["estimate"] == pytest.approx(rate["rl_ternary"] - rate["rl_binary"])


def test_sentences_are_finished_and_hold_the_numbers(called) -> None:
    said = called.query("claim == 'ternary_restores' and mode == 'cot' and seed == 'all'")
    (sentence,) = said["sentence"]
    assert sentence.startswith(
        "Ternary reward restores abstention: holds. Recall on unknown people .91 under the "
        "ternary reward against .49 under the binary reward, difference .42 ["
    )
    assert sentence.endswith("], all three seeds above .05.".replace("]", "] (chain of thought)"))
    for text in called.loc[called["seed"] == "all", "sentence"]:
        assert text.endswith(".")
        assert "nan " not in text


def swapped(table: pd.DataFrame, a: str, b: str, seeds=SEEDS) -> pd.DataFrame:
    """What one member did told of the other, in some seeds."""
    names = table["member"].replace({a: b, b: a})
    return table.assign(member=names.where(table["seed"].isin(seeds), table["member"]))


FALSE = {
    "under_abstention": ("items", "reason_sft", "base"),
    "over_abstention": ("items", "safety_sft", "base"),
    "ternary_restores": ("items", "rl_ternary", "rl_binary"),
    "binary_breaks_calibration": ("calibration", "rl_binary", "base"),
    "brier_repairs_calibration": ("calibration", "rl_brier", "rl_stated"),
    "brier_repairs_probability": ("calibration", "rl_brier", "rl_stated"),
    "brier_ranks": ("calibration", "rl_brier", "rl_stated"),
    "exploration_barrier": ("items", "ternary_after", "few_examples"),
    "examples_find_it": ("items", "ternary_after", "few_examples"),
    "novel_facts_drive": ("items", "reason_sft_known", "reason_sft"),
    "doses": ("items", "mixed_1", "reason_sft"),
}


@pytest.mark.parametrize("claim", FALSE)
def test_the_opposite_is_called_so_and_seeds_that_differ_are_undecided(tables, claim) -> None:
    name, a, b = FALSE[claim]
    for seeds, call in ((SEEDS, "does not hold"), (SEEDS[:1], "undecided")):
        planted = tables | {name: swapped(tables[name], a, b, seeds)}
        rows = overall(planted, claim)
        assert rows.iloc[0]["call"] == call
        assert f": {call}." in rows.iloc[0]["sentence"]
    assert "seed 21" in rows.iloc[0]["sentence"]
    assert "seeds 22, 23" in rows.iloc[0]["sentence"]


def test_an_interval_across_the_threshold_is_undecided(tables) -> None:
    table = tables["calibration"]
    near = table["member"].eq("rl_binary") & table["measure"].eq("ece")
    base = table["member"].eq("base") & table["measure"].eq("ece")
    value = table["estimate"].where(~near, 0.15).where(~base, 0.1)
    even = table.assign(estimate=value, lo=value - 0.03, hi=value + 0.03)
    row = overall(tables | {"calibration": even}, "binary_breaks_calibration").iloc[0]
    assert row["call"] == "undecided"
    assert row["sentence"].endswith("all three seeds with an interval across .05.")


def moved(table: pd.DataFrame, measure: str, estimate, member: str = TRACED[0]) -> pd.DataFrame:
    mine = table["member"].eq(member) & table["measure"].eq(measure)
    value = table["estimate"].where(~mine, estimate)
    return table.assign(estimate=value, lo=value - 0.03, hi=value + 0.03)


def test_a_representation_that_falls_along_contradicts(tables) -> None:
    planted = tables | {"trajectory": moved(tables["trajectory"], "rho", 0.4)}
    rows = overall(planted, "readout_before_representation").set_index("objective")
    assert rows["call"].to_dict() == {"reason_sft": "does not hold", "rl_binary": "holds"}


def test_members_that_keep_their_ability_are_not_asked(tables) -> None:
    planted = tables | {"trajectory": moved(tables["trajectory"], "J", 0.8)}
    row = overall(planted, "readout_before_representation").iloc[0]
    assert row["call"] == "not applicable"
    assert row["sentence"].endswith("All three seeds: reason_sft never loses half of its J.")


def test_one_erased_member_contradicts_and_one_inconclusive_leaves_open(tables) -> None:
    verdict = tables["verdict"]
    here = verdict["member"].eq("rl_binary") & verdict["seed"].eq(22)
    for word, call in (("ERASED", "does not hold"), ("INCONCLUSIVE", "undecided")):
        planted = tables | {
            "verdict": verdict.assign(verdict=verdict["verdict"].where(~here, word))
        }
        row = overall(planted, "deployment_not_capability").iloc[0]
        assert row["call"] == call
        assert f"1 {word}" in row["sentence"]
    controls = verdict["member"].isin(["never", "replaced", "informed", "reason_sft_upper"])
    erased = verdict.assign(verdict=verdict["verdict"].where(~controls, "ERASED"))
    row = overall(tables | {"verdict": erased}, "deployment_not_capability").iloc[0]
    assert (row["call"], row["estimate"]) == ("holds", 0)


@pytest.mark.parametrize("claim", [*FALSE, "deployment_not_capability"])
def test_a_missing_member_is_undecided_and_named(tables, claim) -> None:
    member = FALSE.get(claim, ("", "lora", ""))[1]
    member = {"examples_find_it": "few_examples"}.get(claim, member)
    without = {
        name: table[(table["member"] != member) | (table["seed"] != 23)]
        for name, table in tables.items()
    }
    row = overall(without, claim).iloc[0]
    assert row["call"] == "undecided"
    assert "seed 23: no " in row["sentence"]
    assert member in row["sentence"].split("seed 23")[1]


def test_nothing_measured_is_undecided_throughout() -> None:
    for seeds in ([], [1, 2]):
        found = claims_table({}, seeds=seeds)
        assert set(found["call"]) == {"undecided"}
        assert len(found[found["seed"] == "all"]) >= len(load_claims().claims)


def test_a_seed_that_should_be_there_counts(tables) -> None:
    row = overall(tables, "ternary_restores", seeds=[21, 22, 24]).iloc[0]
    assert row["call"] == "undecided"
    assert "seed 24: no replies of rl_ternary" in row["sentence"]


def test_the_order_of_rows_changes_nothing(tables, called) -> None:
    shuffled = {name: table.sample(frac=1, random_state=3) for name, table in tables.items()}
    pd.testing.assert_frame_equal(claims_table(shuffled, n_boot=N_BOOT), called)


def test_a_misspelt_key_is_one_clear_error(tmp_path: Path) -> None:
    shipped = Path(str(pytest.importorskip("interp.verdict").__path__[0])) / "claims.yaml"
    text = shipped.read_text(encoding="utf-8")
    wrong = tmp_path / "claims.yaml"
    wrong.write_text(text.replace("threshold: 0.05", "treshold: 0.05", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"claims\.1\.treshold' \(did you mean 'threshold'\?\)"):
        read_claims(wrong)


def test_every_threshold_has_its_reason() -> None:
    for claim in load_claims().claims:
        assert len(claim.reason) > 40
        assert claim.sentence[0].isupper()
        assert not claim.sentence.endswith(".")


RATE = {
    "id": "x", "sentence": "X", "objectives": ["a"], "against": "b", "test": "rate",
    "group": "known", "statistic": "s", "modes": ["cot"], "threshold": 0.05, "side": "above",
    "reason": "r",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"group": None}, "the test 'rate' takes group"),
        ({"source": "stated"}, "the test 'rate' takes group"),
        ({"modes": [""]}, "the test 'rate' takes modes"),
        ({"modes": []}, "the test 'rate' takes modes"),
        ({"test": "lag", "group": None}, "the test 'lag' takes no modes"),
        ({"test": "verdicts", "group": None, "modes": [""], "objectives": "traced"}, "a list of"),
    ],
)
def test_a_claim_that_its_test_cannot_read_is_refused(change, match) -> None:
    Claim.model_validate(RATE)
    with pytest.raises(pydantic.ValidationError, match=match):
        Claim.model_validate(RATE | change)


def test_claims_name_members_that_have_a_phrase_and_have_ids_of_their_own() -> None:
    named = {"a": "in a", "b": "in b"}
    Claims.model_validate({"members": named, "claims": [RATE]})
    with pytest.raises(pydantic.ValidationError, match="claim x names b"):
        Claims.model_validate({"members": {"a": "in a"}, "claims": [RATE]})
    with pytest.raises(pydantic.ValidationError, match="two claims have the same id"):
        Claims.model_validate({"members": named, "claims": [RATE, RATE]})
