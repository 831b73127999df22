from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy, false_discovery_control, mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.search import (
    confirm,
    dense_probe,
    feature_auroc,
    reason_score,
    search,
    stability,
    token_lookup,
)
from interp.stats import auroc_columns, hierarchical_bootstrap, weighted_auroc

N, M = 240, 40
UNKNOWN, ONE_KIND, INHIBITOR, EVERYWHERE, STRENGTH = 0, 1, 2, 3, 4
KINDS = np.array(["player", "city", "song"])


def planted(seed, shift=0):
    """Rows of entities of three types, two rows each, with five latents that tell the classes."""
    rng = np.random.default_rng(seed)
    entity_N = np.repeat(np.arange(N // 2), 2) + shift
    kind_N = KINDS[entity_N % 3]
    label_N = entity_N // 3 % 2 == 1
    fires_NM = rng.random((N, M)) < 0.1
    chance_N = rng.random(N)
    fires_NM[:, UNKNOWN] = chance_N < np.where(label_N, 0.95, 0.03)
    fires_NM[:, ONE_KIND] = chance_N < np.where(label_N & (kind_N == "city"), 0.98, 0.02)
    fires_NM[:, INHIBITOR] = chance_N < np.where(label_N, 0.03, 0.95)
    fires_NM[:, EVERYWHERE] = fires_NM[:, UNKNOWN]
    fires_NM[:, -1] = False
    value_NM = np.where(fires_NM, np.round(rng.exponential(size=(N, M)), 1) + 0.1, 0)
    value_NM[:, STRENGTH] = rng.random(N) + 1.5 * label_N + 0.1  # always on, stronger on unknown
    return value_NM.astype(np.float32), label_N, entity_N, kind_N


def generic_codes(seed=9):
    rng = np.random.default_rng(seed)
    fires_NM = rng.random((1000, M)) < 0.01
    fires_NM[:, EVERYWHERE] = rng.random(1000) < 0.1
    return SparseCodes.from_dense(fires_NM.astype(np.float32))


DENSE, LABEL, ENTITY, KIND = planted(0)
CODES = SparseCodes.from_dense(DENSE)
LEVELS = {"entity": ENTITY}
TEST_DENSE, TEST_LABEL, TEST_ENTITY, TEST_KIND = planted(1, shift=N)
TEST_CODES = SparseCodes.from_dense(TEST_DENSE)
TEST_LEVELS = {"kind": TEST_KIND, "entity": TEST_ENTITY}


# AUROC of every latent


values = st.sampled_from([0.0, 0.0, 0.0, 1.0, 0.5, 1e-30, -2.0, -0.25, 3e38])


@given(hnp.arrays(np.float32, st.tuples(st.integers(2, 30), st.integers(1, 6)), elements=values))
def test_auroc_of_latents_is_that_of_their_columns(dense_NM):
    label_N = np.arange(len(dense_NM)) % 3 == 0
    ours = feature_auroc(SparseCodes.from_dense(dense_NM), label_N)
    assert np.array_equal(ours, auroc_columns(dense_NM, label_N))


def test_auroc_of_a_real_sized_code_agrees_with_another_library():
    rng = np.random.default_rng(0)
    value_NK = rng.exponential(size=(2000, 8))
    index_NK = rng.random((2000, 64)).argsort(1)[:, :8]
    codes = SparseCodes.from_topk(torch.tensor(value_NK), torch.tensor(index_NK), 65)
    label_N = rng.random(2000) < 0.3
    ours = feature_auroc(codes, label_N)
    theirs = [roc_auc_score(label_N, column_N) for column_N in codes.dense().T]
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert ours[64] == 0.5  # silent everywhere


def test_auroc_costs_what_the_active_entries_cost():
    n, m, k = 20_000, 50_000, 4  # 4 GB if they were dense
    rng = np.random.default_rng(0)
    index_NK = torch.tensor(rng.integers(0, m // k, (n, k)) + np.arange(k) * (m // k))
    codes = SparseCodes.from_topk(torch.rand(n, k) + 0.1, index_NK, m)
    label_N = rng.random(n) < 0.5
    tracemalloc.start()
    feature_auroc(codes, label_N)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6


# Search


@pytest.mark.parametrize("direction", ["unknown", "known"])
def test_every_column_is_that_of_a_loop_over_dense_columns(direction):
    generic = generic_codes()
    table = search(CODES, LABEL, LEVELS, direction=direction, kinds=KIND, generic=generic)
    sign = 1 if direction == "unknown" else -1
    table = table.set_index("latent").sort_index()
    assert (table["direction"] == direction).all()
    for latent in range(M):
        row, value_N = table.loc[latent], DENSE[:, latent].astype(float)
        on, off = value_N[LABEL], value_N[~LABEL]
        pooled = np.sqrt(
            (on.var(ddof=1) * (len(on) - 1) + off.var(ddof=1) * (len(off) - 1)) / (N - 2)
        )
        d = sign * (on.mean() - off.mean()) / pooled if pooled else 0
        areas = {kind: roc_auc_score(LABEL[kind == KIND], value_N[kind == KIND]) for kind in KINDS}
        apart = {
            kind: sign
            * (
                (value_N[LABEL & (kind == KIND)] > 0).mean()
                - (value_N[~LABEL & (kind == KIND)] > 0).mean()
            )
            for kind in KINDS
        }
        expected = {
            "frequency_unknown": (on > 0).mean(),
            "frequency_known": (off > 0).mean(),
            "frequency_generic": (generic.dense()[:, latent] > 0).mean(),
            "separation": sign * ((on > 0).mean() - (off > 0).mean()),
            "auroc": 0.5 + sign * (roc_auc_score(LABEL, value_N) - 0.5),
            "cohens_d": d,
            "worst_auroc": min(0.5 + sign * (area - 0.5) for area in areas.values()),
            "worst_separation": min(apart.values()),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, abs=1e-9), name
        assert apart[row["worst_kind"]] == pytest.approx(min(apart.values()))
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]), rtol=1e-12)


def test_p_is_scipys_on_one_mean_a_unit():
    rows = np.arange(0, N, 2)
    means_PM = ((DENSE[rows].astype(float) + DENSE[rows + 1]) / 2).astype(np.float32).astype(float)
    table = search(CODES, LABEL, LEVELS).set_index("latent").sort_index()
    for latent in range(M - 1):
        first, second = (means_PM[LABEL[rows] == label, latent] for label in (True, False))
        p = mannwhitneyu(first, second, method="asymptotic").pvalue
        assert table.loc[latent, "p"] == pytest.approx(p, rel=1e-6)
    assert table.loc[M - 1, "p"] == 1  # silent


def test_more_rows_of_the_same_entities_are_no_more_evidence():
    once = search(CODES, LABEL, LEVELS)
    rows = np.repeat(np.arange(N), 5)
    again = search(CODES.rows(rows), LABEL[rows], {"entity": ENTITY[rows]})
    # Cohen's d divides by degrees of freedom, of rows.
    pd.testing.assert_frame_equal(
        once.drop(columns=["cohens_d", "worst_cohens_d"]),
        again.drop(columns=["cohens_d", "worst_cohens_d"]),
    )


def test_both_rows_of_a_minimal_pair_count():
    pair_N = np.arange(N) // 2
    label_N = np.arange(N) % 2 == 0
    table = search(CODES, label_N, {"pair": pair_N}).set_index("latent").sort_index()
    first, second = DENSE[label_N, 0], DENSE[~label_N, 0]
    p = mannwhitneyu(first, second, method="asymptotic").pvalue
    assert table.loc[0, "p"] == pytest.approx(p, rel=1e-6)


def test_only_planted_latents_pass_each_in_its_direction():
    generic = generic_codes()
    kept = {}
    for direction in ("unknown", "known"):
        table = search(CODES, LABEL, LEVELS, direction=direction, kinds=KIND, generic=generic)
        kept[direction] = set(table.loc[table["passes"], "latent"])
        assert table["passes"].is_monotonic_decreasing
    assert kept == {"unknown": {UNKNOWN}, "known": {INHIBITOR}}
    without_filters = search(CODES, LABEL, LEVELS)
    kept_all = set(without_filters.loc[without_filters["passes"], "latent"])
    assert {UNKNOWN, ONE_KIND, EVERYWHERE} <= kept_all
    assert STRENGTH not in kept_all  # it fires on both classes alike: no separation
    by_strength = search(CODES, LABEL, LEVELS, rank_by="auroc").set_index("latent")
    assert by_strength.loc[STRENGTH, "worst_auroc"] > 0.95


def test_the_order_is_by_the_worst_kind():
    for effect in ("separation", "auroc", "cohens_d"):
        table = search(CODES, LABEL, LEVELS, kinds=KIND, rank_by=effect)
        for _, part in table.groupby("passes"):
            assert part[f"worst_{effect}"].is_monotonic_decreasing
    table = table.set_index("latent")
    assert table.loc[ONE_KIND, "separation"] > 0.2 > table.loc[ONE_KIND, "worst_separation"]
    assert table.loc[ONE_KIND, "worst_kind"] != "city"


def test_known_is_unknown_with_the_labels_turned():
    known = search(CODES, LABEL, LEVELS, direction="known", kinds=KIND)
    turned = search(CODES, ~LABEL, LEVELS, direction="unknown", kinds=KIND)
    names = {"frequency_unknown": "frequency_known", "frequency_known": "frequency_unknown"}
    turned = turned.rename(columns=names).assign(direction="known")[known.columns]
    pd.testing.assert_frame_equal(known, turned)


def test_labels_that_mean_nothing_find_nothing():
    found = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise_NM = (rng.random((N, M)) < 0.2) * rng.exponential(size=(N, M))
        label_N = rng.permutation(ENTITY[::2] % 2 == 0).repeat(2)
        found += search(SparseCodes.from_dense(noise_NM), label_N, LEVELS)["passes"].any()
    assert found <= 5  # at most one in twenty expected


# Confirmation


def picked(direction="unknown", n=3):
    return search(CODES, LABEL, LEVELS, direction=direction, kinds=KIND).head(n)


@pytest.mark.parametrize("direction", ["unknown", "known"])
def test_confirmation_is_the_search_on_test_with_intervals(direction):
    chosen = picked(direction)
    generic = generic_codes()
    baselines = {"noise": np.random.default_rng(0).normal(size=N)}
    table = confirm(
        chosen,
        TEST_CODES,
        TEST_LABEL,
        TEST_LEVELS,
        seen=ENTITY,
        kinds=TEST_KIND,
        generic=generic,
        baselines=baselines,
        seed=0,
        n_boot=300,
    )
    assert table["latent"].tolist() == chosen["latent"].tolist()
    assert table["dev_auroc"].tolist() == chosen["auroc"].tolist()
    whole = search(
        TEST_CODES, TEST_LABEL, TEST_LEVELS, direction=direction, kinds=TEST_KIND, generic=generic
    )
    whole = whole.set_index("latent").loc[chosen["latent"]].reset_index()
    same = [
        "separation",
        "auroc",
        "cohens_d",
        "worst_auroc",
        "worst_kind",
        "p",
        "frequency_generic",
    ]
    pd.testing.assert_frame_equal(table[same], whole[same])
    np.testing.assert_allclose(table["q"], false_discovery_control(table["p"]))  # over 3, not 40
    sought_N = TEST_LABEL if direction == "unknown" else ~TEST_LABEL
    rival = weighted_auroc(baselines["noise"], TEST_LABEL)
    for _, row in table.iterrows():
        value_N = TEST_DENSE[:, row["latent"]]
        ours = weighted_auroc(value_N, sought_N)
        fires = weighted_auroc((value_N > 0).astype(float), sought_N)  # separation = 2 AUROC - 1
        for name, statistic in {
            "auroc": ours,
            "separation": lambda weights, fires=fires: 2 * fires(weights) - 1,
            "over_noise": lambda weights, ours=ours: ours(weights) - rival(weights),
        }.items():
            expected = hierarchical_bootstrap(
                statistic, TEST_LEVELS, n_boot=300, seed=0, strata=sought_N
            )
            assert row[name] == pytest.approx(expected.estimate)
            assert row[f"{name}_lo"] == pytest.approx(expected.lo)
            assert row[f"{name}_hi"] == pytest.approx(expected.hi)
        assert row["noise_auroc"] == pytest.approx(roc_auc_score(TEST_LABEL, baselines["noise"]))


def test_the_planted_latent_is_confirmed_and_the_luckiest_of_noise_is_not():
    kept = confirm(
        picked(n=1), TEST_CODES, TEST_LABEL, TEST_LEVELS, seen=ENTITY, seed=0, n_boot=500
    )
    assert kept["passes"].all()
    assert kept["auroc_lo"].iloc[0] > 0.9
    covered, lucky = 0, []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        dev, test = (SparseCodes.from_dense(rng.exponential(size=(N, M))) for _ in range(2))
        best = search(dev, LABEL, LEVELS, rank_by="auroc").sort_values("auroc").tail(1)
        table = confirm(
            best, test, TEST_LABEL, {"entity": TEST_ENTITY}, seen=ENTITY, seed=0, n_boot=300
        )
        lucky.append(table["dev_auroc"].iloc[0])
        covered += table["auroc_lo"].iloc[0] <= 0.5 <= table["auroc_hi"].iloc[0]
    assert min(lucky) > 0.54
    assert covered >= 17


# Stability over seeds


def test_the_same_latents_in_another_order_are_found_again():
    rng = np.random.default_rng(0)
    first_MD = torch.tensor(rng.normal(size=(20, 32)))
    order = rng.permutation(20)
    second_MD = first_MD[order] * 3 + 0.05 * torch.tensor(rng.normal(size=(20, 32)))
    third_MD = torch.cat([first_MD[:10], torch.tensor(rng.normal(size=(15, 32)))])
    table = stability([first_MD, second_MD, third_MD])
    assert table["latent"].tolist() == list(range(20))
    assert order[table["match_1"]].tolist() == list(range(20))
    assert table["match_2"].tolist()[:10] == list(range(10))
    assert table["replicates"].tolist() == [2] * 10 + [1] * 10
    cosine_M = torch.cosine_similarity(first_MD, second_MD[table["match_1"]])
    np.testing.assert_allclose(table["cosine_1"], cosine_M)
    np.testing.assert_allclose(table["mean_cosine"], (table["cosine_1"] + table["cosine_2"]) / 2)
    assert (stability([first_MD, second_MD], cut=1.0)["replicates"] == 0).all()


def test_one_latent_does_not_stand_for_two():
    first_MD = torch.eye(4)[[0, 0, 1]] + torch.tensor([0, 0.1, 0])[:, None]
    table = stability([first_MD, torch.eye(4)[[0, 1]]])
    assert table["match_1"].tolist() == [0, 0, 1]
    assert table["mutual_1"].tolist() == [True, False, True]
    assert table["replicates"].tolist() == [1, 0, 1]


# Baselines


def test_the_dense_probe_is_logistic_regression_on_the_dev_rows():
    rng = np.random.default_rng(0)
    acts_ND, test_ND = rng.normal(size=(2, N, 12))
    acts_ND[:, 0] += LABEL
    theirs = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-10)
    )
    theirs.fit(acts_ND, LABEL)
    ours = dense_probe(torch.tensor(acts_ND), LABEL, torch.tensor(test_ND))
    np.testing.assert_allclose(ours, theirs.decision_function(test_ND), atol=2e-4)


