from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.audit.rogan_gladen import corrected_differences, corrected_rates, rogan_gladen
from interp.errors import InputError
from interp.stats import hierarchical_bootstrap, weighted_mean

SHARE = st.floats(0, 1)


def replies(truth_N, sens: float, spec: float, seed, source="R", pair=None) -> pd.DataFrame:
    """Replies with known labels, as a grader of known errors grades them."""
    rng = np.random.default_rng(seed)
    right_N = rng.random(len(truth_N)) < np.where(truth_N, sens, spec)
    names = [f"{seed}/{row}" for row in range(len(truth_N))]
    return pd.DataFrame(
        {"prompt_id": names, "pair_id": names if pair is None else pair, "source": source}
        | {"label": truth_N, "graded": truth_N == right_N}
    )


def drawn(rate: float, n: int, seed) -> np.ndarray:
    return np.random.default_rng([9, *np.atleast_1d(seed)]).random(n) < rate


@given(SHARE, st.floats(0.55, 1), st.floats(0.55, 1))
def test_the_graded_rate_of_a_known_prevalence_is_undone(prevalence, sens, spec) -> None:
    graded = prevalence * sens + (1 - prevalence) * (1 - spec)
    assert rogan_gladen(graded, sens, spec) == pytest.approx(prevalence, abs=1e-9)


def test_worked_by_hand() -> None:
    """Graded 300 of 1000; 160 and 180 of 200 right in the audit: (.3 + .9 - 1) / (.8 + .9 - 1)."""
    graded = pd.DataFrame({"graded": np.arange(1000) < 300, "source": "R"})
    graded["prompt_id"] = graded["pair_id"] = [f"e{row}" for row in range(1000)]
    audit = pd.DataFrame({"label": np.arange(400) < 200, "source": "R"})
    audit["graded"] = np.arange(400) % 200 < np.where(audit["label"], 160, 20)
    audit["prompt_id"] = audit["pair_id"] = [f"a{row}" for row in range(400)]
    row = corrected_rates(graded, audit, units=["pair_id"]).iloc[0]
    assert row["estimate"] == row["raw"] == pytest.approx(0.2 / 0.7)
    assert row["observed"] == pytest.approx(0.3)
    assert (row["sensitivity"], row["specificity"]) == pytest.approx((0.8, 0.9))
    assert (row["n"], row["n_audit"], row["note"]) == (1000, 400, "")
    assert not row["clipped"]
    assert (row["lo"], row["hi"]) == (row["raw_lo"], row["raw_hi"])


def test_the_interval_is_as_wide_as_the_delta_method_says() -> None:
    """Var = [p(1-p)/n + pi^2 se(1-se)/n1 + (1-pi)^2 sp(1-sp)/n0] / (se + sp - 1)^2."""
    evaluated = replies(drawn(0.4, 1000, 1), 0.8, 0.9, 1)
    audit = replies(np.arange(300) < 120, 0.8, 0.9, 2)
    row = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=6000).iloc[0]
    rate, sens, spec, true = (row[c] for c in ("observed", "sensitivity", "specificity", "raw"))
    variance = (
        rate * (1 - rate) / 1000
        + true**2 * sens * (1 - sens) / 120
        + (1 - true) ** 2 * spec * (1 - spec) / 180
    ) / (sens + spec - 1) ** 2
    assert (row["raw_hi"] - row["raw_lo"]) / 3.92 == pytest.approx(variance**0.5, rel=0.06)
    rate_alone = (rate * (1 - rate) / 1000) ** 0.5 / (sens + spec - 1)
    assert variance**0.5 > 1.2 * rate_alone  # the audit's part is there to be missed


