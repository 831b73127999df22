"""Every row of every batch carries the number of its token, so that a stream can be read back."""

from __future__ import annotations

import contextlib
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.activations import Site
from interp.errors import InputError
from interp.features.batches import Batches
from tests.features.in_memory import MLP, POST, captured

D = 3


def numbered(lengths):
    """Row n of one site is (n, n, n), of the other (-n, -n, -n)."""
    acts_ND = np.repeat(np.arange(sum(lengths), dtype=np.float32)[:, None], D, axis=1)
    return captured({POST: acts_ND, MLP: -acts_ND}, lengths)


def stream(batches, n, step=0):
    """Numbers of the tokens in some batches, [batches, rows]; at other sites they are the same."""
    found = list(islice(batches.from_step(step), n))
    assert all(
        torch.equal(rows[site], -rows[POST]) for rows in found for site in rows if site != POST
    )
    assert all(set(rows) == set(batches.sites) for rows in found)
    return np.array([rows[POST][:, 0].int().tolist() for rows in found])


def tokens_of(lengths, prompts, skip):
    starts = np.cumsum([0, *lengths])
    return {n for p in prompts for n in range(starts[p] + skip, starts[p + 1])}


@st.composite
def cases(draw):
    lengths = draw(st.lists(st.integers(1, 7), min_size=6, max_size=20))
    skip = draw(st.integers(0, 2))
    sizes = np.clip(np.array(lengths) - skip, 0, None)
    batch = draw(st.integers(1, 5))
    options = {
        "batch": batch,
        "skip_first": skip,
        "seed": draw(st.integers(0, 99)),
        "held_back": draw(st.sampled_from([0.2, 0.4])),
        "buffer": batch + int(sizes.max()) + draw(st.sampled_from([0, 3, 11, 1000])),
    }
    return lengths, options


def made(lengths, options, sites=(POST, MLP), position="all"):
    return Batches(numbered(lengths), sites, position, **options)


def made_if_enough(lengths, options):
    with contextlib.suppress(InputError):
        return made(lengths, options)


@given(cases(), st.integers(0, 40))
def test_from_any_step_the_stream_is_the_one_from_the_start_advanced(case, step):
    lengths, options = case
    if (batches := made_if_enough(*case)) is None:
        return
    expected = stream(batches, step + 5)[step:]
    np.testing.assert_array_equal(stream(batches, 5, step), expected)
    # Neither what was read before nor the object matters.
    np.testing.assert_array_equal(stream(made(lengths, options), 5, step), expected)