def test_a_probe_on_latents_takes_their_codes():
    latents = [UNKNOWN, INHIBITOR]
    dev, test = (torch.tensor(codes.dense(latents)) for codes in (CODES, TEST_CODES))
    both = roc_auc_score(TEST_LABEL, dense_probe(dev, LABEL, test))
    assert both > feature_auroc(TEST_CODES, TEST_LABEL)[UNKNOWN]


def test_token_lookup_is_naive_bayes():
    rng = np.random.default_rng(0)
    dev, test = (
        SparseCodes.from_tokens([rng.integers(0, 30, rng.integers(1, 9)) for _ in range(N)], 40)
        for _ in range(2)
    )
    model = MultinomialNB(alpha=0.5, fit_prior=False).fit(dev.dense(), LABEL)
    log_odds = np.diff(model.predict_log_proba(test.dense()), axis=1)[:, 0]
    ours = token_lookup(dev, LABEL, test, smoothing=0.5)
    np.testing.assert_allclose(ours, log_odds, atol=1e-6)


def test_a_latent_that_fires_on_a_word_does_not_beat_the_lookup():
    tokens_N, test_N = (
        label_N * 3 + entity_N % 2
        for label_N, entity_N in ((LABEL, ENTITY), (TEST_LABEL, TEST_ENTITY))
    )
    dev, test = (SparseCodes.from_tokens(ids[:, None].tolist(), 6) for ids in (tokens_N, test_N))
    fires = SparseCodes.from_dense((test_N >= 3)[:, None].astype(np.float32))
    dev_fires = SparseCodes.from_dense((tokens_N >= 3)[:, None].astype(np.float32))
    table = confirm(
        search(dev_fires, LABEL, LEVELS),
        fires,
        TEST_LABEL,
        TEST_LEVELS,
        seen=ENTITY,
        baselines={"token_lookup": token_lookup(dev, LABEL, test)},
        seed=0,
        n_boot=100,
    )
    assert table["auroc"].iloc[0] == 1
    assert table["token_lookup_auroc"].iloc[0] == 1
    assert table["over_token_lookup_hi"].iloc[0] == pytest.approx(0, abs=1e-12)


