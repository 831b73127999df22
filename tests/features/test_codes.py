from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sae_lens import (
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from safetensors.numpy import load_file, save_file

from interp.errors import InputError
from interp.features.codes import SparseCodes

values = st.sampled_from([0.0, 0.0, 0.0, -0.0, 1.0, 0.5, -2.0, 3.25])
tables = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=values
)


def random_codes(n=50, m=30, density=0.15, seed=0):
    rng = np.random.default_rng(seed)
    dense_NM = np.where(rng.random((n, m)) < density, rng.exponential(size=(n, m)), 0)
    return dense_NM.astype(np.float32)


@given(tables)
def test_codes_hold_what_the_dense_table_holds(dense_NM):
    for given_NM in (dense_NM, torch.tensor(dense_NM), torch.tensor(dense_NM).to_sparse()):
        codes = SparseCodes.from_dense(given_NM)
        assert np.array_equal(codes.dense(), dense_NM)
        assert (codes.value != 0).all()
        assert np.array_equal(codes.frequency, (dense_NM != 0).mean(0))
        assert codes.l0 == (dense_NM != 0).sum() / len(dense_NM)
        assert np.array_equal(codes.row, np.nonzero(dense_NM)[0])


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_topk_output_is_the_dense_table_it_stands_for(n, k, seed):
    generator = torch.Generator().manual_seed(seed)
    index_NK = torch.rand(n, 9, generator=generator).argsort(1)[:, :k]  # in no order
    value_NK = torch.randn(n, k, generator=generator).relu()  # with zeros
    dense_NM = torch.zeros(n, 9).scatter(1, index_NK, value_NK)
    codes = SparseCodes.from_topk(value_NK, index_NK, 9)
    assert np.array_equal(codes.dense(), dense_NM.numpy())
    assert (np.diff(codes.row * 9 + codes.index) > 0).all()


def test_a_latent_named_twice_without_value_is_not_active_at_all():
    codes = SparseCodes.from_topk(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[2, 1, 1]]), 4)
    assert codes.dense().tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("kind", "config", "sparse"),
    [
        (TopKTrainingSAE, TopKTrainingSAEConfig, False),
        (TopKTrainingSAE, TopKTrainingSAEConfig, True),
        (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, False),
    ],
)
def test_a_dictionary_encodes_in_batches_as_at_once(kind, config, sparse):
    own = {"use_sparse_activations": True, "rescale_acts_by_decoder_norm": False} if sparse else {}
    torch.manual_seed(0)
    sae = kind(config(d_in=12, d_sae=40, k=5, **own)).eval()
    acts_ND = torch.randn(64, 12)
    with torch.no_grad():
        at_once = sae.encode(acts_ND)
        # BatchTopK chooses within a batch while it is trained.
        parts = [sae.encode(part) for part in acts_ND.split(16)]
    dense_NM = torch.cat([part.to_dense() if part.is_sparse else part for part in parts])
    codes = SparseCodes.of(sae, acts_ND, 16)
    assert np.array_equal(codes.dense(), dense_NM.numpy())
    assert codes.l0 == pytest.approx(5)
    if kind is TopKTrainingSAE:
        at_once = at_once.to_dense() if at_once.is_sparse else at_once
        np.testing.assert_allclose(codes.dense(), at_once.numpy(), atol=1e-6)


class TopK:
    """Gives top-k output, and remembers how many rows it was given at a time."""

    def __init__(self):
        self.sizes = []

    def encode(self, acts):
        self.sizes.append(len(acts))
        return acts.topk(2, dim=1)


def test_no_batch_is_larger_than_asked_for_and_pieces_may_come_from_a_store():
    acts_ND = torch.rand(25, 8)
    encoder = TopK()
    codes = SparseCodes.of(encoder, iter(acts_ND.split(10)), 4, n_latents=8)
    assert encoder.sizes == [4, 4, 2, 4, 4, 2, 4, 1]
    kept_NM = acts_ND >= acts_ND.sort(1).values[:, -2:-1]
    assert np.array_equal(codes.dense(), (acts_ND * kept_NM).numpy())


def test_rows_latents_and_factors_are_those_of_the_dense_table():
    dense_NM = random_codes()
    codes = SparseCodes.from_dense(dense_NM)
    mask_N = np.arange(50) % 3 == 0
    assert np.array_equal(codes.rows(mask_N).dense(), dense_NM[mask_N])
    assert np.array_equal(codes.rows([7, 3, 3]).dense(), dense_NM[[7, 3, 3]])
    assert np.array_equal(codes.latents([9, 0, 29]).dense(), dense_NM[:, [9, 0, 29]])
    assert np.array_equal(codes.dense([9, 0, 29]), dense_NM[:, [9, 0, 29]])
    assert codes.latents([]).dense().shape == (50, 0)
    assert codes.rows(np.zeros(50, dtype=bool)).dense().shape == (0, 30)
    factor_M = np.arange(1, 31) / 7
    np.testing.assert_allclose(codes.scaled(factor_M).dense(), dense_NM * factor_M, rtol=1e-6)
    parts = [codes.rows(mask_N), codes.rows(~mask_N)]
    assert np.array_equal(
        SparseCodes.concatenate(parts).dense(),
        np.concatenate([dense_NM[mask_N], dense_NM[~mask_N]]),
    )


