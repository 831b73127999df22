"""Capture is exact, stops where nothing more is wanted, and leaves the model as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.activations import Site, capture
from interp.activations.hooks import read_batch
from interp.errors import InputError
from interp.prompts import PromptSet, encode
from tests.activations.asked import (
    ALL_SITES,
    POSITIONS,
    alone,
    broken,
    index_of,
    some_prompts,
    words_of,
)
from tests.checkpoints.tiny import D_MODEL, N_CONTEXT, N_LAYERS

# Float32 sums in another order. Measured on these models: at most 1e-6 of the largest activation.
NOISE = 1e-5


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, as a share of the largest activation."""
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("token_budget", [1, 64, 4096])
def test_batched_capture_is_one_forward_a_prompt_at_every_layer(loaded, prompts, token_budget):
    acts = capture(loaded, prompts, ALL_SITES, POSITIONS, token_budget=token_budget)
    single = [alone(loaded, words_of(prompts, row)) for row in range(len(prompts))]
    for site in ALL_SITES:
        for position in POSITIONS:
            expected_ND = torch.stack(
                [single[row][site][index_of(prompts, row, position)] for row in range(len(prompts))]
            )
            found_ND = acts.read(site, position)
            assert found_ND.shape == (len(prompts), D_MODEL)
            assert found_ND.dtype == torch.float32
            assert apart(found_ND, expected_ND) < NOISE, f"{site} {position}"


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_token_of_a_padded_batch_is_as_alone(loaded, prompts, side):
    words = [words_of(prompts, row) for row in range(8)]
    encoded = encode([" ".join(row) for row in words], loaded.tokenizer, side=side)
    shortest = min(map(len, words))
    # Counted from both ends, so that short and long rows are read at their first and last tokens.
    index_PB = torch.stack(
        [torch.full((8,), place) for place in range(shortest)]
        + [encoded.lengths_B - 1 - place for place in range(shortest)]
    )
    found_SPBD = read_batch(loaded, encoded, ALL_SITES, index_PB)
    for row, row_words in enumerate(words):
        single = alone(loaded, row_words)
        for number, site in enumerate(ALL_SITES):
            expected_PD = single[site][index_PB[:, row]]
            assert apart(found_SPBD[number, :, row], expected_PD) < NOISE, f"{site} row {row}"


def test_rows_stand_in_the_order_they_were_asked_in(loaded, prompts):
    site = Site("resid_post", 2)
    before = capture(loaded, prompts, [site], ["last_prompt"]).read(site, "last_prompt")
    order = np.random.default_rng(0).permutation(len(prompts))
    shuffled = PromptSet(prompts.frame.iloc[order].reset_index(drop=True))
    after = capture(loaded, shuffled, [site], ["last_prompt"], token_budget=50)
    assert apart(after.read(site, "last_prompt"), before[order]) < NOISE


@pytest.mark.parametrize("deepest", ALL_SITES, ids=str)
def test_no_block_above_the_deepest_site_runs_and_never_the_norm_or_the_head(load, deepest):
    loaded, ran = load("qwen2_sliding"), Counter()
    for layer, block in enumerate(loaded.blocks):
        block.register_forward_hook(lambda *_, layer=layer: ran.update([layer]))
    for part in (loaded.model.base_model.norm, loaded.model.lm_head):
        part.register_forward_hook(lambda *_: ran.update(["above"]))
    sites = {deepest, Site("resid_pre", 0)}
    capture(loaded, some_prompts(5), list(sites), ["last_prompt"], token_budget=4096)
    n_blocks = deepest.layer + (deepest.kind == "resid_post")
    assert ran == dict.fromkeys(range(n_blocks), 1)


def test_the_model_is_left_as_it_was(loaded, prompts):
    ids = torch.tensor([[3, 12, 20, 7]])
    with torch.no_grad():
        before = loaded.model(ids).logits
    capture(loaded, prompts, [Site("resid_pre", 1), Site("resid_post", 0)], ["last_prompt"])
    with broken(loaded, "w5"), pytest.raises(InputError, match="NaN or infinite"):
        capture(loaded, prompts, ALL_SITES, ["last_prompt"])
    for module in loaded.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    with torch.no_grad():
        assert torch.equal(loaded.model(ids).logits, before)


