from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from interp.behavior.scores.continuation_scores import ContinuationScores
from interp.behavior.scores.continuation_validity import (
    kept_templates,
    validate_continuations,
    weighted_spearman,
)
from interp.behavior.scores.continuations import Continuations
from interp.errors import InputError
from interp.stats import auroc

N = 60
WORLD = Continuations(
    "world",
    abstain=("telling", "also telling", "blind"),
    answer=("answers", "so it is"),
    clarify=("which",),
    refuse=("never", "no thanks"),
)


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rate_N = rng.random(N)
    return pd.DataFrame(
        {
            "prompt_id": [f"p{row}" for row in range(N)],
            "pair_id": [f"pair {row // 2}" for row in range(N)],
            "outcome": np.where(
                rate_N > 0.6, "abstain", np.where(rate_N > 0.3, "wrong", "correct")
            ),
            "abstain_rate": rate_N,
            "split": "dev",
        }
    )


@pytest.fixture(scope="module")
def scores(items: pd.DataFrame) -> ContinuationScores:
    """Planted: what is telling rises with the rate of abstention, the rest knows nothing of it."""
    rng = np.random.default_rng(1)
    per_token_NC = rng.normal(-6, 0.3, (N, len(WORLD.texts)))
    for text in ("telling", "also telling", "which"):
        per_token_NC[:, WORLD.texts.index(text)] += 4 * items["abstain_rate"].to_numpy()
    length_NC = rng.integers(1, 5, per_token_NC.shape)
    prompt_ids = tuple(items["prompt_id"])
    return ContinuationScores(prompt_ids, WORLD, per_token_NC * length_NC, length_NC)


@pytest.fixture(scope="module")
def table(scores: ContinuationScores, items: pd.DataFrame) -> pd.DataFrame:
    return validate_continuations(
        scores, items, ("pair_id",), others={"rate": items["abstain_rate"].to_numpy()}, n_boot=300
    )


def value(table: pd.DataFrame, name: str, measure: str) -> pd.Series:
    found = table[(table["name"] == name) & (table["measure"] == measure)]
    assert len(found) == 1
    return found.iloc[0]


def test_each_form_is_held_against_replies_and_rates(
    table: pd.DataFrame, scores: ContinuationScores, items: pd.DataFrame
) -> None:
    abstains_N = (items["outcome"] == "abstain").to_numpy()
    for form in scores.form_kinds:
        score_N = scores.form(form)
        row = value(table, form, "auroc")
        assert row["estimate"] == pytest.approx(auroc(score_N, abstains_N))
        assert row["lo"] < row["estimate"] < row["hi"]
        assert (row["what"], row["n"], row["split"]) == ("form", N, "dev")
        correlation = spearmanr(score_N, items["abstain_rate"]).statistic
        assert value(table, form, "rank_correlation")["estimate"] == pytest.approx(correlation)
    assert value(table, "rate", "auroc")["estimate"] == 1
    assert value(table, "rate", "rank_correlation")["estimate"] == pytest.approx(1)


def test_stability_is_the_least_rank_correlation_without_one(
    table: pd.DataFrame, scores: ContinuationScores
) -> None:
    def without(form: str, text: str) -> float:
        rest = scores.only([other for other in WORLD.texts if other != text])
        return float(spearmanr(scores.form(form), rest.form(form)).statistic)

    for form, entering in {
        "normalised": (*WORLD.abstain, *WORLD.clarify, *WORLD.answer),
        "sequence": (*WORLD.abstain, *WORLD.clarify),
        "normalised_refuse": (*WORLD.refuse, *WORLD.answer),
    }.items():
        expected = min(without(form, text) for text in entering)
        row = value(table, form, "stability")
        assert row["estimate"] == pytest.approx(expected)
        assert row["lo"] <= row["estimate"] <= row["hi"]
    for text, form in {"which": "normalised", "never": "normalised_refuse"}.items():
        got = value(table, text, "stability")["estimate"]
        assert got == pytest.approx(without(form, text))


def test_without_the_only_one_of_a_side_there_is_no_stability(table: pd.DataFrame) -> None:
    for form in ("sequence_clarify", "normalised_clarify"):
        assert value(table, form, "stability")[["estimate", "lo", "hi"]].isna().all()


