"""Intervals and tests against simulated data whose truth is known.

Seeds are the first that came to mind. A simulation counts hits among `n` data sets, so a bound on
a rate is checked as a bound on that count: it fails only where a count that far off has a chance
below one in a thousand if the rate were just within the bound (exact binomial).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import binom, kstest, norm, rankdata

from interp.stats import (
    Weighted,
    auroc_columns,
    benjamini_hochberg,
    hierarchical_bootstrap,
    max_t,
    paired_permutation,
    tost,
    weighted_auroc,
    weighted_mean,
)

N_SETS = 1000
CHANCE = 0.001
Rng = np.random.Generator
Data = tuple[Weighted, dict[str, np.ndarray], np.ndarray | None]
"""A statistic of a simulated data set, the levels of its rows, and their class."""


def at_most(count: int, n: int, rate: float) -> bool:
    return count <= binom.ppf(1 - CHANCE, n, rate)


def at_least(count: int, n: int, rate: float) -> bool:
    return count >= binom.ppf(CHANCE, n, rate)


# --- coverage ------------------------------------------------------------------------------------


def nested_mean(n_scenarios: int, n_datasets: int, n_pairs: int, *spreads: float) -> Callable:
    """The mean of pairs; scenarios, datasets and pairs deviate by `spreads` from the truth 0."""
    n_all = n_scenarios * n_datasets
    scenario_N = np.repeat(np.arange(n_scenarios), n_datasets * n_pairs)
    dataset_N = np.repeat(np.arange(n_all), n_pairs)
    levels = {"scenario": scenario_N, "dataset": dataset_N, "pair": np.arange(n_all * n_pairs)}

    def make(rng: Rng) -> Data:
        of_scenario, of_dataset, of_pair = (
            spread * rng.normal(size=n)
            for spread, n in zip(spreads, (n_scenarios, n_all, n_all * n_pairs), strict=True)
        )
        values_N = of_scenario[scenario_N] + of_dataset[dataset_N] + of_pair
        return weighted_mean(values_N), levels, None

    return make


def entity_auroc(n_entities: int, truth: float) -> Callable:
    """Entities of one class each, three alike rows an entity."""
    entity_N = np.repeat(np.arange(n_entities), 3)
    labels_N = entity_N % 2 == 0

    def make(rng: Rng) -> Data:
        scores_N = 2**0.5 * norm.ppf(truth) * labels_N + 0.5**0.5 * (
            rng.normal(size=n_entities)[entity_N] + rng.normal(size=len(entity_N))
        )
        return weighted_auroc(scores_N, labels_N), {"entity": entity_N}, labels_N

    return make


def pair_auroc(n_pairs: int, truth: float) -> Callable:
    """Minimal pairs, one row of each class, that share half of their variance."""
    pair_N, labels_N = np.repeat(np.arange(n_pairs), 2), np.tile([True, False], n_pairs)

    def make(rng: Rng) -> Data:
        scores_N = 2**0.5 * norm.ppf(truth) * labels_N + 0.5**0.5 * (
            rng.normal(size=n_pairs)[pair_N] + rng.normal(size=len(pair_N))
        )
        return weighted_auroc(scores_N, labels_N), {"pair": pair_N}, labels_N

    return make


def scenario_auroc(n_scenarios: int, spread: float) -> Callable:
    """Ten pairs a scenario; how far the classes are apart differs between scenarios."""
    scenario_N = np.repeat(np.arange(n_scenarios), 20)
    pair_N, labels_N = np.arange(n_scenarios * 20) // 2, np.arange(n_scenarios * 20) % 2 == 0

    def make(rng: Rng) -> Data:
        delta_N = 1.2 + spread * rng.normal(size=n_scenarios)[scenario_N]
        scores_N = delta_N * labels_N + rng.normal(size=len(labels_N))
        levels = {"scenario": scenario_N, "pair": pair_N}
        return weighted_auroc(scores_N, labels_N), levels, labels_N

    return make


def covered(make: Callable[[Rng], Data], truth: float, level: float = 0.95) -> int:
    """In how many of `N_SETS` data sets the interval holds the truth."""
    rng = np.random.default_rng(1)
    count = 0
    for seed in range(N_SETS):
        statistic, levels, strata = make(rng)
        found = hierarchical_bootstrap(
            statistic, levels, n_boot=500, seed=seed, level=level, strata=strata
        )
        count += found.lo <= truth <= found.hi
    return count


@pytest.mark.parametrize(
    ("make", "truth"),
    [
        pytest.param(nested_mean(1, 1, 20, 0, 0, 1), 0.0, id="mean of 20 pairs"),
        pytest.param(nested_mean(8, 2, 5, 1, 0.5, 1), 0.0, id="mean, 8 unlike scenarios"),
        pytest.param(nested_mean(8, 2, 5, 0, 0, 1), 0.0, id="mean, 8 scenarios all alike"),
        pytest.param(nested_mean(2, 6, 5, 0, 1, 1), 0.0, id="mean, 2 scenarios of 6 datasets"),
        pytest.param(nested_mean(3, 2, 5, 0, 0, 1), 0.0, id="mean, 3 scenarios of 2 datasets"),
        pytest.param(entity_auroc(30, 0.8), 0.8, id="AUROC .8, 30 entities"),
        pytest.param(entity_auroc(60, 0.95), 0.95, id="AUROC .95, 60 entities"),
        pytest.param(pair_auroc(30, 0.5), 0.5, id="AUROC .5, 30 pairs"),
        pytest.param(pair_auroc(50, 0.95), 0.95, id="AUROC .95, 50 pairs"),
        pytest.param(scenario_auroc(12, 0.4), norm.cdf(1.2 / 2.16**0.5), id="AUROC, 12 scenarios"),
    ],
)
def test_intervals_cover_the_truth_in_93_to_97_of_100_data_sets(make, truth):
    count = covered(make, truth)
    assert at_least(count, N_SETS, 0.93)
    assert at_most(count, N_SETS, 0.97)


def test_ninety_percent_intervals_cover_ninety_percent():
    count = covered(entity_auroc(40, 0.8), 0.8, level=0.9)
    assert at_least(count, N_SETS, 0.88)
    assert at_most(count, N_SETS, 0.92)


def test_plain_percentiles_would_cover_too_little_and_resampling_every_level_too_much():
    """The two shortcuts that the intervals do not take, on data where it matters."""
    rng = np.random.default_rng(2)
    # Percentiles of the mean of 8 units, drawn 8 at a time.
    values_SG = rng.normal(size=(N_SETS, 8))
    drawn_SBG = rng.integers(0, 8, (N_SETS, 400, 8))
    means_SB = np.take_along_axis(values_SG[:, None], drawn_SBG, axis=2).mean(2)
    lo_S, hi_S = np.quantile(means_SB, [0.025, 0.975], axis=1)
    assert at_most(int(((lo_S <= 0) & (hi_S >= 0)).sum()), N_SETS, 0.92)
    # Scenarios, then datasets, then pairs with replacement, though the pairs are exchangeable.
    n_scenarios, n_datasets, n_pairs, n_boot = 8, 2, 5, 200
    count = 0
    for _ in range(N_SETS):
        values_SDP = rng.normal(size=(n_scenarios, n_datasets, n_pairs))
        scenario_BS = rng.integers(0, n_scenarios, (n_boot, n_scenarios))[:, :, None, None]
        dataset_BSD = rng.integers(0, n_datasets, (n_boot, n_scenarios, n_datasets))[..., None]
        pair_BSDP = rng.integers(0, n_pairs, (n_boot, n_scenarios, n_datasets, n_pairs))
        means_B = values_SDP[scenario_BS, dataset_BSD, pair_BSDP].mean((1, 2, 3))
        lo, hi = np.quantile(means_B, [0.025, 0.975])
        count += lo <= 0 <= hi
    assert at_least(count, N_SETS, 0.985)


# --- tests ---------------------------------------------------------------------------------------


def test_permutation_p_is_uniform_under_the_null_with_rows_in_groups():
    rng = np.random.default_rng(3)
    groups_N = np.repeat(np.arange(15), 3)
    p_S, of_rows_S = np.empty(N_SETS), np.empty(N_SETS)
    for s in range(N_SETS):
        parent_N = rng.normal(size=45)
        child_N = parent_N + rng.normal(size=15)[groups_N] + 0.5 * rng.normal(size=45)
        p_S[s] = paired_permutation(parent_N, child_N, n_perm=199, seed=s, groups=groups_N)
        of_rows_S[s] = paired_permutation(parent_N, child_N, n_perm=199, seed=s)
    # p takes the values 1/200 ... 200/200 with equal chance; spread evenly between them it is
    # uniform, which is what Kolmogorov and Smirnov's test asks of it.
    smooth_S = p_S - rng.uniform(size=N_SETS) / 200
    assert kstest(smooth_S, "uniform").pvalue > CHANCE
    # Flipping rows that come in groups finds differences where there are none.
    assert not at_most(int((of_rows_S <= 0.05).sum()), N_SETS, 0.1)


@pytest.mark.parametrize("truth", [-0.05, 0.05])
def test_tost_calls_a_difference_at_the_margin_equivalent_in_at_most_5_of_100(truth):
    count = equivalent(truth)
    assert at_most(count, N_SETS, 0.05)
    assert count > 10  # it is not that nothing is ever called equivalent


def test_tost_sees_that_equal_models_are_equivalent():
    assert at_least(equivalent(0.0, n_sets=300), 300, 0.7)


def equivalent(truth: float, n_sets: int = N_SETS, n_pairs: int = 150) -> int:
    """How many data sets show parent and child, AUROC .8 and .8 + `truth`, to be within .05."""
    rng = np.random.default_rng(4)
    labels_N, pair_N = np.tile([True, False], n_pairs), np.repeat(np.arange(n_pairs), 2)
    delta = 2**0.5 * norm.ppf([0.8, 0.8 + truth])
    count = 0
    for seed in range(n_sets):
        shared_N = rng.normal(size=2 * n_pairs)  # what makes a prompt hard for both models
        of_parent, of_child = (
            weighted_auroc(
                apart * labels_N + 0.8**0.5 * shared_N + 0.2**0.5 * rng.normal(size=2 * n_pairs),
                labels_N,
            )
            for apart in delta
        )
        interval = hierarchical_bootstrap(
            lambda w, child=of_child, parent=of_parent: child(w) - parent(w),
            {"pair": pair_N},
            n_boot=300,
            seed=seed,
            level=0.9,
        )
        count += tost(interval, 0.05)
    return count


def test_max_t_bounds_the_family_wise_error_over_28_correlated_layers():
    rng = np.random.default_rng(5)
    n_sets, n_rows, n_layers, n_perm = 3000, 40, 28, 99
    labels_N = np.arange(n_rows) % 2 == 0
    found = found_uncorrected = 0
    for _ in range(n_sets):
        # Each layer's scores correlate by .9 with the layer below: what no layer knows, no layer
        # knows in much the same way.
        layers_NL = rng.normal(size=(n_rows, n_layers))
        for layer in range(1, n_layers):
            layers_NL[:, layer] = 0.9 * layers_NL[:, layer - 1] + 0.19**0.5 * layers_NL[:, layer]
        shuffled_PN = rng.permuted(np.tile(labels_N, (n_perm, 1)), axis=1)
        rank_sum_PL = shuffled_PN @ rankdata(layers_NL, axis=0)
        null_PL = (rank_sum_PL - 20 * 21 / 2) / (20 * 20)
        observed_L = auroc_columns(layers_NL, labels_N)
        found += max_t(observed_L, null_PL).min() <= 0.05
        by_layer_L = (1 + (null_PL >= observed_L).sum(0)) / (1 + n_perm)
        found_uncorrected += by_layer_L.min() <= 0.05
    assert at_most(found, n_sets, 0.05)
    assert found / n_sets <= 0.06
    assert at_least(found, n_sets, 0.04)  # and wastes nothing
    assert found_uncorrected / n_sets > 0.2


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_benjamini_hochberg_holds_the_false_discovery_rate(correlation):
    rng = np.random.default_rng(6)
    n_sets, n_tests, n_true = 2000, 100, 20
    z_SK = correlation**0.5 * rng.normal(size=(n_sets, 1))
    z_SK = z_SK + (1 - correlation) ** 0.5 * rng.normal(size=(n_sets, n_tests))
    z_SK[:, :n_true] += 3
    found_SK = np.array([benjamini_hochberg(1 - ndtr(z_K)) <= 0.05 for z_K in z_SK])
    false_S = found_SK[:, n_true:].sum(1) / np.maximum(found_SK.sum(1), 1)
    error = 3.3 * false_S.std() / n_sets**0.5  # one chance in a thousand, to either side
    expected = 0.05 * (n_tests - n_true) / n_tests
    assert false_S.mean() <= expected + error
    if correlation == 0.0:  # then the rate is that, not only at most that
        assert false_S.mean() >= expected - error
    assert found_SK[:, :n_true].mean() > 0.5
