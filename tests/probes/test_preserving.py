"""Equivalence of two read-outs on the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from interp.errors import InputError
from interp.probes.preserving import preservation
from interp.stats import auroc

N_PAIRS = 400
LABELS = np.tile([True, False], N_PAIRS)
LEVELS = {"dataset": np.zeros(2 * N_PAIRS), "pair": np.repeat(np.arange(N_PAIRS), 2)}


def scores(delta: float, noise: float, seed: int = 0) -> np.ndarray:
    """Two read-outs of one prompt share their error but for the share `noise` of its variance."""
    shared_N = np.random.default_rng(0).normal(size=2 * N_PAIRS)
    own_N = np.random.default_rng(seed + 1).normal(size=2 * N_PAIRS)
    return delta * LABELS + (1 - noise) ** 0.5 * shared_N + noise**0.5 * own_N


def test_the_same_scores_are_preserved_and_halved_ones_are_not():
    parent_N = scores(1.5, 0.1)
    same = preservation(parent_N, 3 * parent_N + 1, LABELS, LEVELS, seed=0)
    assert same.preserved
    assert (same.difference.lo, same.difference.hi) == pytest.approx((0, 0))
    lost_N = scores(0.5, 0.1, seed=1)
    lost = preservation(parent_N, lost_N, LABELS, LEVELS, seed=0)
    assert not lost.preserved
    assert lost.difference.hi < -0.05
    assert lost.difference.estimate == pytest.approx(
        auroc(lost_N, LABELS) - auroc(parent_N, LABELS)
    )
    assert lost.difference.resampled == "pair"


def test_too_few_rows_preserve_nothing_though_no_difference_is_found():
    few = np.arange(30)
    levels = {name: unit_N[few] for name, unit_N in LEVELS.items()}
    found = preservation(
        scores(1.5, 0.9)[few], scores(1.5, 0.9, seed=1)[few], LABELS[few], levels, seed=0
    )
    assert found.difference.lo < 0 < found.difference.hi
    assert not found.preserved


def test_rows_are_paired():
    """Errors that both models share do not widen the interval."""
    near = preservation(scores(1.5, 0.05), scores(1.5, 0.05, 1), LABELS, LEVELS, seed=0)
    far = preservation(scores(1.5, 1.0), scores(1.5, 1.0, 1), LABELS, LEVELS, seed=0)
    width_near, width_far = (found.difference.hi - found.difference.lo for found in (near, far))
    # Of the variance .05 against 1 is not shared: widths go as its square root, .22.
    assert width_near == pytest.approx(0.05**0.5 * width_far, rel=0.25)
    assert near.preserved


def test_the_margin_is_a_margin():
    parent_N, child_N = scores(1.5, 0.1), scores(1.3, 0.1, 1)
    found = preservation(parent_N, child_N, LABELS, LEVELS, seed=0)
    worst = max(abs(found.difference.lo), abs(found.difference.hi))
    for margin, expected in ((worst * 1.01, True), (worst * 0.99, False)):
        again = preservation(parent_N, child_N, LABELS, LEVELS, margin=margin, seed=0)
        assert again.preserved is expected
        assert again.difference == found.difference


def test_bad_input_is_refused():
    parent_N = scores(1.0, 0.5)
    with pytest.raises(InputError, match=r"\[800, 799, 800\] rows"):
        preservation(parent_N, parent_N[1:], LABELS, LEVELS, seed=0)
    with pytest.raises(InputError, match="margin=0"):
        preservation(parent_N, parent_N, LABELS, LEVELS, margin=0, seed=0, n_boot=20)
    with pytest.raises(InputError, match="both classes are needed"):
        preservation(parent_N, parent_N, LABELS | True, LEVELS, seed=0)
