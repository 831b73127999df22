"""A model whose blocks stand on several devices: everything runs, and as it does in one piece."""

from __future__ import annotations

import pytest
import torch
from accelerate import dispatch_model

from interp.activations import Site, capture
from interp.behavior import abstention_score, generate
from interp.behavior.generating import decoding, generation
from interp.errors import InputError
from interp.interventions import Ablate, Add, Patch, graft, intervene, relearn
from interp.interventions.kl_bound import _AddAlong
from interp.prompts import PromptSet, encode, render
from interp.selfcheck import require
from tests.interventions.split import Devices, device_of, place, put, split
from tests.interventions.tiny import vector

TEXTS = [
    f"w5 {' '.join(f'w{3 + (7 * row + n) % 30}' for n in range(row % 5 + 1))}" for row in range(9)
]
PROMPTS = PromptSet.from_records(
    [
        {"prompt_id": f"p{row}", "text": text, "should_abstain": bool(row % 2), "entity": "w5"}
        for row, text in enumerate(TEXTS)
    ]
)
SITES = [Site("resid_pre", 2), Site("resid_post", 1), Site("attn_out", 3), Site("resid_post", 3)]


def test_the_stand_in_keeps_devices_apart():
    """It can fail: what CUDA refuses, it refuses."""
    with Devices():
        near, far = put(torch.ones(2), "cuda:0"), put(torch.ones(2), "cuda:1")
        for mixed in (
            lambda: near + far,
            lambda: torch.stack([near, far]),
            lambda: near + put(torch.ones(()), "cuda:1"),
        ):
            with pytest.raises(RuntimeError, match=r"cuda:0.*cuda:1"):
                mixed()
        with pytest.raises(RuntimeError, match="indices on"):
            far[put(torch.tensor([0]), "cuda:0")]
        assert device_of(near.to(far) + far) == (far.to(far.device) * 2)[torch.tensor([0])].device
        assert (far + torch.tensor(1.0)).device == torch.device("cuda:1")


def test_capture_is_that_of_the_model_in_one_piece(loaded):
    whole = capture(loaded, PROMPTS, SITES, ["last_prompt", "all"])
    with split(loaded):
        parts = capture(loaded, PROMPTS, SITES, ["last_prompt", "all"])
        require(loaded)
    for site in SITES:
        for position in ("last_prompt", "all"):
            assert torch.equal(parts.read(site, position), whole.read(site, position))


def test_scores_and_replies_are_those_of_the_model_in_one_piece(loaded):
    """Rows end at different tokens, so that the cache of every block is cut down on the way."""
    ends = {"max_new_tokens": 6}
    sampled = decoding.Decoding(max_new_tokens=6, temperature=3.0, samples=2)

    def written() -> list:
        batches = generation.replies(loaded, PROMPTS, sampled)
        return [reply.tokens for _, _, batch in batches for reply in batch]

    def said() -> tuple:
        scores = abstention_score(loaded, PROMPTS, ["w7 w8", "w9"])
        return generate(loaded, PROMPTS, **ends), written(), scores.tolist()

    whole = said()
    assert len({len(tokens) for tokens in whole[1]}) > 1
    with split(loaded):
        assert said() == whole


@pytest.mark.parametrize("layer", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["resid_pre", "resid_post"])
def test_edits_act_on_the_block_s_own_device(loaded, kind, layer):
    batch = encode(render(PROMPTS, loaded.tokenizer), loaded.tokenizer, side="left")
    mask_BT = torch.zeros_like(batch.attention_mask_BT, dtype=torch.bool)
    mask_BT[:, -1] = True
    site = Site(kind, layer)
    edits = [
        Add(site, vector(), 1.5),
        Ablate(site, vector(4)),
        _AddAlong(site, vector(5), torch.tensor(0.5)),
        Patch(site, torch.randn(len(TEXTS), loaded.d_model)),
    ]

    def logits(edit) -> torch.Tensor:
        with intervene(loaded, [edit], mask_BT) as done, torch.no_grad():
            inputs = {name: ids.to(loaded.device) for name, ids in batch.inputs.items()}
            found = loaded.model(**inputs).logits
        assert done.hits.equal(mask_BT)
        return found.cpu()

    whole = [logits(edit) for edit in edits]
    with split(loaded):
        # A coefficient that is differentiated by stands where the input does.
        put(edits[2].gamma, "cuda:0")
        for edit, expected in zip(edits, whole, strict=True):
            assert torch.equal(logits(edit), expected)