def test_what_is_planted_is_told_apart(table: pd.DataFrame) -> None:
    for text in ("telling", "also telling", "which"):
        assert value(table, text, "auroc")["lo"] > 0.8
    blind = value(table, "blind", "auroc")
    assert blind["lo"] < 0.5 < blind["hi"]
    assert value(table, "telling", "auroc")["kind"] == "abstain"


def test_kept_are_those_that_tell_and_those_that_refuse(table: pd.DataFrame) -> None:
    kept = kept_templates(table)
    assert {"telling", "also telling", "which", *WORLD.answer, *WORLD.refuse} == set(kept)
    assert "blind" not in WORLD.only(kept).texts
    assert set(kept_templates(table, least=1.0)) == set(WORLD.refuse)


def test_nothing_is_picked_on_the_split_that_is_reported(
    scores: ContinuationScores, items: pd.DataFrame
) -> None:
    reported = validate_continuations(scores, items.assign(split="test"), ("pair_id",), n_boot=10)
    with pytest.raises(InputError, match="of the split 'test'; pick continuations on dev"):
        kept_templates(reported)


def test_items_may_come_in_any_order(
    scores: ContinuationScores, items: pd.DataFrame, table: pd.DataFrame
) -> None:
    shuffled = items.sample(frac=1, random_state=3)
    again = validate_continuations(scores, shuffled, ("pair_id",), n_boot=10)
    expected = table[table["name"] != "rate"].reset_index(drop=True)
    pd.testing.assert_series_equal(again["estimate"], expected["estimate"])


def test_without_rates_there_is_no_rank_correlation(
    scores: ContinuationScores, items: pd.DataFrame
) -> None:
    bare = items.drop(columns="abstain_rate")
    measures = set(validate_continuations(scores, bare, ("pair_id",), n_boot=10)["measure"])
    assert measures == {"auroc", "stability"}


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=2),
)
def test_weights_are_repeats(rows: list[tuple[int, int, int]]) -> None:
    x_N, y_N, weight_N = (np.array(column) for column in zip(*rows, strict=True))
    got = weighted_spearman(x_N, y_N)(weight_N[None].astype(float))[0]
    x_M, y_M = np.repeat(x_N, weight_N), np.repeat(y_N, weight_N)
    if len(set(x_M.tolist())) < 2 or len(set(y_M.tolist())) < 2:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(spearmanr(x_M, y_M).statistic)


def test_one_value_has_no_correlation_whatever_the_weights() -> None:
    weights_BN = np.random.default_rng(0).random((200, 7)) * (np.arange(7) < 5)
    values_N = np.array([1, 1, 1, 1, 1, 2, 3])
    assert np.isnan(weighted_spearman(values_N, np.arange(7))(weights_BN)).all()


@pytest.mark.parametrize(
    ("column", "entry", "message"),
    [
        ("prompt_id", "p1", "have prompt p1 twice"),
        ("prompt_id", "q9", r"of different prompts \(p0 is in one of them only\)"),
        ("outcome", "hedged", "prompt p0: the outcome is 'hedged'; expected one of abstain"),
        ("abstain_rate", 1.5, "prompt p0: abstain_rate is 1.5; expected a share from 0 to 1"),
        ("abstain_rate", np.nan, "prompt p0: abstain_rate is nan"),
        ("split", "test", "prompt p1: split is dev; expected one split"),
    ],
)
def test_bad_items_are_refused(
    scores: ContinuationScores, items: pd.DataFrame, column: str, entry: object, message: str
) -> None:
    bad = items.copy()
    bad.loc[0, column] = entry
    with pytest.raises(InputError, match=message):
        validate_continuations(scores, bad, ("pair_id",))


@pytest.mark.parametrize(("outcome", "count"), [("abstain", N), ("wrong", 0)])
def test_a_model_that_does_one_thing_only_validates_nothing(
    scores: ContinuationScores, items: pd.DataFrame, outcome: str, count: int
) -> None:
    with pytest.raises(InputError, match=f"{count} of {N} replies abstain; validate on a model"):
        validate_continuations(scores, items.assign(outcome=outcome), ("pair_id",))


def test_a_missing_column_is_named(scores: ContinuationScores, items: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="lack the column split"):
        validate_continuations(scores, items.drop(columns="split"), ("pair_id",))


def test_another_score_is_one_number_a_prompt(
    scores: ContinuationScores, items: pd.DataFrame
) -> None:
    with pytest.raises(InputError, match="'short' has shape"):
        validate_continuations(scores, items, ("pair_id",), others={"short": np.ones(3)}, n_boot=5)