# ReasonScore


def by_the_book(dense_NM, tokens, sequences, lexicon, before, after, alpha, ignore):
    """The published statistic, one sequence and one token at a time."""
    n, m = dense_NM.shape
    words = {}
    for word, spellings in lexicon.items():
        inside = set()
        for at in range(n):
            for ids in spellings:
                reach = range(at, min(at + len(ids), n))
                same = len({sequences[i] for i in reach}) == 1 and len(reach) == len(ids)
                if same and [tokens[i] for i in reach] == list(ids):
                    around = range(max(at - before, 0), min(at + len(ids) + after, n))
                    inside |= {i for i in around if sequences[i] == sequences[at]}
        words[word] = sorted(i for i in inside if tokens[i] not in ignore)
    union = sorted(set().union(*words.values()))
    rest = [i for i in range(n) if i not in union and tokens[i] not in ignore]
    mean_in, mean_out = dense_NM[union].mean(0), dense_NM[rest].mean(0)
    score_M = np.empty(m)
    for latent in range(m):
        around = np.array([dense_NM[i, latent].mean() if i else 0 for i in words.values()])
        h = entropy(around) / np.log(len(around)) if around.sum() else 0
        score_M[latent] = (
            mean_in[latent] / mean_in.sum() * h**alpha - mean_out[latent] / mean_out.sum()
        )
    return score_M, mean_in, mean_out


