"""Wilson's limits against scipy's and against the equation they solve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from interp.errors import InputError
from interp.stats import wilson

LEVEL = st.sampled_from([0.8, 0.9, 0.95, 0.99])


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), LEVEL)
def test_of_counts_they_are_scipys(counts, level) -> None:
    right, n = counts
    limits = binomtest(right, n).proportion_ci(level, method="wilson")
    found = wilson(right / n, n, level)
    assert (found.lo, found.hi) == pytest.approx((limits.low, limits.high), abs=1e-12)
    assert 0 <= found.lo <= found.estimate <= found.hi <= 1
    assert found.lo < found.hi


@given(st.floats(0.001, 0.999), st.integers(1, 1000), LEVEL)
def test_of_any_share_they_solve_the_score_equation(share, n, level) -> None:
    found = wilson(share, n, level)
    z = norm.ppf((1 + level) / 2)
    for p in (found.lo, found.hi):
        assert (share - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, abs=1e-9)


def test_they_cover_rates_near_the_end() -> None:
    """Over all counts of 60 units, weighted as they come: where a bootstrap covers .45 at .01."""
    right = np.arange(61)
    limits = [wilson(count / 60, 60) for count in right]
    for rate in (0.01, 0.05, 0.5):
        inside = np.array([one.lo <= rate <= one.hi for one in limits])
        assert binom.pmf(right, 60, rate)[inside].sum() > 0.93


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((1.1, 5), "share=1.1"),
        ((float("nan"), 5), "share=nan"),
        ((0.5, 0), "n=0"),
        ((0.5, 5, 1.0), "level=1.0"),
    ],
)
def test_what_cannot_be_is_refused(arguments, named) -> None:
    with pytest.raises(InputError, match=named):
        wilson(*arguments)