def test_an_audit_of_every_reply_gives_the_labels_own_rate_and_interval() -> None:
    """Then grades cancel on every resample, if units are drawn for both tables at once.

    All but the four replies that are added to the audit.
    """
    pair = np.repeat(np.arange(400), 2)
    table = replies(drawn(0.4, 800, 3), 0.8, 0.7, 3, pair=pair)
    row = corrected_rates(table, table, units=["pair_id"], n_boot=2000, seed=5).iloc[0]
    plain = hierarchical_bootstrap(
        weighted_mean(table["label"].to_numpy(float)), {"pair": pair}, n_boot=2000, seed=6
    )
    assert row["raw"] == pytest.approx(plain.estimate)
    assert (row["lo"], row["hi"]) == pytest.approx((plain.lo, plain.hi), abs=0.006)
    apart = corrected_rates(
        table, table.assign(pair_id=pair + 1000), units=["pair_id"], n_boot=2000, seed=5
    ).iloc[0]
    assert apart["hi"] - apart["lo"] > 1.5 * (plain.hi - plain.lo)


def test_intervals_cover_known_prevalences_and_raw_has_no_bias() -> None:
    """Two models asked the same pairs, replies of a pair alike, one grader, one audit for both."""
    true = {"P": 0.5, "R": 0.25}
    sens, spec, n_pairs, n_trials = 0.8, 0.9, 60, 140
    pair, audited = np.repeat(np.arange(n_pairs), 2), np.arange(120) < 50
    hits = dict.fromkeys([*true, "R - P"], 0)
    raw: dict[str, list[float]] = {name: [] for name in hits}
    for trial in range(n_trials):
        # Each reply is its pair's half of the time.
        evaluated = []
        for place, (name, rate) in enumerate(true.items()):
            own, shared = drawn(rate, 2 * n_pairs, [trial, place]), drawn(rate, n_pairs, [trial, 7])
            label = np.where(drawn(0.5, 2 * n_pairs, [trial, place, 1]), shared[pair], own)
            evaluated.append(replies(label, sens, spec, [trial, place], name, pair))
        audit = replies(audited, sens, spec, [trial, 2], "audit")
        both = pd.concat(evaluated)
        options: dict[str, Any] = {
            "units": ["pair_id"],
            "pooled": True,
            "n_boot": 200,
            "seed": trial,
        }
        rates = corrected_rates(both, audit, **options).set_index("source")
        change = corrected_differences(both, audit, [("R", "P")], **options)
        found = rates.loc[list(true)].to_dict("index") | {"R - P": change.iloc[0]}
        for name, value in (true | {"R - P": true["R"] - true["P"]}).items():
            hits[name] += found[name]["lo"] <= value <= found[name]["hi"]
            raw[name].append(found[name]["raw"] - value)
    for name in hits:
        assert 0.92 <= hits[name] / n_trials <= 0.98, (name, hits[name] / n_trials)
        # The ratio of estimates is biased by a few thousandths at this size.
        error = np.std(raw[name]) / n_trials**0.5
        assert abs(np.mean(raw[name])) < 3 * error, name


def test_a_grader_that_errs_more_on_one_model_makes_a_difference_where_there_is_none() -> None:
    """Graded rates differ, true ones do not: only an audit of each model can tell."""
    evaluated = pd.concat(
        [replies(drawn(0.5, 3000, 1), 0.95, 0.9, 1, "P"),
         replies(drawn(0.5, 3000, 2), 0.6, 0.9, 2, "R")]
    )  # fmt: skip
    audit = pd.concat(
        [replies(np.arange(600) < 300, 0.95, 0.9, 3, "P"),
         replies(np.arange(600) < 300, 0.6, 0.9, 4, "R")]
    )  # fmt: skip
    options: dict[str, Any] = {"contrasts": [("R", "P")], "units": ["pair_id"], "n_boot": 300}
    each = corrected_differences(evaluated, audit, **options).iloc[0]
    assert each["observed"] < -0.1
    assert each["lo"] < 0 < each["hi"]
    rates = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=10).set_index("source")
    assert each["raw"] == pytest.approx(rates.loc["R", "raw"] - rates.loc["P", "raw"])
    shared = corrected_differences(evaluated, audit, **options, pooled=True).iloc[0]
    assert shared["hi"] < -0.1
    sens = audit[audit["label"]]["graded"].mean()
    false_alarm = audit[~audit["label"]]["graded"].mean()
    assert shared["raw"] == pytest.approx(shared["observed"] / (sens - false_alarm))
    assert (shared["n"], shared["n_audit"], each["n_audit"]) == (6000, 1200, 1200)


