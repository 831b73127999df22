"""Edits land on the declared positions and nowhere else, however the model is run."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from interp.activations import Site
from interp.behavior import continuation_logprobs
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions import Ablate, Add, Intervention, intervene, position_mask
from interp.prompts import Encoded, PromptSet
from tests.interventions.tiny import (
    ARCHITECTURES,
    N_LAYERS,
    Batch,
    Recorder,
    logits,
    random_batch,
    some_positions,
    vector,
)

N_NEW = 5
SIDES = ("left", "right")


def generate(loaded: LoadedModel, batch: Batch, **options: object) -> Tensor:
    return loaded.model.generate(
        input_ids=batch.ids_BT,
        attention_mask=batch.mask_BT,
        max_new_tokens=N_NEW,
        min_new_tokens=N_NEW,
        do_sample=False,
        **options,
    )


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("layer", [0, 1, N_LAYERS - 1])
def test_a_forward_changes_the_residual_at_the_mask_and_nowhere_else(loaded, side, layer):
    batch = random_batch(side)
    mask_BT = some_positions(batch)
    with ExitStack() as stack:
        recorder = Recorder(loaded, layer, stack)
        edits = [Add(Site("resid_post", layer), vector(), 1.0)]
        intervention = stack.enter_context(intervene(loaded, edits, mask_BT))
        recorder.edit_is_on()
        logits(loaded, batch)
    assert torch.equal(recorder.changed()[0], mask_BT)
    assert torch.equal(intervention.hits, mask_BT)


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("layer", [0, N_LAYERS - 1])
def test_cached_generation_changes_each_declared_column_once(loaded, generated, layer):
    batch = random_batch("left")
    mask_BT = some_positions(batch)
    with ExitStack() as stack:
        recorder = Recorder(loaded, layer, stack)
        edits = [Add(Site("resid_post", layer), vector(), 1.0)]
        intervention = stack.enter_context(intervene(loaded, edits, mask_BT, generated=generated))
        recorder.edit_is_on()
        generate(loaded, batch)
    changed_BT = torch.cat(recorder.changed(), dim=1)
    # Every column but the last generated one, which is never fed back, passes exactly once.
    assert changed_BT.shape[1] == batch.ids_BT.shape[1] + N_NEW - 1
    n_prompt = mask_BT.shape[1]
    assert torch.equal(changed_BT[:, :n_prompt], mask_BT)
    assert bool((changed_BT[:, n_prompt:] == generated).all())
    expected = changed_BT if generated else mask_BT
    assert torch.equal(intervention.hits, expected)


@pytest.mark.parametrize("generated", [False, True])
def test_uncached_generation_changes_the_same_columns_in_every_forward(loaded, generated):
    batch = random_batch("left")
    mask_BT = some_positions(batch)
    with ExitStack() as stack:
        recorder = Recorder(loaded, 1, stack)
        edits = [Add(Site("resid_post", 1), vector(), 1.0)]
        intervention = stack.enter_context(intervene(loaded, edits, mask_BT, generated=generated))
        recorder.edit_is_on()
        generate(loaded, batch, use_cache=False)
    n_prompt = mask_BT.shape[1]
    assert len(recorder.changed()) == N_NEW
    for step, changed_BT in enumerate(recorder.changed()):
        assert changed_BT.shape[1] == n_prompt + step
        assert torch.equal(changed_BT[:, :n_prompt], mask_BT)
        assert bool((changed_BT[:, n_prompt:] == generated).all())
    expected = recorder.changed()[-1] if generated else mask_BT
    assert torch.equal(intervention.hits, expected)


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("kind", ["resid_pre", "resid_post"])
@pytest.mark.parametrize("options", [{"cache_implementation": "static"}, {"prefill_chunk_size": 3}])
def test_every_way_of_generating_gives_the_tokens_of_generating_without_a_cache(
    loaded, kind, generated, options
):
    batch = random_batch("left")
    mask_BT = some_positions(batch)
    edits = [Add(Site(kind, 1), vector(), 1.0), Ablate(Site(kind, 2), vector(4))]

    def tokens(**how: object) -> Tensor:
        with intervene(loaded, edits, mask_BT, generated=generated):
            return generate(loaded, batch, **how)

    uncached = tokens(use_cache=False)
    assert torch.equal(tokens(), uncached)
    assert torch.equal(tokens(**options), uncached)
    # The theorem is empty if steering changes no token.
    assert not torch.equal(generate(loaded, batch), uncached)


def test_steered_scores_in_a_batch_are_those_of_one_prompt_at_a_time(loaded):
    words = ["w3 w4 w5 w6 w7", "w8 w9", "w10 w11 w12"]
    prompts = PromptSet.from_records(
        [{"prompt_id": text, "text": text, "should_abstain": True} for text in words]
    )
    index_N = torch.tensor([2, 0, 2])
    edits = [Add(Site("resid_post", 1), vector(), 1.0)]

    def steer(encoded: Encoded, rows: list[int]) -> AbstractContextManager[Intervention]:
        return intervene(loaded, edits, position_mask(encoded, index_N[rows], "left"))

    scores = continuation_logprobs(loaded, prompts, ["w20 w21", "w22"], edits=steer)
    for row, text in enumerate(words):
        ids = [int(word[1:]) for word in text.split()]
        alone_BT = torch.arange(len(ids))[None] == index_N[row]
        for column, continuation in enumerate([[20, 21], [22]]):
            with torch.no_grad(), intervene(loaded, edits, alone_BT):
                logprobs_TV = loaded.model(torch.tensor([ids + continuation])).logits[0]
            logprobs_TV = logprobs_TV.log_softmax(-1)
            expected = sum(
                float(logprobs_TV[len(ids) + place - 1, token])
                for place, token in enumerate(continuation)
            )
            assert float(scores[row, column]) == pytest.approx(expected, abs=1e-4)
    assert not torch.allclose(
        scores, continuation_logprobs(loaded, prompts, ["w20 w21", "w22"]), atol=0.1
    )


def test_repeated_prompts_take_a_repeated_mask(load):
    loaded, batch = load("qwen2_sliding"), random_batch("left")
    mask_BT = some_positions(batch)
    edits = [Add(Site("resid_post", 1), vector(), 1.0)]
    with intervene(loaded, edits, mask_BT.repeat_interleave(2, 0)):
        repeated = loaded.model.generate(
            input_ids=batch.ids_BT,
            attention_mask=batch.mask_BT,
            max_new_tokens=1,
            do_sample=True,
            num_return_sequences=2,
            output_logits=True,
            return_dict_in_generate=True,
        )
    with intervene(loaded, edits, mask_BT):
        once = logits(loaded, batch)[:, -1]
    assert torch.allclose(repeated.logits[0], once.repeat_interleave(2, 0), atol=1e-5)


def test_a_cached_prefix_counts_its_columns_also_where_a_window_dropped_them(load):
    loaded, batch = load("qwen2_sliding"), random_batch("left", (9, 6))
    mask_BT = some_positions(batch)
    mask_BT[:, -1] = True
    edits = [Add(Site("resid_post", 0), vector(), 1.0)]
    with intervene(loaded, edits, mask_BT), torch.no_grad():
        whole = loaded.model(**batch.inputs).logits
    with intervene(loaded, edits, mask_BT), torch.no_grad():
        position_ids = batch.inputs["position_ids"]
        first = loaded.model(
            input_ids=batch.ids_BT[:, :5],
            attention_mask=batch.mask_BT[:, :5],
            position_ids=position_ids[:, :5],
            use_cache=True,
        )
        rest = loaded.model(
            input_ids=batch.ids_BT[:, 5:],
            attention_mask=batch.mask_BT,
            position_ids=position_ids[:, 5:],
            past_key_values=first.past_key_values,
        )
    in_two = torch.cat([first.logits, rest.logits], dim=1)
    assert torch.allclose(in_two[batch.real_BT], whole[batch.real_BT], atol=1e-4)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_steering_a_row_leaves_other_rows_and_earlier_tokens_alone(load, data):
    loaded = load(data.draw(st.sampled_from(ARCHITECTURES)))
    side = data.draw(st.sampled_from(SIDES))
    lengths = tuple(data.draw(st.lists(st.integers(1, 8), min_size=2, max_size=4)))
    batch = random_batch(side, lengths, seed=data.draw(st.integers(0, 99)))
    flags = st.lists(st.booleans(), min_size=batch.ids_BT.numel(), max_size=batch.ids_BT.numel())
    mask_BT = torch.tensor(data.draw(flags)).reshape(batch.ids_BT.shape) & batch.real_BT
    site = Site(
        data.draw(st.sampled_from(["resid_pre", "resid_post"])),
        data.draw(st.integers(0, N_LAYERS - 1)),
    )
    with intervene(loaded, [Add(site, vector(), 1.0)], mask_BT) as intervention:
        steered = logits(loaded, batch)
    plain = logits(loaded, batch)
    # A token can only have changed when it or an earlier one of its row was marked.
    reached_BT = mask_BT.cumsum(1).bool()
    untouched_BT = batch.real_BT & ~reached_BT
    assert torch.equal(intervention.hits, mask_BT)
    assert torch.equal(steered[untouched_BT], plain[untouched_BT])
    assert bool((steered[mask_BT] != plain[mask_BT]).any(-1).all())


def test_the_model_is_as_before_after_the_context_and_after_an_exception(loaded):
    batch = random_batch("left")
    plain = logits(loaded, batch)
    edits = [Add(Site("resid_post", 1), vector(), 1.0), Add(Site("resid_pre", 1), vector(), 1.0)]
    with intervene(loaded, edits, batch.real_BT):
        assert not torch.equal(logits(loaded, batch), plain)
    assert torch.equal(logits(loaded, batch), plain)
    with (
        pytest.raises(RuntimeError, match="stop"),
        intervene(loaded, edits, batch.real_BT),
    ):
        raise RuntimeError("stop")
    assert torch.equal(logits(loaded, batch), plain)
    modules = [loaded.model.base_model, *loaded.blocks]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_a_mask_that_does_not_fit_is_refused(load):
    an_add = Add(Site("resid_post", 1), vector(), 1.0)
    loaded, batch = load("llama"), random_batch("left")
    with (
        pytest.raises(InputError, match=r"expected torch.bool"),
        intervene(loaded, [an_add], batch.mask_BT),
    ):
        pass
    with (
        pytest.raises(InputError, match="3 rows under a mask of 2"),
        intervene(loaded, [an_add], batch.real_BT[:2]),
    ):
        logits(loaded, batch)
    with (
        pytest.raises(InputError, match="row 1, column 0 is marked but padding"),
        intervene(loaded, [an_add], torch.ones_like(batch.real_BT)),
    ):
        logits(loaded, batch)
    wide_BT = torch.nn.functional.pad(batch.real_BT, (0, 1), value=True)
    with (
        pytest.raises(InputError, match="row 0, column 7 is marked and no forward held it"),
        intervene(loaded, [an_add], wide_BT),
    ):
        logits(loaded, batch)