def test_means_of_groups_count_the_silent_rows():
    dense_NM = random_codes()
    group_N = np.random.default_rng(1).permutation(np.arange(50) % 8)
    means_GM = np.stack([dense_NM[group_N == group].mean(0) for group in range(8)])
    codes = SparseCodes.from_dense(dense_NM).means_by(group_N)
    np.testing.assert_allclose(codes.dense(), means_GM, rtol=1e-6)


def test_every_latent_made_from_a_part_is_in_order():
    codes = SparseCodes.from_dense(random_codes()).latents(np.arange(30)[::-1])
    place = codes.row * 30 + codes.index
    assert (np.diff(place) > 0).all()


def test_tokens_are_counted():
    codes = SparseCodes.from_tokens([[3, 1, 3], [], [0]], 5)
    assert codes.dense().tolist() == [[0, 1, 0, 2, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]


def test_wider_values_are_rounded_and_what_rounds_to_0_is_silent():
    codes = SparseCodes.from_dense(np.array([[1 / 3, 1e-60]]))
    assert codes.dense().tolist() == [[float(np.float32(1 / 3)), 0]]
    assert len(codes.value) == 1
    half = SparseCodes.from_dense(torch.tensor([[0.5, 0.0]], dtype=torch.bfloat16))
    assert half.dense().tolist() == [[0.5, 0]]


def test_a_file_gives_back_the_same_codes(tmp_path):
    codes = SparseCodes.from_dense(random_codes())
    codes.save(tmp_path / "codes.safetensors")
    again = SparseCodes.load(tmp_path / "codes.safetensors")
    for name in ("start", "index", "value"):
        ours, theirs = getattr(codes, name), getattr(again, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert again.n_latents == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop("value"), "expected index .int32., n_latents .int64., start"),
        (lambda held: held.update(value=held["value"].astype(np.float64)), "value .float64."),
        (lambda held: held.update(value=held["value"][:-1]), "rows and entries do not fit"),
        (lambda held: held.update(start=held["start"][::-1].copy()), "rows and entries do not fit"),
        (lambda held: held.update(start=held["start"] + 1), "rows and entries do not fit"),
        (lambda held: held.update(n_latents=np.array(3)), "expected latents below 3"),
        (lambda held: held.update(index=held["index"][::-1].copy()), "ascending in a row"),
        (lambda held: held.update(value=held["value"] * np.float32(np.nan)), "entry 0 is .* nan"),
        (lambda held: held.update(value=held["value"] * np.float32(0)), "finite and not 0"),
    ],
)
def test_a_damaged_file_gets_one_clear_error(tmp_path, change, message):
    path = tmp_path / "codes.safetensors"
    SparseCodes.from_dense(random_codes()).save(path)
    held = load_file(path)
    change(held)
    save_file(held, path)
    with pytest.raises(InputError, match=message):
        SparseCodes.load(path)


def test_a_file_that_is_not_there_or_of_another_kind_gets_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors cannot be read"):
        SparseCodes.load(tmp_path / "none.safetensors")
    (tmp_path / "text").write_text("not tensors at all")
    with pytest.raises(InputError, match="text cannot be read"):
        SparseCodes.load(tmp_path / "text")


CODES = SparseCodes.from_dense(random_codes())
ONE = torch.ones(1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SparseCodes.of(TopK(), ONE, 0, n_latents=2), "batch=0"),
        (lambda: SparseCodes.of(TopK(), ONE), "say how many latents"),
        (lambda: SparseCodes.of(TopK(), ONE[:0], n_latents=2), "at least one"),
        (lambda: SparseCodes.concatenate([]), "at least one"),
        (lambda: SparseCodes.concatenate([CODES, CODES.latents([1])]), r"\[1, 30\] latents"),
        (
            lambda: SparseCodes.from_dense(ONE * torch.tensor([1, np.nan])),
            "row 0 has nan at latent 1",
        ),
        (lambda: SparseCodes.from_dense(np.array([[0.0], [1e60]])), "row 1 has 1e.60 at latent 0"),
        (
            lambda: SparseCodes.from_topk(ONE, torch.tensor([[0, 4]]), 4),
            "latent 4; expected 0 to 3",
        ),
        (lambda: SparseCodes.from_topk(ONE, torch.tensor([[0, -1]]), 4), "latent -1"),
        (lambda: SparseCodes.from_topk(ONE, torch.tensor([[2, 2]]), 4), "latent 2 twice"),
        (lambda: SparseCodes.from_tokens([[0], [7]], 5), "row 1 has token ids 7 to 7"),
        (lambda: SparseCodes.from_tokens([[-1]], 5), "token ids -1"),
        (lambda: SparseCodes.from_tokens([], 5), "no rows of tokens"),
        (lambda: CODES.rows(np.ones(4, dtype=bool)), r"mask of shape \(4,\) for 50 rows"),
        (lambda: CODES.rows([50]), "no row 50; expected 0 to 49"),
        (lambda: CODES.latents([-1]), "no latent -1; expected 0 to 29"),
        (lambda: CODES.latents(np.array([0.5])), "float64; expected"),
        (lambda: CODES.scaled(np.zeros(30)), "factor 0.0 for latent 0"),
        (lambda: CODES.rows([]).frequency, "no rows"),
        (lambda: CODES.rows([]).l0, "no rows"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
