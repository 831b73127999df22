from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import false_discovery_control, norm, ttest_ind
from sklearn.metrics import roc_auc_score

from interp.errors import InputError
from interp.stats import (
    Interval,
    _hierarchy,
    auroc,
    auroc_columns,
    benjamini_hochberg,
    bootstrap,
    dprime,
    hierarchical_bootstrap,
    max_t,
    paired_permutation,
    tost,
    weighted_auroc,
    weighted_mean,
)

# Few distinct values, so that most examples have ties.
tied = st.integers(-3, 3).map(float)


def mean_of(values_N: np.ndarray):
    return lambda rows: float(values_N[rows].mean())


# --- AUROC ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(tied, st.booleans()), min_size=2, max_size=40))
def test_auroc_is_sklearns_with_ties(rows):
    scores_N, labels_N = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < labels_N.sum() < len(labels_N))
    assert auroc(scores_N, labels_N) == pytest.approx(roc_auc_score(labels_N, scores_N), abs=1e-12)


@given(st.lists(st.tuples(tied, st.booleans()), min_size=2, max_size=20))
def test_auroc_counts_pairs_and_flips_with_the_sign(rows):
    scores_N, labels_N = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < labels_N.sum() < len(labels_N))
    pairs = itertools.product(scores_N[labels_N], scores_N[~labels_N])
    wins = [1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs]
    assert auroc(scores_N, labels_N) == pytest.approx(np.mean(wins), abs=1e-12)
    assert auroc(-scores_N, labels_N) == pytest.approx(1 - np.mean(wins), abs=1e-12)


@given(hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2), elements=tied))
def test_auroc_columns_is_the_loop_over_columns(scores_NK):
    labels_N = np.arange(len(scores_NK)) % 2
    loop = [auroc(column, labels_N) for column in scores_NK.T]
    np.testing.assert_array_equal(auroc_columns(scores_NK, labels_N), loop)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [1, 1], "2 positive and 0 negative"),
        ([1.0, np.nan], [0, 1], "row 1 is NaN"),
        ([1.0, 2.0], [0, 1, 1], "do not fit"),
        ([[1.0], [2.0]], [0, 1], "one per row"),
        ([1.0, 2.0], [0, 2], "0 and 1"),
    ],
)
def test_auroc_refuses(scores, labels, message):
    with pytest.raises(InputError, match=message):
        auroc(np.array(scores), np.array(labels))


# --- bootstrap -----------------------------------------------------------------------------------


@given(st.permutations(range(12)), st.integers(0, 100))
def test_bootstrap_of_singleton_groups_is_the_plain_bootstrap(names, seed):
    values_N = np.random.default_rng(0).normal(size=12)
    rng = np.random.default_rng(seed)
    plain = [values_N[rng.integers(0, 12, 12)].mean() for _ in range(50)]
    ours = bootstrap(mean_of(values_N), np.array(names), n_boot=50, seed=seed)
    expected = (values_N.mean(), *np.quantile(plain, [0.025, 0.975]))
    assert (ours.estimate, ours.lo, ours.hi) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=25), st.integers(0, 100))
def test_rows_of_a_group_travel_together_within_their_stratum(names, seed):
    groups_N = np.array(names)
    strata_N = np.isin(groups_N, ["a", "b"])
    n_groups = {value: len(set(groups_N[strata_N == value])) for value in (False, True)}

    def check(rows_M: np.ndarray) -> float:
        count_N = np.bincount(rows_M, minlength=len(groups_N))
        times = {name: set(count_N[groups_N == name]) for name in set(names)}
        assert all(len(count) == 1 for count in times.values())
        for value in (False, True):
            inside = set(groups_N[strata_N == value])
            assert sum(min(times[name]) for name in inside) == n_groups[value]
        return 0.0

    bootstrap(check, groups_N, n_boot=20, seed=seed, strata=strata_N)