@pytest.mark.parametrize("part", ["lower", "upper"])
def test_a_graft_of_models_placed_differently_is_the_graft(load, part):
    whole = graft(load("llama"), load("llama", seed=1), 2, child_part=part)
    expected = abstention_score(whole, PROMPTS, ["w7 w8"])
    parent, child = place(load("llama"), 1), place(load("llama", seed=1), 3)
    with Devices():
        grafted = graft(parent, child, 2, child_part=part)
        assert (abstention_score(grafted, PROMPTS, ["w7 w8"]) == expected).all()


EXAMPLES = [("w5 w6", "w9 w7"), ("w3 w4 w5", "w7"), ("w8", "w9 w9 w3")]
TRAINING = {"steps": 3, "lr": 1e-2, "batch_size": 2, "eval_every": 1, "seed": 0}


def scored(loaded) -> float:
    return float(abstention_score(loaded, PROMPTS, ["w7 w8", "w9"]).mean())


@pytest.mark.parametrize("scope", ["all", "upper"])
def test_relearning_is_that_of_the_model_in_one_piece(load, scope):
    whole = relearn(load("llama"), EXAMPLES, scope=scope, evaluate=scored, **TRAINING)
    assert len(set(whole.dev_scores)) == len(whole.dev_scores)
    with split(load("llama")) as loaded:
        curve = relearn(loaded, EXAMPLES, scope=scope, evaluate=scored, **TRAINING)
    assert curve.dev_scores == whole.dev_scores


def test_accelerate_s_own_hooks_go_with_grafts_and_relearning(load):
    """Not the stand-in's: those that a device map puts on, here with all blocks on the CPU."""
    parent, child = load("llama"), load("llama", seed=1)
    grafted = abstention_score(graft(parent, child, 2), PROMPTS, ["w7 w8"])
    curve = relearn(child, EXAMPLES, scope="all", evaluate=scored, **TRAINING)
    for loaded in (parent, child):
        dispatch_model(loaded.model, {"": "cpu"}, force_hooks=True)
        assert hasattr(loaded.model, "_hf_hook")
    assert (abstention_score(graft(parent, child, 2), PROMPTS, ["w7 w8"]) == grafted).all()
    again = relearn(child, EXAMPLES, scope="all", evaluate=scored, **TRAINING)
    assert again.dev_scores == curve.dev_scores


@pytest.mark.parametrize("device_map", [{"model": "cpu", "lm_head": "disk"}, {"": "cpu"}])
def test_a_device_map_of_accelerate_reads_and_edits_as_without(load, device_map):
    plain = load("llama")
    placed = plain.checkpoint.load(device_map=device_map)
    assert generate(placed, PROMPTS, max_new_tokens=4) == generate(plain, PROMPTS, max_new_tokens=4)
    site = Site("resid_post", 3)
    reads = [
        capture(loaded, PROMPTS, [site], ["all"]).read(site, "all") for loaded in (plain, placed)
    ]
    assert torch.equal(*reads)
    batch = encode(render(PROMPTS, plain.tokenizer), plain.tokenizer, side="left")
    steered = []
    for loaded in (plain, placed):
        every = batch.attention_mask_BT.bool()
        with intervene(loaded, [Add(site, vector(), 1.0)], every), torch.no_grad():
            steered.append(loaded.model(**batch.inputs).logits)
    assert torch.equal(*steered)


def test_an_offloaded_model_is_neither_grafted_nor_trained(load):
    parent, child = load("llama"), load("llama", seed=1)
    parent.blocks[0].to("meta")
    with pytest.raises(InputError, match=r"device map offloads part of .*narrower dtype"):
        graft(parent, child, 1)
    options = {"steps": 1, "lr": 1e-3, "batch_size": 1, "eval_every": 1, "seed": 0}
    with pytest.raises(InputError, match="device map offloads"):
        relearn(parent, [("w3", "w4")], scope="all", evaluate=lambda _: 0.0, **options)
