"""Shares and their changes against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from interp.behavior.published.shares import conditional_change, paired_change, share
from interp.errors import InputError


@pytest.mark.parametrize(("hits", "n"), [(0, 50), (3, 7), (127, 300), (50, 50)])
def test_the_limits_solve_wilsons_quadratic(hits, n):
    """p is a limit if the share stands 1.96 of p's own standard errors from it."""
    found = share([True] * hits + [False] * (n - hits), range(n))
    assert found.estimate == hits / n
    for p in (found.lo, found.hi):
        assert (p - hits / n) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / n, abs=1e-7)
    assert found.lo < found.hi


def test_a_share_of_nothing_is_missing():
    found = share([], [])
    assert np.isnan([found.estimate, found.lo, found.hi]).all()


def test_a_question_counts_once():
    with pytest.raises(InputError, match="the question q comes twice"):
        share([True, False], ["q", "q"])
    with pytest.raises(InputError, match="2 questions for hits of shape"):
        share([True], ["q", "r"])
    once, twice = pd.Series([1.0], ["q"]), pd.Series([1.0, 0.0], ["q", "q"])
    for change in (paired_change, conditional_change):
        with pytest.raises(InputError, match="the question q comes twice"):
            change(once, twice)


def hits(seed: int, n: int = 400) -> pd.Series:
    values = np.random.default_rng(seed).random(n) < 0.4
    return pd.Series(values, [f"q{k}" for k in range(n)])


def test_a_paired_change_has_the_width_of_the_paired_differences():
    before = hits(0)
    after = before | hits(1)
    found, n = paired_change(before, after)
    each = after.astype(float) - before.astype(float)
    assert n == 400
    assert found.estimate == pytest.approx(each.mean())
    half = 1.96 * each.std() / np.sqrt(n)
    assert (found.hi - found.lo) / 2 == pytest.approx(half, rel=0.1)
    # Unpaired, the same two shares would be apart by much more than that.
    assert half < 0.8 * 1.96 * np.sqrt((before.var() + after.var()) / n)


def test_only_questions_of_both_count_whatever_their_order():
    before, after = hits(0), hits(1)
    found = paired_change(before.iloc[:300], after.iloc[::-1].iloc[:300])
    assert found == paired_change(before.iloc[100:300], after.iloc[100:300])
    assert found[1] == 200
    assert paired_change(before.iloc[:10], after.iloc[20:])[1] == 0


def tango(n_gained: int, n_lost: int, n: int, change: float) -> float:
    """Squared score of a paired change of shares (Tango 1998, equation 4), its root solved for."""
    linear = -n_gained - n_lost + (2 * n - n_gained + n_lost) * change
    root = np.sqrt(linear**2 + 8 * n * n_lost * change * (1 - change))
    lost = (root - linear) / (4 * n)
    return (n_gained - n_lost - n * change) ** 2 / (n * (2 * lost + change * (1 - change)))


def test_no_change_and_a_change_of_all_have_the_score_limits_of_paired_shares():
    found, _ = paired_change(hits(0), hits(0))
    assert found.estimate == 0
    assert found.lo == -found.hi
    assert tango(0, 0, 400, found.hi) == pytest.approx(1.959964**2, rel=1e-6)
    none, every = pd.Series([False] * 30), pd.Series([True] * 30)
    gained, _ = paired_change(none, every)
    assert (gained.estimate, gained.hi) == (1, 1)
    assert tango(30, 0, 30, gained.lo) == pytest.approx(1.959964**2, rel=1e-6)
    lost, _ = paired_change(every, none)
    assert (lost.estimate, lost.lo, lost.hi) == (-1, -1, pytest.approx(-gained.lo))


def test_what_is_no_share_has_no_score_limits():
    """Lengths that grow by one word each do so without spread."""
    lengths = pd.Series(np.arange(30.0))
    found, _ = paired_change(lengths, lengths + 1)
    assert (found.estimate, found.lo, found.hi) == pytest.approx((1, 1, 1))


def test_a_conditional_change_where_all_count_is_the_paired_one():
    before, after = hits(0).astype(float), hits(1).astype(float)
    conditional, n = conditional_change(before, after, seed=3)
    paired, _ = paired_change(before, after, seed=3)
    assert n == 400
    assert conditional.columns() == pytest.approx(paired.columns())


def test_each_share_of_a_conditional_change_is_of_its_own_questions():
    before = pd.Series([1.0, 0.0, np.nan, np.nan, 1.0, 0.0, 1.0], list("abcdefg"))
    after = pd.Series([np.nan, 1.0, 1.0, np.nan, 1.0, 1.0, 1.0], list("abcdefg"))
    found, n = conditional_change(before, after)
    assert found.estimate == pytest.approx(1 - 3 / 5)
    assert n == 6  # d counts in neither


def test_a_conditional_change_with_a_share_of_nothing_is_missing():
    none = pd.Series([np.nan] * 8, range(8))
    found, _ = conditional_change(none, pd.Series([1.0] * 8, range(8)))
    assert np.isnan([found.estimate, found.lo, found.hi]).all()


def test_a_conditional_change_from_none_to_all_has_newcombes_limits():
    """Of 20 and 30 questions: from 0 [0, .161] to 1 [.886, 1], squares of the distances added."""
    before = pd.Series([0.0] * 20 + [np.nan] * 30, range(50))
    after = pd.Series([np.nan] * 20 + [1.0] * 30, range(50))
    found, _ = conditional_change(before, after)
    z2 = 1.959964**2
    assert (found.estimate, found.hi) == (1, 1)
    assert 1 - found.lo == pytest.approx(np.hypot(z2 / (20 + z2), z2 / (30 + z2)))