def test_bootstrap_covers_the_mean_of_clustered_normals_and_ignoring_clusters_does_not():
    rng = np.random.default_rng(3)
    n_sets, n_groups, per_group = 150, 40, 4
    groups_N = np.repeat(np.arange(n_groups), per_group)
    covered = {"clusters": 0, "rows": 0}
    for seed in range(n_sets):
        values_N = rng.normal(size=n_groups)[groups_N] + 0.3 * rng.normal(size=len(groups_N))
        for name, units_N in {"clusters": groups_N, "rows": np.arange(len(groups_N))}.items():
            interval = bootstrap(mean_of(values_N), units_N, n_boot=200, seed=seed, level=0.9)
            covered[name] += interval.lo <= 0 <= interval.hi
    # A percentile interval of 40 groups covers a little less than its level of .90 (about .88);
    # four binomial standard deviations on either side of that are .774 and .986.
    assert 0.774 <= covered["clusters"] / n_sets <= 0.986
    # Taking the rows for independent halves the width: coverage near .58.
    assert covered["rows"] / n_sets < 0.75


def test_bootstrap_is_seeded_and_undefined_where_its_statistic_is():
    values_N = np.arange(9.0)
    again = [bootstrap(mean_of(values_N), np.arange(9), n_boot=30, seed=s) for s in (1, 1, 2)]
    assert again[0] == again[1] != again[2]
    undefined = bootstrap(
        lambda rows: float("nan") if 0 in rows else 1.0, np.arange(9), n_boot=30, seed=1
    )
    assert np.isnan([undefined.estimate, undefined.lo, undefined.hi]).all()


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ([], {}, "N > 0"),
        ([[0], [1]], {}, r"shape \(2, 1\)"),
        ([0, 1], {"strata": np.array([0])}, "same shape"),
        ([0, 1, 0], {"strata": np.array([0, 0, 1])}, "row 2 is in another stratum"),
        ([0, 1], {"n_boot": 0}, "n_boot=0"),
        ([0, 1], {"level": 1.0}, "level=1.0"),
    ],
)
def test_bootstrap_refuses(groups, options, message):
    with pytest.raises(InputError, match=message):
        bootstrap(lambda rows: 0.0, np.array(groups), seed=0, **options)


# --- weighted statistics, hierarchical bootstrap -------------------------------------------------


@given(st.lists(st.tuples(tied, st.booleans(), st.integers(0, 3)), min_size=2, max_size=25))
def test_weights_are_repeated_rows(rows):
    scores_N, labels_N, times_N = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < labels_N.sum() < len(labels_N))
    weights_BN = np.stack([times_N, np.ones(len(rows)), 2.5 * times_N]).astype(float)
    repeated = np.repeat(np.arange(len(rows)), times_N)
    one_class = len(set(labels_N[repeated].tolist())) < 2
    once = auroc(scores_N, labels_N)
    expected = np.nan if one_class else auroc(scores_N[repeated], labels_N[repeated])
    found_B = weighted_auroc(scores_N, labels_N)(weights_BN)
    np.testing.assert_allclose(found_B, [expected, once, expected], atol=1e-12)
    if times_N.any():
        mean_B = weighted_mean(scores_N)(weights_BN[:2])
        np.testing.assert_allclose(mean_B, [scores_N[repeated].mean(), scores_N.mean()])


def nested(*sizes: int) -> dict[str, np.ndarray]:
    """Levels of a balanced hierarchy, one row a lowest unit; `sizes` from the top."""
    names = ("scenario", "dataset", "pair")[-len(sizes) :]
    below = [int(np.prod(sizes[depth + 1 :])) for depth in range(len(sizes))]
    n_units = np.cumprod(sizes)
    return {
        name: np.repeat(np.arange(n), m) for name, n, m in zip(names, n_units, below, strict=True)
    }


@pytest.mark.parametrize(
    ("sizes", "level", "resampled"),
    [
        ((6, 1, 3), 0.95, "scenario"),
        ((5, 1, 3), 0.95, "pair"),  # five scenarios are too few for 95%
        ((5, 1, 3), 0.90, "scenario"),
        ((1, 1, 30), 0.95, "pair"),
        ((1, 8, 2), 0.95, "dataset"),
        ((3, 2, 9), 0.95, "pair"),
        ((3, 7, 2), 0.95, "dataset"),
    ],
)
def test_the_highest_level_with_enough_units_is_resampled(sizes, level, resampled):
    levels = nested(*sizes)
    values_N = np.random.default_rng(0).normal(size=len(levels["pair"]))
    found = hierarchical_bootstrap(weighted_mean(values_N), levels, n_boot=50, seed=0, level=level)
    assert found.resampled == resampled
    assert found.estimate == pytest.approx(values_N.mean())
    assert found.lo < found.estimate < found.hi


