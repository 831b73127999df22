from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from interp.errors import InputError
from interp.features import SparseCodes, confirm, search
from interp.stats import hierarchical_bootstrap, weighted_auroc
from tests.features.planted import (
    CODES,
    ENTITY,
    KIND,
    LABEL,
    LEVELS,
    TEST_CODES,
    TEST_DENSE,
    TEST_ENTITY,
    TEST_KIND,
    TEST_LABEL,
    TEST_LEVELS,
    M,
    N,
    generic_codes,
)


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


def confirmed(chosen, seen=ENTITY, **kwargs):
    return confirm(chosen, TEST_CODES, TEST_LABEL, TEST_LEVELS, seen=seen, seed=0, **kwargs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: confirmed(picked(n=0)), "0 latents picked"),
        (
            lambda: confirmed(pd.concat([picked(), picked("known")])),
            r"6 latents picked, of the directions \['known', 'unknown'\]",
        ),
        (lambda: confirmed(picked(), seen=TEST_ENTITY[:5]), "3 units, 240 first, are among"),
        (lambda: confirmed(picked(), baselines={"a": np.zeros(3)}), r"scores \(3, 1\)"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