def test_of_one_model_against_itself_nothing_is_left() -> None:
    pair = [f"q{row}" for row in range(100)]
    one = replies(drawn(0.5, 100, 1), 0.8, 0.9, 1, "P", pair)
    both = pd.concat([one, one.assign(source="R")])
    audit = replies(np.arange(80) < 40, 0.8, 0.9, 3)
    row = corrected_differences(
        both, audit, [("R", "P")], units=["pair_id"], pooled=True, n_boot=50
    ).iloc[0]
    assert (row["estimate"], row["lo"], row["hi"]) == pytest.approx((0, 0, 0), abs=1e-12)


def test_few_datasets_are_kept_and_the_pairs_within_them_resampled() -> None:
    """Two datasets are too few to resample: the interval is that of pairs, and so about as wide."""
    evaluated = replies(drawn(0.4, 400, 1), 0.8, 0.9, 1)
    audit = replies(np.arange(200) < 100, 0.8, 0.9, 2)
    tables = [
        table.assign(dataset=np.where(np.arange(len(table)) % 2, "a", "b"))
        for table in (evaluated, audit)
    ]
    nested = corrected_rates(*tables, units=["dataset", "pair_id"], n_boot=1000).iloc[0]
    plain = corrected_rates(*tables, units=["pair_id"], n_boot=1000).iloc[0]
    assert nested["raw"] == plain["raw"]
    assert nested["hi"] - nested["lo"] == pytest.approx(plain["hi"] - plain["lo"], rel=0.1)


def test_what_is_clipped_is_told() -> None:
    """Fewer positive grades than false alarms alone would give."""
    evaluated = replies(np.zeros(200, bool), 0.9, 0.98, 1)
    audit = replies(np.arange(100) < 50, 0.9, 0.7, 2)
    row = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=200).iloc[0]
    assert row["clipped"]
    assert row["raw"] < 0
    assert row["estimate"] == row["lo"] == 0
    expected = rogan_gladen(row["observed"], row["sensitivity"], row["specificity"])
    assert row["raw"] == pytest.approx(expected)
    assert row["raw_lo"] < row["raw"] < row["raw_hi"]


def test_a_grader_without_errors_in_its_audit_may_still_err() -> None:
    """Rates near 0 rest on the specificity: were it taken for 1, .85 of the limits would hold."""
    hits = narrow = 0
    n_trials = 120
    for trial in range(n_trials):
        evaluated = replies(drawn(0.05, 300, [trial, 0]), 0.9, 0.97, [trial, 1])
        audit = replies(np.arange(100) < 40, 0.9, 0.97, [trial, 2])
        row = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=200, seed=trial).iloc[0]
        hits += row["lo"] <= 0.05 <= row["hi"]
        if row["specificity"] == 1:
            graded_N, pair_N = (evaluated[name].to_numpy() for name in ("graded", "pair_id"))
            observed = hierarchical_bootstrap(
                weighted_mean(graded_N), {"pair_id": pair_N}, n_boot=200, seed=trial
            )
            narrow += row["lo"] > observed.lo / row["sensitivity"]
            assert row["raw"] == pytest.approx(observed.estimate / row["sensitivity"])
    assert hits / n_trials >= 0.92
    assert narrow == 0


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_low_rates_of_few_replies_are_covered(rate) -> None:
    """Of 60 replies; resamples of the evaluated ones as they are hold .56 of .01, .93 of .05.

    Over 400 trials the limits held .963 and .958.
    """
    n_trials = 150
    hits = 0
    for trial in range(n_trials):
        evaluated = replies(drawn(rate, 60, [trial, 0]), 0.9, 0.995, [trial, 1])
        audit = replies(np.arange(200) < 80, 0.9, 0.995, [trial, 2])
        row = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=300, seed=trial).iloc[0]
        assert row["raw_lo"] < row["raw_hi"]
        hits += row["lo"] <= rate <= row["hi"]
    assert hits / n_trials >= 0.92