def test_each_branch_is_resampled_where_it_can_be():
    # The first scenario has seven datasets of three pairs, the second one dataset of twenty pairs.
    levels = {
        "scenario": np.repeat([0, 1], [21, 20]),
        "dataset": np.concatenate([np.repeat(np.arange(7), 3), np.full(20, 7)]),
        "pair": np.arange(41),
    }
    seen = []

    def spy(weights_BN: np.ndarray) -> np.ndarray:
        seen.append(weights_BN)
        return weights_BN @ np.arange(41.0)

    found = hierarchical_bootstrap(spy, levels, n_boot=200, seed=0)
    assert found.resampled == "dataset+pair"
    drawn_BN = seen[-1]
    by_dataset = drawn_BN[:, :21].reshape(200, 7, 3)
    assert (by_dataset == by_dataset[:, :, :1]).all()  # a dataset is drawn whole
    assert (drawn_BN[:, 21:] != drawn_BN[:, 21:22]).any()
    # Every scenario keeps its weight: 21 and 20 rows.
    np.testing.assert_allclose(drawn_BN[:, :21].sum(1), 21)
    np.testing.assert_allclose(drawn_BN[:, 21:].sum(1), 20)


def test_classes_keep_their_weight_where_units_lie_in_one():
    labels_N = np.repeat([True, False], [12, 30])
    entity_N = np.repeat(np.arange(14), 3)
    pair_N = np.tile(np.arange(12), 2)
    for groups_N, kept_N, fixed in (
        (entity_N, labels_N, True),
        (pair_N, np.repeat([True, False], 12), True),  # a pair brings one row of each anyway
        (np.arange(42) % 9, labels_N, False),  # units of both classes, in unequal shares
    ):
        seen = []

        def spy(weights_BN: np.ndarray, seen=seen) -> np.ndarray:
            seen.append(weights_BN)
            return weights_BN[:, 0]

        hierarchical_bootstrap(spy, {"unit": groups_N}, strata=kept_N, n_boot=40, seed=0)
        weight_B = seen[-1][:, kept_N].sum(1)
        assert (np.ptp(weight_B) < 1e-9) == fixed


def test_draws_have_the_unbiased_variance_of_a_mean():
    values_N = np.random.default_rng(2).normal(size=8)
    drawn_B = []

    def spy(weights_BN: np.ndarray) -> np.ndarray:
        drawn_B.append(weighted_mean(values_N)(weights_BN))
        return drawn_B[-1]

    hierarchical_bootstrap(spy, {"pair": np.arange(8)}, n_boot=40_000, seed=0)
    # The variance of 40 000 draws is known to within about sqrt(2 / 40 000) = .7%.
    assert drawn_B[-1].var() == pytest.approx(values_N.var(ddof=1) / 8, rel=0.03)


def test_degrees_of_freedom_are_welchs_and_acceleration_is_a_sixth_of_the_skewness():
    rng = np.random.default_rng(4)
    values_N, labels_N = rng.normal(size=30), np.repeat([True, False], [8, 22])
    values_N[labels_N] *= 3

    def difference(weights_BN: np.ndarray) -> np.ndarray:
        means = [
            weighted_mean(values_N[side])(weights_BN[:, side]) for side in (labels_N, ~labels_N)
        ]
        return means[0] - means[1]

    found = hierarchical_bootstrap(
        difference, {"entity": np.arange(30)}, strata=labels_N, n_boot=10, seed=0
    )
    welch = ttest_ind(values_N[labels_N], values_N[~labels_N], equal_var=False)
    assert found.df == pytest.approx(welch.df)
    sample_N = rng.exponential(size=25)
    left_out_N = np.array([np.delete(sample_N, i).mean() for i in range(25)])
    away_N = sample_N - sample_N.mean()
    expected = (away_N**3).sum() / (6 * (away_N**2).sum() ** 1.5)
    assert _hierarchy.Jackknife.of(left_out_N, [np.arange(25)]).acceleration == pytest.approx(
        expected
    )


