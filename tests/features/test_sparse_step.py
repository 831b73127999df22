from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.features.sparse_step import (
    Entries,
    SparseAutoencode,
    batch_top_k,
    top_k,
)


@st.composite
def scores(draw, *, ties: bool):
    """Scores [n, m], most of them negative in half of the cases, and how many to choose of a row.

    m is on either side of whole groups of 16, k anything up to m.
    """
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 90))
    k = draw(st.one_of(st.integers(1, min(m, 4)), st.integers(max(1, m - 3), m)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    place_NM = torch.rand(n, m, generator=generator).flatten().argsort().view(n, m)
    score_NM = place_NM.float() - draw(st.sampled_from([0, n * m]))
    return (score_NM // 7 if ties else score_NM), k


def mask(entries: Entries, n: int, m: int) -> torch.Tensor:
    """How often each place is among the entries, [n, m]."""
    return torch.zeros(n, m).index_put_((entries.row, entries.index), torch.ones(()), True)


def ordered(entries: Entries, n: int, m: int) -> bool:
    """Row by row, ascending by latent, each row's start where it begins."""
    place_E = entries.row * m + entries.index
    start_N = torch.tensor([int((entries.row < row).sum()) for row in range(n)])
    return bool((place_E.diff() > 0).all()) and torch.equal(entries.start, start_N)


@given(scores(ties=False))
def test_top_k_are_the_entries_that_torch_would_choose(given):
    score_NM, k = given
    theirs_NM = torch.zeros_like(score_NM).scatter(1, score_NM.topk(k, dim=1).indices, 1)
    entries = top_k(score_NM, k)
    assert torch.equal(mask(entries, *score_NM.shape), theirs_NM)
    assert ordered(entries, *score_NM.shape)


@given(scores(ties=False))
def test_batch_top_k_are_the_entries_that_torch_would_choose(given):
    score_NM, k = given
    n, m = score_NM.shape
    for total in (k, min(n * k + 1, n * m)):
        chosen = score_NM.flatten().topk(total).indices
        theirs_NM = torch.zeros(n * m).index_fill(0, chosen, 1).view(n, m)
        entries = batch_top_k(score_NM, total)
        assert torch.equal(mask(entries, n, m), theirs_NM)
        assert ordered(entries, n, m)


@given(scores(ties=True))
def test_of_ties_any_are_chosen_but_none_twice_and_the_values_are_torchs(given):
    score_NM, k = given
    n, m = score_NM.shape
    entries = top_k(score_NM, k)
    values_NK = score_NM[entries.row, entries.index].view(n, k).sort(dim=1, descending=True).values
    assert torch.equal(values_NK, score_NM.topk(k, dim=1).values)
    assert ordered(entries, n, m)
    entries = batch_top_k(score_NM, n * k)
    values_E = score_NM[entries.row, entries.index].sort(descending=True).values
    assert torch.equal(values_E, score_NM.flatten().topk(n * k).values)
    assert ordered(entries, n, m)


def test_all_in_one_group_of_16_are_found():
    # Latents 3, 3 + 20, 3 + 40, ... share a group of 320 / 16; all others are lower.
    score_NM = torch.zeros(2, 320)
    score_NM[:, 3::20] = torch.arange(1.0, 17)
    assert top_k(score_NM, 16).index.view(2, 16).tolist() == [list(range(3, 320, 20))] * 2


def some_entries(n: int = 7, m: int = 12, seed: int = 0) -> tuple[Entries, torch.Tensor]:
    """Entries with rows and latents that have none, at either end too; and their mask."""
    generator = torch.Generator().manual_seed(seed)
    mask_NM = torch.rand(n, m, generator=generator) < 0.3
    mask_NM[[0, 3, -1]] = False
    mask_NM[:, [0, 5, -1]] = False
    row_E, index_E = mask_NM.nonzero(as_tuple=True)
    return Entries(torch.searchsorted(row_E, torch.arange(n)), row_E, index_E), mask_NM


def random_doubles(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_write_read_and_the_transpose_are_the_dense_products():
    entries, mask_NM = some_entries()
    (n, m), d = mask_NM.shape, 5
    value_NM = random_doubles(n, m) * mask_NM
    value_E = value_NM[mask_NM]
    direction_MD, acts_ND = random_doubles(m, d, seed=2), random_doubles(n, d, seed=3)
    close = {"rtol": 0, "atol": 1e-13}
    written_ND = entries.write(value_E, direction_MD)
    torch.testing.assert_close(written_ND, value_NM @ direction_MD, **close)
    read_E = entries.read(acts_ND, direction_MD)
    torch.testing.assert_close(read_E, (acts_ND @ direction_MD.T)[mask_NM], **close)
    by_latent = entries.by_latent(m)
    transposed_MD = by_latent.write(value_E, acts_ND)
    torch.testing.assert_close(transposed_MD, value_NM.T @ acts_ND, **close)
    value_MN = torch.zeros(m, n, dtype=torch.float64)
    there = by_latent.entries
    value_MN[there.row, there.index] = value_E[by_latent.order]
    assert torch.equal(value_MN, value_NM.T)
    assert ordered(there, m, n)


def test_without_any_entry_all_is_0():
    entries = batch_top_k(random_doubles(3, 40), 0)
    value_E, direction_MD = torch.zeros(0, dtype=torch.float64), random_doubles(40, 5)
    assert torch.equal(entries.write(value_E, direction_MD), torch.zeros(3, 5).double())
    transposed_MD = entries.by_latent(40).write(value_E, random_doubles(3, 5))
    assert torch.equal(transposed_MD, torch.zeros(40, 5).double())


@pytest.fixture(name="step")
def _step():
    """Rows, weights as leaves (`b_in`, `W_enc`, `b_enc`, `W_dec`), and entries to use."""
    entries, mask_NM = some_entries()
    (n, m), d = mask_NM.shape, 5
    shapes = {"b_in": (d,), "W_enc": (d, m), "b_enc": (m,), "W_dec": (m, d)}
    weights = {
        name: random_doubles(*shape, seed=seed).requires_grad_()
        for seed, (name, shape) in enumerate(shapes.items(), start=10)
    }
    return random_doubles(n, d), weights, entries, mask_NM


def dense(acts_ND, b_in, W_enc, b_enc, W_dec, mask_NM):
    return (((acts_ND - b_in) @ W_enc + b_enc).relu() * mask_NM) @ W_dec


def sparse(acts_ND, b_in, W_enc, b_enc, W_dec, entries):
    with torch.no_grad():
        value_NM = ((acts_ND - b_in) @ W_enc + b_enc).relu()
    value_E = value_NM[entries.row, entries.index]
    return SparseAutoencode.apply(acts_ND, b_in, W_enc, b_enc, W_dec, value_E, entries)


def test_gradients_are_those_of_finite_differences(step):
    acts_ND, weights, entries, _ = step
    assert torch.autograd.gradcheck(
        lambda *given: sparse(acts_ND, *given, entries), tuple(weights.values())
    )


def test_gradients_are_those_of_the_dense_path_and_some_relus_are_shut(step):
    acts_ND, weights, entries, mask_NM = step
    leaves = tuple(weights.values())
    written_ND = sparse(acts_ND, *leaves, entries)
    theirs_ND = dense(acts_ND, *leaves, mask_NM)
    torch.testing.assert_close(written_ND, theirs_ND, rtol=0, atol=1e-13)
    upstream_ND = random_doubles(*written_ND.shape, seed=20)
    ours = torch.autograd.grad(written_ND, leaves, upstream_ND)
    theirs = torch.autograd.grad(theirs_ND, leaves, upstream_ND)
    for name, our, their in zip(weights, ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-12, msg=name)
        assert our.is_contiguous()
    pre_NM = (acts_ND - weights["b_in"]) @ weights["W_enc"] + weights["b_enc"]
    assert 0 < (pre_NM[mask_NM] < 0).sum() < mask_NM.sum()


def test_a_gradient_in_another_layout_is_read_as_it_is_meant(step):
    acts_ND, weights, entries, mask_NM = step
    leaves = tuple(weights.values())
    upstream_ND = random_doubles(*acts_ND.T.shape, seed=20).T  # not contiguous
    ours = torch.autograd.grad(sparse(acts_ND, *leaves, entries), leaves, upstream_ND)
    theirs = torch.autograd.grad(dense(acts_ND, *leaves, mask_NM), leaves, upstream_ND)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-12)
