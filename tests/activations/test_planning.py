"""Shards cover all rows in order and bound the memory; what is picked is what a loop would pick."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.activations import planning
from interp.activations.planning import shard_rows, worst_first
from interp.activations.selection import Selection
from interp.prompts import Encoded


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 9), st.integers(1, 90))
def test_shards_are_contiguous_and_within_both_limits(row_bytes, most_rows, most_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "ROWS_A_SHARD", most_rows)
        patch.setattr(planning, "BYTES_A_SHARD", most_bytes)
        shards = shard_rows(row_bytes)
    assert [row for first, behind in shards for row in range(first, behind)] == list(
        range(len(row_bytes))
    )
    for first, behind in shards:
        assert behind - first <= most_rows
        assert sum(row_bytes[first:behind]) <= most_bytes or behind - first == 1
    # None could have taken the first row of the next one.
    for first, behind in shards[:-1]:
        full = behind - first == most_rows or sum(row_bytes[first : behind + 1]) > most_bytes
        assert full


@given(st.lists(st.integers(1, 50), min_size=4, max_size=20))
def test_the_shard_with_the_longest_prompt_comes_first(lengths):
    rows = [(0, 2), (2, 3), (3, len(lengths))]
    order = worst_first([0, 1, 2], rows, lengths)
    assert sorted(order) == [0, 1, 2]
    assert max(lengths) in lengths[slice(*rows[order[0]])]


@st.composite
def batches(draw):
    """A padded batch whose padding is NaN, and spans of its prompts."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    spans = [
        [sorted(draw(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)))) for n in lengths]
        for _ in range(draw(st.integers(1, 3)))
    ]
    width, left = max(lengths) + draw(st.integers(0, 2)), draw(st.booleans())
    real_BT = torch.zeros(len(lengths), width, dtype=torch.long)
    for row, length in enumerate(lengths):
        first = width - length if left else 0
        real_BT[row, first : first + length] = 1
    acts_BTD = torch.randn(len(lengths), width, 3, generator=torch.Generator().manual_seed(0))
    acts_BTD[real_BT == 0] = float("nan")
    spans_PB2 = torch.tensor(spans) + torch.tensor([0, 1])
    return Encoded(real_BT, real_BT, real_BT, torch.tensor(lengths)), acts_BTD, spans_PB2


@given(batches())
def test_a_span_is_the_mean_of_its_tokens_and_padding_is_never_touched(batch):
    encoded, acts_BTD, spans_PB2 = batch
    selection = Selection.of(encoded, spans_PB2)
    picked_PBD = selection.pick(acts_BTD, torch.float32)
    for row in range(len(acts_BTD)):
        tokens_TD = acts_BTD[row][encoded.attention_mask_BT[row].bool()]
        for position, (start, stop) in enumerate(spans_PB2[:, row].tolist()):
            expected_D = tokens_TD[start:stop].mean(0)
            assert torch.allclose(picked_PBD[position, row], expected_D, atol=1e-6)
            if stop == start + 1:
                assert torch.equal(picked_PBD[position, row], expected_D)
    every_ND = selection.every(acts_BTD, torch.float32)
    assert len(every_ND) == int(encoded.lengths_B.sum())
    assert every_ND.isfinite().all()


def test_means_are_taken_in_float32_and_rounded_once():
    encoded = Encoded(*[torch.ones(1, 3, dtype=torch.long)] * 3, torch.tensor([3]))
    acts_BTD = torch.tensor([256.0, 1.0, 1.0], dtype=torch.bfloat16)[None, :, None]
    selection = Selection.of(encoded, torch.tensor([[[0, 3]]]))
    found = selection.pick(acts_BTD, torch.bfloat16)
    assert found.item() == torch.tensor(258 / 3).bfloat16().item()  # bfloat16 sums would give 85.5
    assert torch.tensor(256.0).bfloat16() + 1 == 256