def test_limits_agree_with_scipys_bca_where_units_are_many():
    sample_N = np.random.default_rng(6).exponential(size=200)
    ours = hierarchical_bootstrap(
        weighted_mean(sample_N), {"pair": np.arange(200)}, n_boot=20_000, seed=0
    )
    theirs = scipy_bootstrap(
        (sample_N,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    # t and the unbiased variance widen ours by .9%; a quantile of 20 000 draws errs by about 2% of
    # the standard error, 1% of the half width.
    half = (theirs.high - theirs.low) / 2
    assert abs(ours.lo - theirs.low) < 0.05 * half
    assert abs(ours.hi - theirs.high) < 0.05 * half
    assert ours.hi - ours.estimate > 1.05 * (ours.estimate - ours.lo)  # skewed as the sample is


def test_limits_repeat_by_seed_and_not_by_how_draws_are_blocked(monkeypatch):
    values_N, levels = np.random.default_rng(1).normal(size=30), nested(10, 3)
    given_ = [
        hierarchical_bootstrap(weighted_mean(values_N), levels, n_boot=200, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert given_[0] == given_[1] != given_[2]
    monkeypatch.setattr(_hierarchy, "_BLOCK", 100)
    again = hierarchical_bootstrap(weighted_mean(values_N), levels, n_boot=200, seed=0)
    assert (again.lo, again.hi, again.df) == pytest.approx(
        (given_[0].lo, given_[0].hi, given_[0].df)
    )


def test_limits_are_undefined_where_there_is_too_little_to_draw_from():
    scores_N = np.random.default_rng(0).normal(size=40)
    labels_N = np.arange(40) >= 39  # one positive row

    def interval(groups_N, labels_N):
        return hierarchical_bootstrap(
            weighted_auroc(scores_N, labels_N), {"unit": groups_N}, strata=labels_N, seed=0
        )

    alone = interval(np.arange(40), labels_N)
    few = interval(np.arange(40) // 10, np.arange(40) % 2 == 0)
    torn = interval(np.arange(40) // 2, labels_N)  # many a resample lacks the only positive row
    for found in (alone, few, torn):
        assert np.isnan([found.lo, found.hi]).all()
        assert np.isfinite(found.estimate)
    enough = interval(np.arange(40) // 4, np.arange(40) % 2 == 0)
    assert np.isfinite([enough.lo, enough.hi]).all()


def test_a_single_unit_is_drawn_together_with_those_of_other_branches():
    # Four scenarios; in two of them only one pair is left.
    scenario_N = np.repeat([0, 1, 2, 3], [9, 1, 1, 9])
    values_N = np.random.default_rng(3).normal(size=20)
    seen = []

    def spy(weights_BN: np.ndarray) -> np.ndarray:
        seen.append(weights_BN)
        return weights_BN @ values_N

    levels = {"scenario": scenario_N, "pair": np.arange(20)}
    found = hierarchical_bootstrap(spy, levels, n_boot=100, seed=0)
    assert found.resampled == "pair"
    assert set(map(tuple, seen[-1][:, 9:11].tolist())) == {(2.0, 0.0), (0.0, 2.0)}


def test_a_statistic_without_spread_has_an_interval_without_width():
    labels_N = np.arange(20) % 2 == 0
    separable = hierarchical_bootstrap(
        weighted_auroc(labels_N.astype(float), labels_N),
        {"entity": np.arange(20)},
        strata=labels_N,
        n_boot=50,
        seed=0,
    )
    assert (separable.estimate, separable.lo, separable.hi) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ({}, {}, "no levels"),
        ({"pair": []}, {}, "no rows"),
        ({"dataset": [0, 1], "pair": [0, 1, 2]}, {}, "'pair' has 3 rows, the top level 2"),
        ({"pair": [0, 1]}, {"strata": [0]}, "strata has 1 rows"),
        (
            {"dataset": ["a", "b", "a"], "pair": ["p", "p", "q"]},
            {},
            "row 1: the pair 'p' lies in the dataset 'a' and in 'b'",
        ),
        ({"scenario": [None, "stale"], "pair": [3, 3]}, {}, "scenario None and in 'stale'"),
        ({"pair": [0, 1]}, {"n_boot": 0}, "n_boot=0"),
        ({"pair": [0, 1]}, {"level": 1.0}, "level=1.0"),
    ],
)
def test_hierarchical_bootstrap_refuses(levels, options, message):
    with pytest.raises(InputError, match=message):
        hierarchical_bootstrap(lambda w: w[:, 0], levels, seed=0, **options)


def test_statistics_that_are_no_statistics_are_refused():
    levels = {"pair": np.arange(9)}
    with pytest.raises(InputError, match=r"gives shape \(1, 9\).*one value a resample"):
        hierarchical_bootstrap(lambda w: w, levels, seed=0)
    with pytest.raises(InputError, match="both classes are needed"):
        weighted_auroc(np.zeros(3), np.ones(3))
    for values in ([], [[1.0]], [np.nan]):
        with pytest.raises(InputError, match="weighted mean"):
            weighted_mean(np.array(values))


# --- permutation ---------------------------------------------------------------------------------


def flips_by_hand(difference_N: np.ndarray, groups_N: np.ndarray) -> float:
    names = list(dict.fromkeys(groups_N.tolist()))
    observed = abs(difference_N.mean())
    reached = 0
    for signs in itertools.product([1, -1], repeat=len(names)):
        sign_N = np.array([signs[names.index(name)] for name in groups_N.tolist()])
        reached += abs((sign_N * difference_N).mean()) >= observed - 1e-9
    return reached / 2 ** len(names)


@given(st.lists(st.tuples(tied, tied, st.sampled_from("abcdef")), min_size=1, max_size=12))
def test_permutation_of_few_groups_is_exact(rows):
    a_N, b_N, groups_N = (np.array(column) for column in zip(*rows, strict=True))
    p = paired_permutation(a_N, b_N, n_perm=64, seed=0, groups=groups_N)
    assert p == pytest.approx(flips_by_hand(a_N - b_N, groups_N))


def test_random_flips_agree_with_all_flips():
    a_N = np.random.default_rng(5).normal(0.4, 1, 12)
    exact = flips_by_hand(a_N, np.arange(12))
    sampled = paired_permutation(a_N, np.zeros(12), n_perm=4000, seed=1)
    assert 0.02 < exact < 0.9
    assert abs(sampled - exact) < 4 * np.sqrt(exact * (1 - exact) / 4000)


def test_permutation_p_is_uniform_under_the_null():
    rng = np.random.default_rng(7)
    p_S = np.array(
        [paired_permutation(*rng.normal(size=(2, 30)), n_perm=199, seed=s) for s in range(400)]
    )
    for level in (0.05, 0.25, 0.5, 0.75):
        # (1 + #) / (1 + 199) is at most `level` with probability `level`, up to ties.
        assert abs((p_S <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / 400)


def test_permutation_finds_a_difference_only_as_large_as_its_groups_allow():
    groups_N = np.repeat([0, 1, 2], 50)
    ones_N = np.ones(150)
    # Three groups have eight flips, two of them as extreme: no count of rows makes p smaller.
    assert paired_permutation(ones_N, 0 * ones_N, n_perm=999, seed=0, groups=groups_N) == 0.25
    assert paired_permutation(ones_N, 0 * ones_N, n_perm=999, seed=0) == 0.001


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([1.0, 2.0], [1.0], {}, "same shape"),
        ([], [], {}, "N > 0"),
        ([1.0, np.nan], [1.0, 1.0], {}, "row 1 has a NaN"),
        ([1.0, 2.0], [1.0, 1.0], {"groups": np.array([0])}, "same shape"),
        ([1.0], [1.0], {"n_perm": 0}, "n_perm=0"),
    ],
)
def test_permutation_refuses(a, b, options, message):
    with pytest.raises(InputError, match=message):
        paired_permutation(np.array(a), np.array(b), **{"n_perm": 9, "seed": 0, **options})


# --- many tests ----------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 1000))
def test_max_t_counts_the_largest_of_each_permutation(n_tests, n_perm, seed):
    rng = np.random.default_rng(seed)
    observed_K = rng.integers(0, 5, n_tests).astype(float)
    null_PK = rng.integers(0, 5, (n_perm, n_tests)).astype(float)
    p_K = [(1 + sum(max(row) >= t for row in null_PK)) / (1 + n_perm) for t in observed_K]
    np.testing.assert_allclose(max_t(observed_K, null_PK), p_K)


def test_max_t_bounds_the_chance_of_any_false_find():
    rng = np.random.default_rng(11)
    found = [
        max_t(rng.normal(size=20), rng.normal(size=(99, 20))).min() <= 0.05 for _ in range(600)
    ]
    assert abs(np.mean(found) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize(
    ("observed", "null", "message"),
    [
        (np.ones(2), np.ones((5, 3)), "do not fit"),
        (np.ones((2, 1)), np.ones((5, 2)), "do not fit"),
        (np.array([np.nan]), np.ones((5, 1)), "NaN"),
        (np.ones(0), np.ones((5, 0)), "there is none"),
    ],
)
def test_max_t_refuses(observed, null, message):
    with pytest.raises(InputError, match=message):
        max_t(observed, null)


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.3, 1.0]), min_size=1, max_size=15))
def test_benjamini_hochberg_is_scipys(p):
    p_K = np.array(p)
    np.testing.assert_allclose(benjamini_hochberg(p_K), false_discovery_control(p_K, method="bh"))


@pytest.mark.parametrize("p", [[0.5, 1.1], [-0.1], [np.nan], [[0.5]]])
def test_benjamini_hochberg_refuses(p):
    with pytest.raises(InputError, match=r"each in \[0, 1\]"):
        benjamini_hochberg(np.array(p))


# --- equivalence, detection ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lo", "hi", "reference", "equivalent"),
    [
        (-0.04, 0.04, 0.0, True),
        (-0.06, 0.04, 0.0, False),  # below the margin
        (-0.04, 0.06, 0.0, False),  # above it
        (-0.06, 0.06, 0.0, False),  # both: too few data
        (0.01, 0.04, 0.0, True),  # different from 0, yet not by enough to matter
        (-0.05, 0.0, 0.0, False),  # the margin itself is outside
        (0.48, 0.52, 0.5, True),
        (0.48, 0.52, 0.0, False),
        (np.nan, np.nan, 0.0, False),
    ],
)
def test_tost_truth_table(lo, hi, reference, equivalent):
    assert tost(Interval((lo + hi) / 2, lo, hi), 0.05, reference) is equivalent