LEXICON = {"wait": [[3], [4, 5]], "hmm": [[6]], "never": [[19]]}


@given(st.integers(0, 500))
def test_reason_score_is_the_published_statistic(seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 12, 80)
    sequences = np.sort(rng.integers(0, 9, 80)).astype(str)
    dense_NM = np.where(rng.random((80, 7)) < 0.5, rng.exponential(size=(80, 7)), 0)
    table = reason_score(
        SparseCodes.from_dense(dense_NM), tokens, sequences, LEXICON, ignore=[0]
    ).sort_values("latent")
    score_M, mean_in, mean_out = by_the_book(
        dense_NM, tokens.tolist(), sequences.tolist(), LEXICON, 1, 2, 0.7, {0}
    )
    np.testing.assert_allclose(table["score"], score_M, atol=1e-7)
    np.testing.assert_allclose(table["mean_inside"], mean_in, rtol=1e-6)
    np.testing.assert_allclose(table["mean_outside"], mean_out, rtol=1e-6)


def test_a_latent_around_the_words_ranks_first_and_one_on_them_shows_as_a_lookup():
    tokens = np.tile([0, 1, 2, 3, 7, 8, 9, 10, 6, 11, 7, 8, 9, 9, 9, 9], 10)
    sequences = np.repeat(np.arange(10), 16)
    word_N = np.isin(tokens, [3, 6])
    after_N = np.roll(word_N, 1)
    dense_NM = np.stack([after_N, word_N, tokens == 9, tokens == 3], axis=1).astype(np.float32)
    table = reason_score(SparseCodes.from_dense(dense_NM), tokens, sequences, LEXICON)
    assert table["score"].is_monotonic_decreasing
    table = table.set_index("latent")
    assert table["on_word"].to_dict() == pytest.approx({0: 0, 1: 1, 2: np.nan, 3: 1}, nan_ok=True)
    assert table.loc[[0, 1], "score"].min() > 0 > table.loc[2, "score"]
    # Of latents as strong, one that knows all words of the lexicon counts for more.
    lone = {"wait": LEXICON["wait"], "hmm": LEXICON["hmm"]}
    two = reason_score(SparseCodes.from_dense(dense_NM), tokens, sequences, lone)
    assert two.set_index("latent").loc[[1, 3], "entropy"].tolist() == pytest.approx(
        [0.982, 0], abs=0.02
    )