def test_hooks_that_were_there_before_are_seen_and_stay(load, prompts):
    loaded, site = load("llama"), Site("resid_post", 1)
    plain = capture(loaded, prompts, [site], ["last_prompt"]).read(site, "last_prompt")
    handle = loaded.blocks[1].register_forward_hook(lambda _, __, out: out + 1.0)
    steered = capture(loaded, prompts, [site], ["last_prompt"]).read(site, "last_prompt")
    assert torch.allclose(steered, plain + 1.0, atol=1e-5)
    assert len(loaded.blocks[1]._forward_hooks) == 1
    handle.remove()


def test_half_precision_is_read_without_loss(load, prompts):
    loaded, site = load("llama"), Site("resid_post", 0)
    half = loaded.checkpoint.load(dtype="bfloat16")
    found = capture(half, prompts, [site], ["last_prompt"]).read(site, "last_prompt")
    assert found.dtype == torch.float32
    assert torch.equal(found, found.bfloat16().float())
    full = capture(loaded, prompts, [site], ["last_prompt"]).read(site, "last_prompt")
    assert 0 < apart(found, full) < 0.05


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_activation_is_reported_with_its_prompt(load, value):
    loaded, site = load("llama"), Site("resid_post", 1)
    fine = {"text": "w1 w2 w3", "should_abstain": True}
    rows = [{"prompt_id": f"p{i}", **fine} for i in range(4)]
    rows[2] |= {"text": "w1 w5 w3"}
    prompts = PromptSet.from_records(rows)
    with broken(loaded, "w5", value):
        with pytest.raises(InputError, match=r"prompt p2: NaN.* at resid_post\.1, 'last_prompt'"):
            capture(loaded, prompts, [site], ["last_prompt"])
        others = prompts.where(prompts.frame["prompt_id"].to_numpy() != "p2")
        assert capture(loaded, others, [site], ["last_prompt"]).read(site, "last_prompt").any()


def test_a_prompt_beyond_the_context_is_named(loaded):
    texts = ["w1 " * N_CONTEXT, "w1 " * (N_CONTEXT + 1)]
    rows = [{"prompt_id": f"p{i}", "text": t, "should_abstain": True} for i, t in enumerate(texts)]
    prompts = PromptSet.from_records(rows)
    site = Site("resid_post", 0)
    fits = prompts.where(prompt_id="p0")
    assert len(capture(loaded, fits, [site], ["last_prompt"]).read(site, "last_prompt")) == 1
    with pytest.raises(InputError, match=r"prompt p1: 65 tokens, .* at most 64"):
        capture(loaded, prompts, [site], ["last_prompt"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": PromptSet.from_records([])}, "no prompts"),
        ({"sites": []}, "no sites"),
        ({"positions": []}, "no positions"),
        ({"sites": [Site("resid_pre", 0)] * 2}, "site 'resid_pre.0' is asked for twice"),
        ({"positions": ["last_prompt"] * 2}, "position 'last_prompt' is asked for twice"),
        ({"sites": [Site("resid_post", N_LAYERS)]}, "resid_post.4: llama has layers 0 to 3"),
        ({"positions": ["entity_lsat"]}, r"no such rule.*'entity_last'"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(load, prompts, change, message):
    request = {"prompts": prompts, "sites": [Site("resid_pre", 0)], "positions": ["last_prompt"]}
    with pytest.raises(InputError, match=message):
        capture(load("llama"), **request | change)


def test_what_was_not_captured_cannot_be_read(load, prompts):
    acts = capture(load("llama"), prompts, [Site("resid_pre", 0)], ["last_prompt"])
    with pytest.raises(
        InputError, match=r"nothing captured at resid_post.0; there are resid_pre.0"
    ):
        acts.read(Site("resid_post", 0), "last_prompt")
    with pytest.raises(InputError, match="nothing captured at 'entity_last'"):
        acts.read(Site("resid_pre", 0), "entity_last")


def test_an_entity_that_is_not_there_is_named(load, prompts):
    frame = prompts.frame.copy()
    frame.at[3, "entity"] = "w99"
    with pytest.raises(InputError, match="prompt p3: its entity 'w99'"):
        capture(load("llama"), replace(prompts, frame=frame), ALL_SITES, POSITIONS)
