"""Debiased CKA against its definitions and on data whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp.errors import InputError
from interp.probes.similarity import debiased_cka


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d)))


def hsic_of_quadruples(a: np.ndarray, b: np.ndarray) -> float:
    """The U-statistic that HSIC_1 is, over all ordered quadruples of distinct rows."""
    k, kk = a @ a.T, b @ b.T
    terms = [
        k[i, j] * (kk[i, j] + kk[q, r] - 2 * kk[i, q])
        for i, j, q, r in itertools.permutations(range(len(a)), 4)
    ]
    return float(np.mean(terms))


def u_centred(a: np.ndarray) -> np.ndarray:
    """Székely and Rizzo's centring (2014), whose inner product is HSIC_1 too."""
    k, n = a @ a.T, len(a)
    np.fill_diagonal(k, 0)
    rows = k.sum(0) / (n - 2)
    k = k - rows - rows[:, None] + k.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(k, 0)
    return k


def biased_cka(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a.T @ b).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm()))


@settings(max_examples=15)
@given(st.integers(4, 7), st.integers(1, 4), st.integers(1, 4), st.integers(0, 1000))
def test_it_is_the_ratio_of_u_statistics(n, d, e, seed):
    a, b = normal(n, d, seed) + 3, normal(n, e, seed + 1)
    hsic = [
        hsic_of_quadruples(x.numpy(), y.numpy()) for x, y in itertools.product((a, b), repeat=2)
    ]
    assert debiased_cka(a, b) == pytest.approx(hsic[1] / np.sqrt(hsic[0] * hsic[3]), rel=1e-6)


@pytest.mark.parametrize(("n", "d", "e"), [(30, 5, 9), (20, 200, 7), (50, 300, 400)])
def test_it_is_the_cosine_of_u_centred_gram_matrices(n, d, e):
    a, b = normal(n, d, 0), torch.tanh(normal(n, d, 0)) @ normal(d, e, 1)
    one, other = u_centred(a.numpy()), u_centred(b.numpy())
    cosine = (one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum())
    assert debiased_cka(a, b) == pytest.approx(cosine, abs=1e-10)


def test_independent_activations_agree_by_chance_alone_where_the_usual_cka_is_near_1():
    found = [
        (debiased_cka(a, b), biased_cka(a, b))
        for a, b in ((normal(60, 600, 2 * s), normal(60, 600, 2 * s + 1)) for s in range(40))
    ]
    debiased, biased = np.array(found).T
    assert biased.min() > 0.85
    # Unbiased: the mean over 40 is 0 within four of its standard errors, and each is small.
    assert abs(debiased.mean()) < 4 * debiased.std() / np.sqrt(40)
    assert np.abs(debiased).max() < 0.15


def test_rotation_shift_scale_and_order_of_rows_change_nothing_and_the_same_is_1():
    a, b = normal(40, 8, 0), normal(40, 8, 0) + normal(40, 8, 1)
    rotation = torch.linalg.qr(normal(8, 8, 2)).Q
    expected = debiased_cka(a, b)
    assert 0.3 < expected < 0.9
    assert debiased_cka(b, a) == pytest.approx(expected)
    assert debiased_cka(100 * a @ rotation + 1000, b) == pytest.approx(expected)
    assert debiased_cka(a.flip(0), b.flip(0)) == pytest.approx(expected)
    assert debiased_cka(a, 3 * a @ rotation - 5) == pytest.approx(1)
    assert debiased_cka(a, b.to(torch.bfloat16)) == pytest.approx(expected, abs=0.01)


def test_it_does_not_depend_on_how_many_rows_there_are():
    """Half the variance shared: the truth is .5 whatever n; the usual CKA falls towards it."""

    def pair(n: int, seed: int) -> tuple[Tensor, Tensor]:
        shared = normal(n, 50, seed)
        return shared + normal(n, 50, seed + 1), shared + normal(n, 50, seed + 2)

    found = {
        n: np.array(
            [[f(*pair(n, 10 * s)) for f in (debiased_cka, biased_cka)] for s in range(30)]
        ).mean(0)
        for n in (30, 300)
    }
    # CKA of jointly normal columns with correlation r in isotropic noise is r^2 = .25.
    assert found[30][0] == pytest.approx(0.25, abs=0.04)
    assert found[300][0] == pytest.approx(0.25, abs=0.01)
    assert found[30][1] > 0.6


def test_bad_input_is_refused():
    a = normal(10, 3, 0)
    bad = a.clone()
    bad[7, 0] = np.inf
    cases = [
        ((a, a[:-1]), r"shapes \(10, 3\) and \(9, 3\)"),
        ((a[:3], a[:3]), "3 rows"),
        ((a, bad), "row 7 of the second"),
        ((torch.ones(10, 2), a), "all rows of the first"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            debiased_cka(*arguments)
