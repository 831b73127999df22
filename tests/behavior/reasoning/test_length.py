from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from interp.behavior.reasoning.length import _logistic, difficulty_of, length_table
from interp.errors import InputError

UNITS = ("prompt_id",)


def replies(log_odds, *, n: int = 1000, seed: int = 0, strata=("one",), shift=0.0, length=None):
    """Replies whose chance of being right is a function of log2 length, by difficulty."""
    rng = np.random.default_rng(seed)
    rows = []
    for level, name in enumerate(strata):
        log2_N = rng.normal(7, 1, n) if length is None else length(rng, level, n)
        p_N = 1 / (1 + np.exp(-(log_odds(log2_N) - shift * level)))
        rows.append(
            pd.DataFrame({"tokens": 2**log2_N, "correct": rng.random(n) < p_N, "difficulty": name})
        )
    items = pd.concat(rows, ignore_index=True)
    return items.assign(prompt_id=[f"p{k}" for k in range(len(items))])


def pooled(items: pd.DataFrame, **how) -> pd.Series:
    table = length_table(items, units=UNITS, n_boot=100, **how)
    return table.set_index("difficulty").loc["pooled"]


def test_a_planted_peak_is_found_with_an_interval_that_holds_it() -> None:
    row = pooled(replies(lambda x: 1 - 0.8 * (x - 7.4) ** 2))
    assert row["shape"] == "peak"
    assert row["vertex_lo"] < 2**7.4 < row["vertex_hi"]
    assert row["vertex_hi"] < 1.3 * row["vertex_lo"]
    assert row["bend_lo"] < -0.8 < row["bend_hi"]
    x = np.log2(row["from_tokens"])
    assert row["slope_short_lo"] < -1.6 * (x - 7.4) < row["slope_short_hi"]


@pytest.mark.parametrize(
    ("log_odds", "shape"),
    [
        (lambda x: 1.5 * (x - 7), "rising"),
        (lambda x: -1.5 * (x - 7), "falling"),
        (lambda x: -1 + 0.8 * (x - 7) ** 2, "trough"),
        (lambda x: -0.3 * (x - 11) ** 2 + 4, "rising"),  # bends, and turns beyond its range
    ],
)
def test_other_shapes_are_told_apart(log_odds, shape: str) -> None:
    assert pooled(replies(log_odds))["shape"] == shape


def test_no_slope_is_flat_only_with_replies_enough_to_say_so() -> None:
    few = pooled(replies(lambda x: 0 * x, n=60))
    assert few["shape"] == "unclear"
    assert np.isnan(few["vertex_lo"])
    assert pooled(replies(lambda x: 0 * x, n=1500), margin=0.6)["shape"] == "flat"


def test_harder_questions_with_longer_chains_make_no_slope_within_a_difficulty() -> None:
    """Simpson: over all replies accuracy falls with length, within each difficulty it is even."""
    items = replies(
        lambda x: 0 * x + 1.5, strata=("easy", "mid", "hard"), shift=1.5, n=400, seed=1,
        length=lambda rng, level, n: rng.normal(6 + level, 0.5, n),
    )  # fmt: skip
    blind = pooled(items.assign(difficulty="all"))
    assert blind["shape"] == "falling"
    within = pooled(items)
    assert within["slope_middle_lo"] < 0 < within["slope_middle_hi"]
    assert within["shape"] != "falling"
    table = length_table(items, units=UNITS, n_boot=20)
    assert table["difficulty"].tolist() == ["pooled", "easy", "hard", "mid"]
    assert table["n"].tolist() == [1200, 400, 400, 400]


def test_the_fit_is_the_penalised_likelihood_s_maximum() -> None:
    """Against a general optimiser, with weights and where the outcomes are all but separated."""
    rng = np.random.default_rng(3)
    z_N = rng.normal(size=80)
    terms_NP = np.column_stack([np.ones(80), z_N, z_N**2])
    for right_N in (rng.random(80) < 0.5, z_N > 0):
        weights_BN = rng.integers(0, 4, (3, 80)).astype(float)
        got_BP = _logistic(terms_NP, right_N.astype(float), weights_BN)
        for weight_N, got_P in zip(weights_BN, got_BP, strict=True):

            def loss(beta_P, weight_N=weight_N, right_N=right_N):
                eta_N = terms_NP @ beta_P
                fit = (weight_N * (np.logaddexp(0, eta_N) - right_N * eta_N)).sum()
                return fit + 0.5e-3 * (beta_P**2).sum()

            best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
            assert loss(got_P) <= best.fun + 1e-6


