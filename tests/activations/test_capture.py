"""Capture is exact, stops where nothing more is wanted, and leaves the model as it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from interp.activations import Site, capture
from interp.activations.backends import open_backend
from interp.errors import InputError
from interp.prompts import PromptSet, encode
from tests.activations.asked import (
    ALL_SITES,
    POSITIONS,
    alone,
    broken,
    index_of,
    parts_alone,
    some_prompts,
    words_of,
)
from tests.checkpoints.tiny import D_MODEL, N_CONTEXT, N_LAYERS

# The promise for float32, as a share of the largest activation of the layer's residual stream.
NOISE = 2e-5


def apart(found: torch.Tensor, expected: torch.Tensor, scale: torch.Tensor | None = None) -> float:
    """Largest difference, as a share of the largest activation (of the scale)."""
    return float(
        (found - expected).abs().max() / (expected if scale is None else scale).abs().max()
    )


def test_batched_capture_is_one_forward_a_prompt_at_every_layer(loaded, prompts):
    single = [alone(loaded, words_of(prompts, row)) for row in range(len(prompts))]
    for token_budget in (1, 64, 4096):
        acts = capture(loaded, prompts, ALL_SITES, POSITIONS, token_budget=token_budget)
        for site in ALL_SITES:
            for position in POSITIONS:
                expected_ND = torch.stack(
                    [
                        single[row][site][index_of(prompts, row, position)]
                        for row in range(len(prompts))
                    ]
                )
                found_ND = acts.read(site, position)
                assert found_ND.shape == (len(prompts), D_MODEL)
                assert found_ND.dtype == torch.float32
                assert apart(found_ND, expected_ND) < NOISE, f"{site} {position}"


def test_what_attention_and_mlp_add_is_read_at_every_token(loaded):
    prompts = some_prompts(5, seed=3)
    parts = [parts_alone(loaded, words_of(prompts, row)) for row in range(len(prompts))]
    stream = [alone(loaded, words_of(prompts, row)) for row in range(len(prompts))]
    acts = capture(loaded, prompts, list(parts[0]), ["all"], token_budget=64)
    assert {site.kind for site in parts[0]} >= {"attn_out", "mlp_out"}
    for site in parts[0]:
        for row in range(len(prompts)):
            scale = stream[row][Site("resid_post", site.layer)]
            assert apart(acts.of(site, row), parts[row][site], scale) < NOISE, f"{site} row {row}"


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_token_of_a_padded_batch_is_as_alone(loaded, prompts, side):
    words = [words_of(prompts, row) for row in range(8)]
    encoded = encode([" ".join(row) for row in words], loaded.tokenizer, side=side)
    found: dict[Site, torch.Tensor] = {}
    open_backend("hooks", loaded, ALL_SITES).run(encoded, found.__setitem__)
    for row, row_words in enumerate(words):
        real_T = encoded.attention_mask_BT[row].bool()
        for site, expected_TD in alone(loaded, row_words).items():
            assert apart(found[site][row, real_T], expected_TD) < NOISE, f"{site} row {row}"


def test_all_tokens_are_those_of_each_prompt_and_spans_their_means(load, prompts):
    loaded, site = load("gpt2"), Site("resid_post", 2)
    acts = capture(loaded, prompts, [site], ["all", "prompt_mean", "last_prompt"], token_budget=90)
    assert acts.read(site, "all").shape == (int(acts.offsets[-1]), D_MODEL)
    for row in range(len(prompts)):
        words = words_of(prompts, row)
        expected_TD = alone(loaded, words)[site]
        assert acts.token_ids(row) == loaded.tokenizer.convert_tokens_to_ids(words)
        assert apart(acts.of(site, row), expected_TD) < NOISE
        assert apart(acts.read(site, "prompt_mean")[row], expected_TD.mean(0)) < NOISE
        assert torch.equal(acts.read(site, "last_prompt")[row], acts.of(site, row)[-1])


def test_replies_are_read_behind_their_prompts(load, prompts):
    loaded, site = load("qwen3"), Site("resid_post", 3)
    prompts = prompts.where(np.arange(len(prompts)) < 6)
    replies = [f"w{row} w2 a : w{row + 3} w4" for row in range(6)]
    positions = ["last_prompt", "answer_first", "think_100%", "reply_mean"]
    acts = capture(loaded, prompts, [site], positions, replies=replies, chain_end="a :")
    for row in range(6):
        words = words_of(prompts, row)
        n_prompt = len(words)
        together_TD = alone(loaded, [*words, *replies[row].split()])[site]
        expected = {
            "last_prompt": together_TD[n_prompt - 1],
            "answer_first": together_TD[n_prompt + 4],
            "think_100%": together_TD[n_prompt + 1],
            "reply_mean": together_TD[n_prompt:].mean(0),
        }
        for position, expected_D in expected.items():
            assert apart(acts.read(site, position)[row], expected_D) < NOISE, position


def test_a_kind_alone_means_all_layers_or_those_given(load, prompts):
    loaded = load("llama")
    everywhere = capture(loaded, prompts, ["resid_post"], ["last_prompt"])
    assert everywhere.sites == tuple(Site("resid_post", layer) for layer in range(N_LAYERS))
    some = capture(loaded, prompts, ["attn_out", "resid_pre.0"], ["last_prompt"], layers=[2, 1])
    assert [str(site) for site in some.sites] == ["attn_out.2", "attn_out.1", "resid_pre.0"]


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
        ({"replies": ["w1"]}, "1 replies for 25 prompts"),
        ({"dtype": "float64"}, "dtype 'float64'; expected one of float32"),
        ({"backend": "hoks"}, "backend 'hoks': unknown.*'hooks'"),
        ({"remote": True}, "runs here only"),
        ({"sites": ["resid_pots"]}, "unknown kind 'resid_pots'.*'resid_post'"),
        ({"token_budget": 0}, "token budget: 0"),
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
