from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from interp.errors import InputError
from interp.features import SparseCodes, feature_auroc
from interp.stats import auroc_columns
from tests.features.planted import CODES, LABEL, N

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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feature_auroc(CODES, LABEL[:-1]), r"labels of shape \(239,\) for 240 rows"),
        (lambda: feature_auroc(CODES, LABEL * 2), "0 and 1"),
        (lambda: feature_auroc(CODES, np.ones(N)), "240 of 240 rows are labelled True"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