def test_difficulty_is_what_the_others_make_of_a_question() -> None:
    right = {"a": [1, 1, 0, 0], "b": [1, 1, 1, 0], "c": [1, 0, 0, 0]}
    items = pd.DataFrame(
        [
            {"prompt_id": f"p{k}", "model": model, "correct": bool(of[k])}
            for model, of in right.items()
            for k in range(4)
        ]
    )
    found = items.assign(stratum=difficulty_of(items, 2)).pivot(
        index="prompt_id", columns="model", values="stratum"
    )
    # For "a" the others' shares right are 1, .5, .5, 0; for "c" they are 1, 1, .5, 0.
    assert found["a"].tolist() == ["0", "0", "0", "1"]
    assert found["c"].tolist() == ["0", "0", "1", "1"]
    flipped = items.assign(correct=items["correct"] ^ (items["model"] == "a"))
    again = flipped.assign(stratum=difficulty_of(flipped, 2))
    assert again[again["model"] == "a"]["stratum"].tolist() == found["a"].tolist()
    with pytest.raises(InputError, match="prompt p0: no model but a was asked it"):
        difficulty_of(items[items["model"] == "a"])
    with pytest.raises(InputError, match="difficulty: correct is neither true nor false"):
        difficulty_of(items.assign(correct=np.nan))
    with pytest.raises(InputError, match="0 strata"):
        difficulty_of(items, 0)


def test_chains_of_no_length_are_counted_and_no_fit_is_no_number() -> None:
    items = replies(lambda x: 0 * x, n=40)
    items.loc[:4, "tokens"] = [0, np.nan, np.nan, 0, 0]
    row = length_table(items, units=UNITS, n_boot=20).iloc[0]
    assert (row["n"], row["excluded"]) == (35, 5)
    right = length_table(items.assign(correct=True), units=UNITS, n_boot=20).iloc[0]
    assert right["shape"] == "unclear"
    assert np.isnan(right["bend"])
    same = length_table(items.assign(tokens=7), units=UNITS, n_boot=20).iloc[0]
    assert (same["shape"], same["from_tokens"]) == ("unclear", 7)


def test_replies_that_are_cut_off_make_no_slope() -> None:
    """Accuracy is even, and long chains meet the limit: cut off they are wrong, and no longer."""
    items = replies(lambda x: 0 * x + 1.5)
    cut_N = (items["tokens"] > 2**7.5).to_numpy()
    items = items.assign(tokens=items["tokens"].clip(upper=2**7.5), truncated=cut_N)
    items["correct"] &= ~cut_N
    assert pooled(items.drop(columns="truncated"))["slope_long_hi"] < -1
    row = pooled(items)
    assert row["excluded"] == cut_N.sum()
    for place in ("short", "middle", "long"):
        assert row[f"slope_{place}_lo"] < 0 < row[f"slope_{place}_hi"]


def test_a_difficulty_without_a_known_chain_is_a_row_that_says_so() -> None:
    items = replies(lambda x: 0 * x, n=30, strata=("easy", "hard"))
    items.loc[items["difficulty"] == "hard", "tokens"] = 0
    items.index = np.zeros(len(items), int)  # as several tables put together have it
    table = length_table(items, units=UNITS, n_boot=20).set_index("difficulty")
    assert table.loc["hard", ["shape", "n", "right", "excluded"]].tolist() == ["unclear", 0, 0, 30]
    assert np.isnan(table.loc["hard", "from_tokens"])
    assert table.loc["pooled", ["n", "excluded"]].tolist() == [30, 30]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": 0}, "no chain of known length"),
        ({"correct": 0.5}, "neither true nor false"),
        ({"difficulty": None}, "no difficulty"),
    ],
)
def test_items_that_cannot_be_are_refused(change: dict, said: str) -> None:
    items = replies(lambda x: 0 * x, n=20)
    with pytest.raises(InputError, match=said):
        length_table(items.assign(**change), units=UNITS)
    with pytest.raises(InputError, match="margin 0"):
        length_table(items, units=UNITS, margin=0)
    with pytest.raises(InputError, match="lack the column difficulty"):
        length_table(items.drop(columns="difficulty"), units=UNITS)