def test_for_one_word_entropy_says_nothing():
    tokens, sequences = np.array([1, 3, 2, 2, 2, 2]), np.zeros(6)
    codes = SparseCodes.from_dense(np.array([[0, 2.0, 0, 0, 0, 1], [1.0, 0, 0, 0, 1, 0]]).T)
    table = reason_score(codes, tokens, sequences, {"wait": [[3]]}, window=(0, 0))
    assert table["entropy"].tolist() == [1, 1]
    assert table.set_index("latent")["score"].to_dict() == pytest.approx({0: 1 - 1 / 3, 1: -2 / 3})


# Errors


HALF = {"entity": ENTITY[: N // 2]}
WORDS = {"wait": [[3]]}


def score(tokens=(3, 1, 1, 1, 1, 1), sequences=(0,) * 6, lexicon=WORDS, value=1.0, fires=6):
    dense_N1 = np.where(np.arange(6) < fires, value, 0)[:, None]
    return reason_score(SparseCodes.from_dense(dense_N1), tokens, sequences, lexicon)


def confirmed(chosen, seen=ENTITY, **kwargs):
    return confirm(chosen, TEST_CODES, TEST_LABEL, TEST_LEVELS, seen=seen, seed=0, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feature_auroc(CODES, LABEL[:-1]), r"labels of shape \(239,\) for 240 rows"),
        (lambda: feature_auroc(CODES, LABEL * 2), "0 and 1"),
        (lambda: feature_auroc(CODES, np.ones(N)), "240 of 240 rows are labelled True"),
        (lambda: search(CODES, LABEL, {}), "no levels"),
        (lambda: search(CODES, LABEL, HALF), r"level 'entity' of shape \(120,\)"),
        (lambda: search(CODES, LABEL, {"kind": KIND, "half": LABEL}), "level 'half' lies in two"),
        (lambda: search(CODES, LABEL, {"entity": [None, *ENTITY[1:]]}), "none at row 0"),
        (lambda: search(CODES, LABEL, LEVELS, kinds=KIND[:9]), r"kinds of shape \(9,\)"),
        (lambda: search(CODES, LABEL, LEVELS, kinds=LABEL), "kind False have the label False"),
        (
            lambda: search(CODES, LABEL, LEVELS, generic=generic_codes().latents([1])),
            "generic codes over 1 latents, the others over 40",
        ),
        (
            lambda: search(CODES, LABEL, LEVELS, generic=generic_codes().rows([])),
            "no rows",
        ),
        (lambda: confirmed(picked(n=0)), "0 latents picked"),
        (
            lambda: confirmed(pd.concat([picked(), picked("known")])),
            r"6 latents picked, of the directions \['known', 'unknown'\]",
        ),
        (lambda: confirmed(picked(), seen=TEST_ENTITY[:5]), "3 units, 240 first, are among"),
        (lambda: confirmed(picked(), baselines={"a": np.zeros(3)}), r"scores \(3, 1\)"),
        (lambda: stability([torch.eye(3)]), "1 decoders; expected at least 2"),
        (lambda: stability([torch.eye(3), torch.eye(4)]), "one d"),
        (lambda: dense_probe(torch.ones(N, 2), LABEL[1:], torch.ones(1, 2)), "labels of shape"),
        (lambda: dense_probe(torch.ones(N, 2), LABEL, torch.ones(1, 3)), "3 columns for a probe"),
        (lambda: token_lookup(CODES, LABEL, CODES.latents([1])), "vocabularies of 40 and 1"),
        (lambda: token_lookup(CODES, LABEL, CODES, smoothing=0), "smoothing 0"),
        (lambda: score(tokens=(3,)), r"tokens of shape \(1,\) for 6 rows"),
        (lambda: score(sequences=(0, 1, 0, 1, 2, 2)), "stand apart"),
        (lambda: score(lexicon={}), "no word in the lexicon"),
        (lambda: score(lexicon={"wait": [[]]}), "without token ids"),
        (lambda: score(lexicon={"wait": [[9]]}), "0 tokens in windows .* and 6 elsewhere"),
        (lambda: score(tokens=(3,) * 6), "6 tokens in windows .* and 0 elsewhere"),
        (lambda: score(value=-1.0), "negative values"),
        (lambda: score(fires=2), "no latent fires inside the windows, or none outside"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
