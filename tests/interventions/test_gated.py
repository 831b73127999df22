"""A gate fires above its threshold, on as many known people as it may, and on nobody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.interventions.gated import Gate

SCORES = st.lists(st.integers(-50, 50), min_size=1, max_size=30, unique=True).map(
    lambda values: np.array(values, dtype=float)
)


@given(scores_N=SCORES)
def test_an_infinite_threshold_fires_always_or_never(scores_N: np.ndarray) -> None:
    assert Gate(-np.inf).fires(scores_N).all()
    assert not Gate(np.inf).fires(scores_N).any()


@given(scores_N=SCORES, share=st.floats(0, 1))
def test_it_fires_on_the_share_of_rows_and_not_one_more(scores_N: np.ndarray, share: float) -> None:
    """Distinct scores: as many fire as whole rows go into the share."""
    fired = int(Gate.firing_on(share, scores_N).fires(scores_N).sum())
    assert fired <= share * len(scores_N) + 1e-9 < fired + 1


def test_the_ends_of_the_share() -> None:
    scores_N = np.array([0.5, -1.0, 2.0])
    assert Gate.firing_on(0.0, scores_N).threshold == 2.0
    assert Gate.firing_on(1.0, scores_N).threshold == -np.inf
    assert Gate.firing_on(0.34, scores_N).fires(np.array([0.6, 0.5, 3.0])).tolist() == [
        True,
        False,
        True,
    ]


def test_ties_do_not_fire_beyond_the_share() -> None:
    assert Gate.firing_on(0.5, np.array([1.0, 1.0, 1.0, 0.0])).fires(np.ones(4)).sum() == 0


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_beyond_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="expected from 0 to 1"):
        Gate.firing_on(share, np.ones(3))


@pytest.mark.parametrize("scores_N", [np.empty(0), np.array([1.0, np.nan]), np.array([np.inf])])
def test_scores_that_give_no_threshold_are_refused(scores_N: np.ndarray) -> None:
    with pytest.raises(InputError, match="finite scores of at least one row"):
        Gate.firing_on(0.1, scores_N)
