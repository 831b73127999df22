from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, mannwhitneyu
from sklearn.metrics import roc_auc_score

from interp.errors import InputError
from interp.features import SparseCodes, search
from tests.features.planted import (
    CODES,
    DENSE,
    ENTITY,
    EVERYWHERE,
    INHIBITOR,
    KIND,
    KINDS,
    LABEL,
    LEVELS,
    ONE_KIND,
    STRENGTH,
    UNKNOWN,
    M,
    N,
    generic_codes,
)


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


HALF = {"entity": ENTITY[: N // 2]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
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
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
