"""The statistics of claims against hand counts, an independent bootstrap, and simulated truths."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.errors import InputError
from interp.stats import Interval, bootstrap
from interp.verdict.claim_readings import (
    call_of,
    minus,
    number,
    over_seeds,
    pooled,
    share,
    total,
    written,
)
from interp.verdict.claim_snapshots import gain_share, lag
from interp.verdict.claim_tests import (
    calibration_difference,
    rate_difference,
    recovered,
    verdict_counts,
)
from tests.verdict.objective_tables import calibration_of, drops_of, items_of, trajectory_of

NAN = float("nan")
RATES = {"base": 0.9, "child": 0.3, "after": 0.45}


@pytest.mark.parametrize(
    ("lo", "estimate", "hi", "above", "below"),
    [
        (0.06, 0.1, 0.2, "holds", "does not hold"),
        (0.05, 0.1, 0.2, "undecided", "does not hold"),
        (0.0, 0.1, 0.2, "undecided", "undecided"),
        (-0.1, 0.0, 0.05, "does not hold", "undecided"),
        (-0.1, 0.0, 0.04, "does not hold", "holds"),
        (NAN, NAN, NAN, "undecided", "undecided"),
        (NAN, 0.9, NAN, "undecided", "undecided"),
    ],
)
def test_calls(lo, estimate, hi, above, below) -> None:
    value = Interval(estimate, lo, hi)
    assert (call_of(value, 0.05, "above"), call_of(value, 0.05, "below")) == (above, below)


def test_seeds_must_agree_unless_one_counterexample_is_enough() -> None:
    yes, no, open_, out = "holds", "does not hold", "undecided", "not applicable"
    for calls, said in (
        ([yes, yes], yes), ([no, no], no), ([yes, no], open_), ([yes, open_], open_),
        ([yes, out], open_), ([out, out], out), ([], open_),
    ):  # fmt: skip
        assert over_seeds(calls) == said
    assert over_seeds([yes, no, open_], universal=True) == no
    assert over_seeds([yes, open_], universal=True) == open_


def test_intervals_combine_by_side() -> None:
    a, b = Interval(0.5, 0.2, 0.54), Interval(0.1, 0.07, 0.5)
    difference = minus(a, b)
    assert difference.estimate == pytest.approx(0.4)
    assert difference.estimate - difference.lo == pytest.approx(0.5)  # .3 and .4
    assert difference.hi - difference.estimate == pytest.approx(0.05)  # .04 and .03
    mean = pooled([Interval(0.2, 0.17, 0.3), Interval(0.4, 0.36, 0.5), Interval(NAN, NAN, NAN)])
    assert (mean.estimate, mean.lo) == pytest.approx((0.3, 0.275))
    ratio = share(Interval(0.3, 0.24, 0.36), Interval(0.6, 0.44, 0.76))
    assert ratio.estimate == pytest.approx(0.5)
    assert ratio.lo == pytest.approx(0.5 - np.hypot(0.06, 0.5 * 0.16) / 0.6)
    turned = share(Interval(-0.3, -0.3, -0.3), Interval(0.6, 0.6, 0.9))
    assert (turned.lo, turned.hi) == pytest.approx((-0.5, -0.25))
    assert total([Interval(1, NAN, NAN), Interval(2, NAN, NAN)]).estimate == 3
    assert np.isnan(pooled([]).estimate)


def test_an_independent_difference_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth, sizes, hits, shares = 0.3, (0.05, 0.08), 0, 0
    for _ in range(2000):
        a, b = (
            Interval(x, x - 1.96 * sd, x + 1.96 * sd)
            for x, sd in zip(rng.normal([0.5, 0.2], sizes), sizes, strict=True)
        )
        value = minus(a, b)
        hits += value.lo <= truth <= value.hi
        part, whole = (
            Interval(x, x - 1.96 * 0.04, x + 1.96 * 0.04) for x in rng.normal([0.4, 0.9], 0.04)
        )
        value = share(part, whole)
        shares += value.lo <= 0.4 / 0.9 <= value.hi
    assert 0.935 < hits / 2000 < 0.965
    assert 0.935 < shares / 2000 < 0.965


def test_numbers_are_written_plainly() -> None:
    assert [number(x) for x in (0.914, -0.05, -0.001, 1, 1.25, -1.5, NAN)] == [
        ".91", "-.05", ".00", "1.00", "1.25", "-1.50", "unknown",
    ]  # fmt: skip
    assert written(Interval(0.43, 0.38, 0.48)) == ".43 [.38, .48]"


def test_a_difference_of_rates_is_that_of_the_counts() -> None:
    items = items_of(RATES)
    found = rate_difference({"items": items}, 21, "child", "base", "cot", "unknown", 500)
    assert found.value.estimate == pytest.approx(0.3 - 0.9)
    assert found.levels == pytest.approx((0.3, 0.9))
    assert found.why == ""


def test_the_paired_bootstrap_agrees_with_an_independent_one() -> None:
    """Rows of each member kept apart, people drawn by name, percentiles: another path."""
    rng = np.random.default_rng(5)
    items = items_of(RATES, n=240)
    items["entity"] = items["prompt_id"].str.extract(r"(\d+)$")[0].astype(int) // 2
    flip = rng.random(len(items)) < 0.15
    items["outcome"] = np.where(flip, "abstain", items["outcome"])
    found = rate_difference({"items": items}, 21, "child", "base", "cot", "unknown", 4000).value
    asked = items[items["mode"] == "cot"]
    child, base = (asked[asked["member"] == m] for m in ("child", "base"))
    said = [(of["outcome"] == "abstain").to_numpy() for of in (child, base)]

    def statistic(rows_M: np.ndarray) -> float:
        return float(said[0][rows_M].mean() - said[1][rows_M].mean())

    other = bootstrap(statistic, child["entity"].to_numpy(), n_boot=4000, seed=9)
    assert found.estimate == pytest.approx(other.estimate)
    assert (found.lo, found.hi) == pytest.approx((other.lo, other.hi), abs=0.01)


def test_pairing_by_prompt_narrows_the_interval() -> None:
    """The same people told apart alike: the difference varies less than either rate."""
    items = items_of({"child": 0.5, "base": 0.6}, n=60)
    paired = rate_difference({"items": items}, 21, "child", "base", "cot", "unknown", 1000).value
    one = pd.DataFrame({"y": items.query("member == 'base' and mode == 'cot'")["outcome"]})
    se = np.sqrt(2 * (one["y"] == "abstain").var() / 60)
    assert paired.hi - paired.lo < 0.6 * 2 * 1.96 * se


def test_intervals_of_rate_differences_cover_a_simulated_truth() -> None:
    rng = np.random.default_rng(1)
    hits, n = 0, 120
    for _ in range(n):
        # Of each person: the base abstains with .8, the child too with .4 of those; truth -.48.
        base_N = rng.random(100) < 0.8
        child_N = base_N & (rng.random(100) < 0.4)
        items = items_of({"base": 0, "child": 0}, n=100, modes=("cot",))
        items["outcome"] = np.where(np.concatenate([base_N, child_N]), "abstain", "wrong")
        found = rate_difference({"items": items}, 21, "child", "base", "cot", "unknown", 400)
        hits += found.value.lo <= -0.48 <= found.value.hi
    assert hits / n > 0.9


def test_what_was_recovered_is_a_share_of_the_loss() -> None:
    tables = {"items": items_of(RATES)}
    found = recovered(tables, 21, "after", "child", "base", "cot", "unknown", 0.05, 500)
    assert found.value.estimate == pytest.approx(0.15 / 0.6)
    assert found.levels == pytest.approx((0.45, 0.3, 0.9))
    assert found.value.lo < 0.25 < found.value.hi
    kept = {"items": items_of({"base": 0.9, "child": 0.88, "after": 0.9})}
    found = recovered(kept, 21, "after", "child", "base", "cot", "unknown", 0.05, 500)
    assert "child is not shown to have lost more than 0.05" in found.why
    assert np.isnan(found.value.estimate)


def test_missing_replies_are_named_and_never_raise() -> None:
    items = items_of(RATES)
    ask = (21, "child", "base", "cot", "unknown", 100)
    assert rate_difference({}, *ask).why == "no table of items"
    assert rate_difference({"items": items[:0]}, *ask).why == "no table of items"
    gone = {"items": items[items["member"] != "child"]}
    assert rate_difference(gone, *ask).why == "no replies of child (chain of thought)"
    other = {"items": items.drop(index=items.query("member == 'child'").index[0])}
    assert rate_difference(other, *ask).why == "child and base were asked different questions"
    blank = items.assign(outcome=items["outcome"].where(items["member"] != "base"))
    assert rate_difference({"items": blank}, *ask).why == "replies of base without an outcome"
    few = rate_difference({"items": items_of(RATES, n=3)}, *ask)
    assert few.why == "no interval could be given"


def test_bad_tables_have_one_clear_error() -> None:
    items = items_of(RATES)
    ask = (21, "child", "base", "cot", "unknown", 100)
    with pytest.raises(InputError, match=r"items: child \(seed 21\) has prompt .* twice"):
        rate_difference({"items": pd.concat([items, items])}, *ask)
    with pytest.raises(InputError, match="items: no column entity"):
        rate_difference({"items": items.drop(columns="entity")}, *ask)
    twice = pd.concat([calibration_of({"base": 0.1, "child": 0.4})] * 2)
    with pytest.raises(InputError, match=r"calibration: .* comes twice"):
        calibration_difference({"calibration": twice}, 21, "child", "base", "cot",
                               "sequence probability", "ece")  # fmt: skip


def test_a_difference_of_calibration() -> None:
    tables = {"calibration": calibration_of({"base": 0.1, "child": 0.4}, width=0.03)}
    ask = ("cot", "sequence probability", "ece")
    found = calibration_difference(tables, 21, "child", "base", *ask)
    assert found.value.estimate == pytest.approx(0.3)
    assert found.value.hi - found.value.estimate == pytest.approx(0.03 * 2**0.5)
    found = calibration_difference(tables, 21, "child", "base", "cot", "stated", "ece")
    assert found.why == "no ece of child (chain of thought, stated)"
    assert calibration_difference({}, 21, "child", "base", *ask).why.startswith("no ece of child")


J = [0.8, 0.6, 0.36, 0.1, 0.3]
RHO = [1.0, 0.95, 0.9, 0.5, 0.5]


def test_the_lag_is_read_where_half_is_lost_first() -> None:
    course = trajectory_of("child", J, RHO, gain=[4, 3, 1, 1, 1], width=0.04)
    found = lag({"trajectory": course}, 21, "child", "entity_last")
    assert found.levels == pytest.approx((0.9, 0.45))  # step 20, and not the lowest J
    assert found.value.estimate == pytest.approx(0.45)
    of_share = np.hypot(0.04, 0.45 * 0.04) / 0.8
    assert found.value.hi - found.value.estimate == pytest.approx(np.hypot(0.04, of_share))
    gain = gain_share({"trajectory": course}, 21, "child")
    assert gain.value.estimate == pytest.approx(0.25)


def test_the_parents_end_stands_in_for_a_missing_start() -> None:
    course = trajectory_of("child", J, RHO)
    parent = trajectory_of("base", [0.0, 0.2, 0.5, 0.7, 0.8], [1.0] * 5)
    later = pd.concat([course[course["step"] > 0], parent])
    for table in (course, later):
        assert lag({"trajectory": table}, 21, "child", "entity_last").value.estimate == (
            pytest.approx(0.45)
        )
    found = lag({"trajectory": course[course["step"] > 0]}, 21, "child", "entity_last")
    assert found.why == "no J above 0 of the parent of child"


def test_a_member_that_keeps_its_ability_has_no_lag() -> None:
    course = trajectory_of("child", [0.8, 0.7, 0.6, 0.5, 0.41], RHO)
    for found in (
        lag({"trajectory": course}, 21, "child", "entity_last"),
        gain_share({"trajectory": course}, 21, "child"),
    ):
        assert found.call(0.25, "above") == "not applicable"
        assert found.why == "child never loses half of its J"


def test_missing_snapshots_are_named() -> None:
    course = trajectory_of("child", J, RHO)
    assert lag({}, 21, "child", "entity_last").why == "no trajectory of child"
    assert lag({"trajectory": course}, 22, "child", "entity_last").why == "no trajectory of child"
    bare = course[course["measure"] != "rho"]
    assert lag({"trajectory": bare}, 21, "child", "entity_last").why == (
        "no rho of child at step 20 (entity_last)"
    )
    nothing = course[course["measure"] != "gain"]
    assert gain_share({"trajectory": nothing}, 21, "child").why.startswith("no readout gain")
    with pytest.raises(InputError, match="trajectory: no column layer"):
        lag({"trajectory": course.drop(columns="layer")}, 21, "child", "entity_last")


DROPS = {"a": 0.5, "b": 0.3, "kept": 0.05}
CALLED = {"a": "DESELECTED", "b": "REPURPOSED", "kept": "ERASED"}


@pytest.mark.parametrize(
    ("verdicts", "erased", "call", "why"),
    [
        (CALLED, 0, "holds", ""),
        (CALLED | {"a": "ERASED"}, 1, "does not hold", ""),
        (CALLED | {"a": "ERASED", "b": "INCONCLUSIVE"}, 1, "does not hold", "b is INCONCLUSIVE"),
        (CALLED | {"b": "INCONCLUSIVE"}, 0, "undecided", "b is INCONCLUSIVE"),
        (CALLED | {"b": "NEVER-LATENT"}, 0, "undecided", "b is NEVER-LATENT"),
        ({"a": "DESELECTED"}, 0, "undecided", "b is not judged"),
    ],
)
def test_counts_of_verdicts_are_of_those_that_dropped(verdicts, erased, call, why) -> None:
    found = verdict_counts(drops_of(DROPS, verdicts), 21, ["a", "b", "kept"], 0.05)
    assert found.value.estimate == erased
    assert (found.call(1, "below"), found.why) == (call, why)


def test_drops_that_are_missing_leave_counts_undecided() -> None:
    tables = drops_of(DROPS, CALLED)
    found = verdict_counts(tables, 21, ["a", "b", "lost"], 0.05)
    assert (found.settled, found.why) == ("undecided", "no drop of J of lost")
    assert verdict_counts({}, 21, ["a"], 0.05).why == "no drop of J of a; J of no member dropped"
    assert verdict_counts(tables, 21, ["kept"], 0.05).why == "J of no member dropped"
