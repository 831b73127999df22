from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.features import (
    SparseCodes,
    confirm,
    dense_probe,
    feature_auroc,
    search,
    token_lookup,
)
from tests.features.planted import (
    CODES,
    ENTITY,
    INHIBITOR,
    LABEL,
    LEVELS,
    TEST_CODES,
    TEST_ENTITY,
    TEST_LABEL,
    TEST_LEVELS,
    UNKNOWN,
    N,
)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dense_probe(torch.ones(N, 2), LABEL[1:], torch.ones(1, 2)), "labels of shape"),
        (lambda: dense_probe(torch.ones(N, 2), LABEL, torch.ones(1, 3)), "3 columns for a probe"),
        (lambda: token_lookup(CODES, LABEL, CODES.latents([1])), "vocabularies of 40 and 1"),
        (lambda: token_lookup(CODES, LABEL, CODES, smoothing=0), "smoothing 0"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
