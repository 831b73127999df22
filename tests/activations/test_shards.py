"""Reading gives back what was put in, cut up as it may be, and touches nothing else."""

from __future__ import annotations

import io
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.activations import Activations, Site
from interp.activations.store import open_store, writing
from interp.errors import InputError
from tests.checkpoints.tiny import word_tokenizer

SITES = [Site("resid_post", 1), Site("attn_out", 0)]
POSITIONS = ("first", "all", "middle")
D = 3


class Planted:
    """Prompts of random tokens, with random activations that the dtype can hold."""

    def __init__(self, lengths, dtype, seed=0):
        rng = torch.Generator().manual_seed(seed)
        kind = getattr(torch, dtype)
        self.dtype, self.lengths = dtype, lengths
        self.ids = [torch.randint(3, 40, (n,), generator=rng).tolist() for n in lengths]
        self.acts = {
            site: [torch.randn(n, D, generator=rng).to(kind) for n in lengths] for site in SITES
        }
        self.spans = torch.tensor(
            [[(0, 1) for n in lengths], [(0, n) for n in lengths], [(n // 2, n) for n in lengths]]
        )

    def picked(self, site, position, row):
        start = int(self.spans[POSITIONS.index(position), row, 0])
        return self.acts[site][row][start]

    def shard(self, first, behind):
        rows = range(first, behind)
        arrays = {
            "tokens": np.concatenate([self.ids[row] for row in rows]).astype(np.int32),
            "lengths": np.array(self.lengths[first:behind]),
            "spans": self.spans[:, first:behind].numpy(),
        }
        for site in SITES:
            picked = [
                torch.stack([self.picked(site, position, row) for row in rows])
                for position in ("first", "middle")
            ]
            arrays[f"{site}"] = as_numpy(torch.stack(picked))
            arrays[f"{site}.all"] = as_numpy(torch.cat([self.acts[site][row] for row in rows]))
        return arrays

    def store(self, folder, cuts):
        edges = [0, *cuts, len(self.lengths)]
        rows = list(pairwise(edges))
        request = {
            "sites": [str(site) for site in SITES],
            "positions": list(POSITIONS),
            "dtype": self.dtype,
        }
        with writing(folder, request, rows, n_bytes=0) as writer:
            for number in reversed(writer.missing):
                writer.add(number, self.shard(*rows[number]))
        return open_store(folder)


def as_numpy(tensor):
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8).flatmap(
        lambda lengths: st.tuples(
            st.just(lengths), st.sets(st.integers(1, max(len(lengths) - 1, 1)), max_size=4)
        )
    ),
    st.sampled_from(["float32", "float16", "bfloat16"]),
)
def test_what_is_put_in_comes_out_to_the_bit_however_it_is_cut(lengths_and_cuts, dtype):
    lengths, cuts = lengths_and_cuts
    planted = Planted(lengths, dtype)
    cuts = [cut for cut in sorted(cuts) if cut < len(lengths)]
    memory = Activations(SITES, POSITIONS, [planted.shard(0, len(lengths))], dtype, {})
    with tempfile.TemporaryDirectory() as folder:
        stored = planted.store(Path(folder) / "acts", cuts)
        for acts in (memory, stored):
            assert len(acts) == len(lengths)
            assert acts.dtype == dtype
            assert acts.offsets.tolist() == [sum(lengths[:n]) for n in range(len(lengths) + 1)]
            for site in SITES:
                every = acts.read(site, "all")
                assert every.dtype == torch.float32
                assert torch.equal(every, torch.cat(planted.acts[site]).float())
                for position in ("first", "middle"):
                    expected = [planted.picked(site, position, n) for n in range(len(lengths))]
                    assert torch.equal(acts.read(site, position), torch.stack(expected).float())
                for row, expected in enumerate(planted.acts[site]):
                    assert torch.equal(acts.of(site, row), expected.float())
            for number, position in enumerate(POSITIONS):
                assert torch.equal(acts.spans(position), planted.spans[number])
            assert [acts.token_ids(row) for row in range(len(lengths))] == planted.ids


def test_a_layer_is_read_without_touching_any_other_file(tmp_path):
    planted = Planted([2, 1, 4, 3], "float32")
    stored = planted.store(tmp_path / "acts", [1, 3])
    wanted = stored.read(SITES[0], "middle")
    for path in tmp_path.rglob("*.npy"):
        if path.name != f"{SITES[0]}.npy":
            path.unlink()
    assert torch.equal(open_store(tmp_path / "acts").read(SITES[0], "middle"), wanted)
    with pytest.raises(InputError, match=rf"{SITES[0]}\.all\.npy: .* missing or damaged"):
        stored.read(SITES[0], "all")


def test_float32_of_one_shard_is_mapped_and_not_copied(tmp_path):
    acts = Planted([2, 1, 4], "float32").store(tmp_path / "acts", [])
    tensor = acts.read(SITES[0], "first")
    before = tensor.clone()
    mapped = set(re.findall(r"[\w.]+\.npy", Path("/proc/self/maps").read_text()))
    assert f"{SITES[0]}.npy" in mapped
    assert f"{SITES[1]}.npy" not in mapped
    tensor.zero_()
    assert torch.equal(acts.read(SITES[0], "first"), before)


def test_files_are_those_that_numpy_writes(tmp_path):
    planted = Planted([2, 1, 4], "float16")
    planted.store(tmp_path / "acts", [2])
    arrays = planted.shard(0, 2)
    folder = tmp_path / "acts" / "rows-0000000-0000001"
    assert {path.name for path in folder.iterdir()} == {"shard.json", *(f"{n}.npy" for n in arrays)}
    for name, array in arrays.items():
        expected = io.BytesIO()
        np.save(expected, np.ascontiguousarray(array))
        assert (folder / f"{name}.npy").read_bytes() == expected.getvalue()


def test_what_a_position_reads_can_be_seen_among_the_tokens():
    tokenizer = word_tokenizer(extra=("line\nbreak",))
    ids = tokenizer.convert_tokens_to_ids(["who", "is", "w1", "?", "a", "line\nbreak", "w2"])
    shard = {
        "tokens": np.array(ids, dtype=np.int32),
        "lengths": np.array([5, 2]),
        "spans": np.array([[[2, 3], [0, 1]], [[0, 2], [0, 2]], [[3, 5], [1, 2]]]),
    }
    acts = Activations(SITES, ["entity", "start", "end"], [shard], "float32", {})
    assert acts.show("entity", tokenizer) == "who is >>w1<< ? a\n>>line\\nbreak<< w2"
    assert acts.show("start", tokenizer) == ">>who is<< w1 ? a\n>>line\\nbreak w2<<"
    assert acts.show("end", tokenizer, n=1) == "who is w1 >>? a<<"


def test_what_is_not_there_is_named_with_what_is(tmp_path):
    acts = Planted([2, 1], "float32").store(tmp_path / "acts", [1])
    nowhere = Site("mlp_out", 0)
    for call in (lambda: acts.read(nowhere, "first"), lambda: acts.of(nowhere, 0)):
        with pytest.raises(InputError, match=r"at mlp_out\.0; there are resid_post\.1, attn_out"):
            call()
    for call in (lambda: acts.read(SITES[0], "last"), lambda: acts.spans("last")):
        with pytest.raises(InputError, match="captured at 'last'; there are first, all, middle"):
            call()
    for row in (-1, 2):
        with pytest.raises(InputError, match=rf"no row {row}; there are 2, from 0"):
            acts.of(SITES[0], row)
        with pytest.raises(InputError, match=rf"no row {row}; there are 2, from 0"):
            acts.token_ids(row)
    picked = {name: array for name, array in Planted([2], "float32").shard(0, 1).items()}
    without = Activations(SITES, ["first", "middle"], [picked], "float32", {})
    with pytest.raises(InputError, match="captured at 'all'; there are first, middle"):
        without.of(SITES[0], 0)