def test_tost_refuses_a_margin_of_zero():
    with pytest.raises(InputError, match="margin=0"):
        tost(Interval(0, 0, 0), 0)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_dprime_closed_form_and_symmetries(n_signal, n_noise, data):
    hits = data.draw(st.integers(0, n_signal))
    false_alarms = data.draw(st.integers(0, n_noise))
    d, c = dprime(hits, n_signal, false_alarms, n_noise)
    z = norm.ppf([(hits + 0.5) / (n_signal + 1), (false_alarms + 0.5) / (n_noise + 1)])
    assert (d, c) == pytest.approx((z[0] - z[1], -z.mean()))
    # Saying "yes" where one said "no" turns the criterion around, and swapping signal and noise d'.
    said_no = dprime(n_signal - hits, n_signal, n_noise - false_alarms, n_noise)
    assert said_no == pytest.approx((-d, -c))
    assert dprime(false_alarms, n_noise, hits, n_signal) == pytest.approx((-d, c))


def test_dprime_of_a_planted_observer():
    # d' = 1, c = .3: P(yes | signal) = Phi(.2), P(yes | noise) = Phi(-.8)
    trials = 10**6
    counts = (round(trials * norm.cdf(0.2)), trials, round(trials * norm.cdf(-0.8)), trials)
    assert dprime(*counts) == pytest.approx((1.0, 0.3), abs=1e-4)


@pytest.mark.parametrize("counts", [(3, 2, 0, 2), (-1, 2, 0, 2), (0, 2, 3, 2), (0, 0, 0, 2)])
def test_dprime_refuses(counts):
    with pytest.raises(InputError, match="within their numbers of trials"):
        dprime(*counts)