@given(cases())
def test_a_batch_has_only_training_rows_and_an_epoch_none_twice(case):
    lengths, options = case
    if (batches := made_if_enough(*case)) is None:
        return
    kept = set(batches.held_prompts.tolist())
    assert len(kept) == round(options["held_back"] * len(lengths))
    allowed = tokens_of(lengths, set(range(len(lengths))) - kept, options["skip_first"])
    assert batches.n_rows == len(allowed)
    # Each buffer leaves less than a batch over, and only the last has room for another prompt.
    least = options["buffer"] - max(lengths) + options["skip_first"] + 1
    n_buffers = -(-len(allowed) // max(least, 1))
    n_sure = (len(allowed) - n_buffers * (options["batch"] - 1)) // options["batch"]
    first = stream(batches, max(n_sure, 1)).ravel()
    assert len(set(first.tolist())) == len(first)
    assert set(stream(batches, 60).ravel().tolist()) <= allowed
    held = batches.held()
    assert set(held[POST][:, 0].int().tolist()) <= tokens_of(lengths, kept, options["skip_first"])


def test_where_buffers_divide_into_batches_every_epoch_is_every_training_row_once():
    # 18 prompts of 4 tokens are trained on, 3 of them fill a buffer, which is 2 batches of 6.
    lengths, skip = [5] * 20, 1
    batches = made(
        lengths, {"batch": 6, "seed": 3, "skip_first": skip, "held_back": 0.1, "buffer": 12}
    )
    train = set(range(20)) - set(batches.held_prompts.tolist())
    allowed = sorted(tokens_of(lengths, train, skip))
    epochs = stream(batches, 3 * 12).reshape(3, -1)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == allowed
        # A buffer holds its prompts whole and no other; their rows are shuffled.
        for buffer in epoch.reshape(-1, 12):
            assert len(set((buffer // 5).tolist())) == 3
            assert buffer.tolist() != sorted(buffer.tolist())
    orders = [[frozenset((part // 5).tolist()) for part in e.reshape(-1, 12)] for e in epochs]
    assert all(before != after for before, after in pairwise(orders))


def test_no_more_than_a_buffer_is_read_at_once():
    acts, read = numbered([4] * 30), []
    batches = Batches(acts, [POST], "all", batch=5, seed=0, skip_first=0, buffer=17)
    acts.of, of = lambda site, row: read.append(row) or of(site, row), acts.of
    next(batches.from_step(0))
    assert len(read) == 4  # of 4 tokens each: a fifth prompt would be more than 17
    assert len(batches.first()[POST]) == 16


def test_what_is_held_back_is_whole_and_at_most_a_buffer():
    lengths = [3, 4, 5, 6] * 5
    options = {"batch": 4, "seed": 1, "skip_first": 1, "held_back": 0.5}
    whole = made(lengths, options)
    expected = tokens_of(lengths, whole.held_prompts.tolist(), 1)
    assert whole.held()[POST][:, 0].int().tolist() == sorted(expected)
    assert torch.equal(whole.held()[MLP], -whole.held()[POST])
    small = made(lengths, options | {"buffer": 10})
    np.testing.assert_array_equal(small.held_prompts, whole.held_prompts)
    n_small = len(small.held()[POST])
    assert 10 - 5 < n_small <= 10
    assert torch.equal(small.held()[POST], whole.held()[POST][:n_small])


def test_the_order_and_what_is_held_back_are_the_seeds():
    lengths, options = [6] * 40, {"batch": 8, "skip_first": 1}
    one, again, other = (made(lengths, options | {"seed": seed}) for seed in (1, 1, 2))
    np.testing.assert_array_equal(stream(one, 30), stream(again, 30))
    np.testing.assert_array_equal(one.held_prompts, again.held_prompts)
    assert not np.array_equal(stream(one, 30), stream(other, 30))
    assert not np.array_equal(one.held_prompts, other.held_prompts)


def test_the_order_is_the_same_whichever_sites_are_read():
    lengths, options = [6] * 20, {"batch": 8, "seed": 0}
    alone = made(lengths, options, sites=[POST])
    np.testing.assert_array_equal(stream(alone, 20), stream(made(lengths, options), 20))


def test_at_a_position_of_one_token_a_prompt_is_a_row_and_none_is_skipped():
    lengths = [1, 2, 3, 4, 5] * 4
    last = np.cumsum(lengths) - 1
    batches = made(
        lengths, {"batch": 3, "seed": 0, "skip_first": 3, "held_back": 0.1}, position="last"
    )
    train = np.delete(last, batches.held_prompts)
    assert batches.n_rows == 18
    for epoch in stream(batches, 12).reshape(2, -1):
        assert sorted(epoch.tolist()) == train.tolist()
    assert batches.held()[POST][:, 0].int().tolist() == last[batches.held_prompts].tolist()
    assert batches.held()[MLP].shape == (2, D)


def test_the_digest_is_of_rows_and_lengths():
    options = {"batch": 2, "seed": 0, "held_back": 0.3}
    one, longer = made([4] * 10, options), made([4] * 9 + [5], options)
    assert one.digest(POST) == made([4] * 10, options).digest(POST)
    assert len({one.digest(POST), one.digest(MLP), longer.digest(POST)}) == 3
    assert one.digest(POST) == made([4] * 10, options, sites=[POST]).digest(POST)


@pytest.mark.parametrize(
    ("position", "value"), [("all", np.nan), ("all", np.inf), ("last", np.nan)]
)
@pytest.mark.parametrize("prompt", [0, 3, 7])
def test_what_is_not_finite_is_refused_with_its_site_and_prompt(position, value, prompt):
    acts_ND = np.ones((40, D), np.float32)
    bad_ND = acts_ND.copy()
    bad_ND[prompt * 5 + 4, 1] = value
    acts = captured({POST: acts_ND, MLP: bad_ND}, [5] * 8)
    batches = Batches(acts, [POST, MLP], position, batch=2, seed=0, held_back=0.2)
    with pytest.raises(InputError, match=rf"NaN or Inf at mlp_out\.0, in prompt {prompt};"):
        [batches.held(), batches.first()]
    alone = Batches(acts, [POST], position, batch=2, seed=0, held_back=0.2)
    assert alone.first()[POST].isfinite().all()


def test_what_is_skipped_may_be_anything():
    acts_ND = np.ones((40, D), np.float32)
    acts_ND[::5] = np.nan
    batches = Batches(
        captured({POST: acts_ND}, [5] * 8),
        [POST],
        "all",
        batch=2,
        seed=0,
        skip_first=1,
        held_back=0.2,
    )
    assert (batches.first()[POST] == 1).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 73}, "72 rows to train on and 8 held back of 10 prompts; expected at least a"),
        ({"held_back": 0.04}, "80 rows to train on and 0 held back of 10 prompts"),
        ({"held_back": 1.0}, "0 rows to train on and 80 held back"),
        ({"skip_first": 9}, "0 rows to train on and 0 held back"),
        ({"buffer": 11}, "a buffer of 11 rows; expected at least 12, a batch and the longest"),
    ],
)
def test_bad_input_gets_one_clear_error(change, message):
    options = {"batch": 4, "seed": 0, "skip_first": 1, "held_back": 0.1}
    made([9] * 10, options | {"buffer": 12})
    with pytest.raises(InputError, match=message):
        made([9] * 10, options | change)


@pytest.mark.parametrize(
    ("site", "position", "message"),
    [
        (Site("attn_out", 1), "all", r"nothing captured at attn_out\.1; there are resid_post\.2"),
        (POST, "first", "nothing captured at 'first'; there are all, last"),
    ],
)
def test_what_was_not_captured_is_refused(site, position, message):
    with pytest.raises(InputError, match=message):
        Batches(numbered([4] * 20), [site], position, batch=4, seed=0).first()