def test_a_model_that_never_abstains_still_has_limits() -> None:
    """They reach the exact limit of 0 of 100, 1 - .025^(1/100) = .036, over the sensitivity."""
    evaluated = replies(np.zeros(100, bool), 0.9, 1.0, 1)
    audit = replies(np.arange(50) < 20, 0.9, 1.0, 2)
    row = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=500).iloc[0]
    assert (row["raw"], row["observed"], row["lo"], row["note"]) == (0, 0, 0, "")
    assert 0.036 / row["sensitivity"] < row["hi"] < 0.1


def test_a_model_that_never_abstains_is_told_beside_a_difference() -> None:
    asked = replies(np.zeros(100, bool), 0.9, 1.0, 1)
    both = pd.concat([asked, replies(drawn(0.5, 100, 3), 0.9, 1.0, 3, "P", asked["pair_id"])])
    audit = replies(np.arange(50) < 20, 0.9, 1.0, 2)
    (row,) = corrected_differences(
        both, audit, [("R", "P")], units=["pair_id"], pooled=True, n_boot=50
    ).itertuples()
    # (.025)^(1/100) = .964
    assert row.note == (
        "observed of R: 0 in all 100 units, so resampling shows no spread; the exact 95% limit is "
        "0.036"
    )


def test_a_grader_near_chance_has_an_estimate_but_no_limits() -> None:
    evaluated = replies(drawn(0.5, 100, 1), 0.6, 0.5, 1)
    audit = evaluated.iloc[:0]
    for seed in range(50):
        audit = replies(np.arange(40) < 20, 0.55, 0.55, seed + 10)
        if audit.query("label")["graded"].mean() - audit.query("not label")["graded"].mean() > 0:
            break
    row = corrected_rates(evaluated, audit, units=["pair_id"], n_boot=200).iloc[0]
    assert np.isfinite(row["raw"])
    assert np.isnan(row["lo"])
    assert np.isnan(row["raw_hi"])
    assert row["note"].startswith("no limits")


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return replies(drawn(0.5, 30, 1), 0.9, 0.9, 1), replies(np.arange(30) < 15, 0.9, 0.9, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, a: (e.iloc[:0], a), "evaluated replies: no rows"),
        (lambda e, a: (e.drop(columns="graded"), a), "evaluated replies lack the column graded"),
        (lambda e, a: (e, a.drop(columns="label")), "audited replies lack the column label"),
        (lambda e, a: (e.assign(graded=None), a), "prompt 1/0: graded is None"),
        (lambda e, a: (e.assign(graded="abstain"), a), "names of classes; make them true or false"),
        (lambda e, a: (e, a.assign(label="abstain", graded="abstain")), "names of classes"),
        (lambda e, a: (e, a.assign(label=0.5)), "prompt 2/0: label is 0.5"),
        (lambda e, a: (e, a[a["label"]]), "audit of 'R': no reply that a person labelled False"),
        (lambda e, a: (e, a.assign(source="P")), "audit of 'R': no reply .* labelled True"),
        (
            lambda e, a: (e, a.assign(graded=np.arange(30) % 15 < np.where(a["label"], 10, 11))),
            "source 'R': sensitivity 0.667 and specificity 0.267 sum to 1 or less",
        ),
        (lambda e, a: (e, a.assign(graded=True)), "sensitivity 1.000 and specificity 0.000 sum"),
    ],
)
def test_bad_tables_are_refused(change, message) -> None:
    with pytest.raises(InputError, match=message):
        corrected_rates(*change(*tables()), units=["pair_id"], n_boot=10)


def test_a_source_without_replies_is_refused() -> None:
    with pytest.raises(InputError, match="no evaluated replies of 'B'; there are 'R'"):
        corrected_differences(*tables(), [("R", "B")], units=["pair_id"])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((1.2, 0.9, 0.9), "the rate is 1.2"),
        ((0.5, 0.9, float("nan")), "the specificity is nan"),
        ((0.5, 0.3, 0.7), "sensitivity 0.300 and specificity 0.700 sum to 1 or less"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares, message) -> None:
    with pytest.raises(InputError, match=message):
        rogan_gladen(*shares)
