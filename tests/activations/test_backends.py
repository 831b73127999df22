"""Backends: three libraries, one set of activations, and a model that none of them changes."""

from __future__ import annotations

import copy
import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any, Literal

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import PersimmonConfig, PersimmonForCausalLM

from interp.activations import Site
from interp.activations.backends import BACKENDS, open_backend
from interp.checkpoints import LoadedModel
from interp.checkpoints.anatomy import KINDS, tap
from interp.errors import InputError
from interp.prompts import Encoded, encode
from tests.checkpoints.tiny import D_MODEL, N_LAYERS

TEXTS = [
    "q w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15 w16 w17 w18 w19 a",
    "w3",
    "q w5 w6",
    "w1 w2 w3 w4 w5 w6 w7 w8 w9",
]
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
# The bridge multiplies queries and keys by its own code: float32 sums in another order. Measured
# on these models: at most 3e-6 of the residual's length.
BRIDGE_NOISE = 2e-5


def batch(
    loaded: LoadedModel, side: Literal["left", "right"] = "left", texts: Sequence[str] = TEXTS
) -> Encoded:
    return encode(texts, loaded.tokenizer, side=side)


def all_sites(loaded: LoadedModel) -> list[Site]:
    kinds = [kind for kind in KINDS if tap(loaded.blocks[0], kind)]
    return [Site(kind, layer) for layer in range(loaded.n_layers) for kind in kinds]


def read(
    name: str, loaded: LoadedModel, encoded: Encoded, sites: Sequence[Site] | None = None
) -> dict[Site, Tensor]:
    """Whole activations by site, in the order they were handed out."""
    return run(open_backend(name, loaded, sites or all_sites(loaded)), encoded)


def run(backend, encoded: Encoded) -> dict[Site, Tensor]:
    seen: list[tuple[Site, Tensor]] = []
    backend.run(encoded, lambda site, acts_BTD: seen.append((site, acts_BTD.clone())))
    assert len(dict(seen)) == len(seen), "a site was handed out twice"
    return dict(seen)


def same(found: dict[Site, Tensor], expected: dict[Site, Tensor]) -> bool:
    return list(found) == list(expected) and all(
        torch.equal(found[site], expected[site]) for site in expected
    )


def apart(found: dict[Site, Tensor], expected: dict[Site, Tensor], encoded: Encoded) -> float:
    """Largest distance on real tokens, as a share of the residual's mean length."""
    assert list(found) == list(expected)
    real_BT = encoded.attention_mask_BT.bool()
    worst = 0.0
    for site, acts_BTD in expected.items():
        length = expected[Site("resid_post", site.layer)][real_BT].norm(dim=-1).mean()
        distance = (found[site] - acts_BTD)[real_BT].norm(dim=-1).max()
        worst = max(worst, float(distance / length))
    return worst


def logits(loaded: LoadedModel) -> Tensor:
    encoded = batch(loaded)
    with torch.inference_mode():
        return loaded.model(
            input_ids=encoded.input_ids_BT,
            attention_mask=encoded.attention_mask_BT,
            position_ids=encoded.position_ids_BT,
        ).logits


def test_nnsight_sees_exactly_what_hooks_see(loaded):
    hooks = open_backend("hooks", loaded, all_sites(loaded))
    nnsight = open_backend("nnsight", loaded, all_sites(loaded))
    for side in SIDES:
        encoded = batch(loaded, side)
        expected = run(hooks, encoded)
        assert list(expected) == all_sites(loaded)
        shape = (*encoded.input_ids_BT.shape, D_MODEL)
        assert all(acts_BTD.shape == shape for acts_BTD in expected.values())
        assert same(run(nnsight, encoded), expected)


def test_the_bridge_agrees_with_hooks_up_to_rounding(loaded):
    hooks = open_backend("hooks", loaded, all_sites(loaded))
    bridge = open_backend("transformer_lens", loaded, all_sites(loaded))
    for side in SIDES:
        encoded = batch(loaded, side)
        assert apart(run(bridge, encoded), run(hooks, encoded), encoded) < BRIDGE_NOISE


@pytest.mark.parametrize(
    "architecture", ["qwen3", "gemma2", "olmo2", "gpt_neox", "gpt_neox_sequential", "gpt2"]
)
def test_the_bridge_is_read_at_the_hook_points_that_transformer_lens_documents(load, architecture):
    from transformer_lens.model_bridge import TransformerBridge

    loaded = load(architecture)
    encoded, sites = batch(loaded, "right"), all_sites(loaded)
    found = read("transformer_lens", loaded, encoded)
    bridge = TransformerBridge.boot_transformers(
        str(loaded.checkpoint.path),
        hf_model=copy.deepcopy(loaded.model),
        tokenizer=copy.deepcopy(loaded.tokenizer),
        device="cpu",
    )
    documented = {f"blocks.{site.layer}.hook_{site.kind}": site for site in sites}
    expected: dict[Site, Tensor] = {}

    def see(name: str) -> Callable[..., None]:
        return lambda acts, hook: expected.__setitem__(documented[name], acts.clone())

    with torch.inference_mode():
        bridge.run_with_hooks(
            encoded.input_ids_BT,
            attention_mask=encoded.attention_mask_BT,
            position_ids=encoded.position_ids_BT,
            fwd_hooks=[(name, see(name)) for name in documented],
        )
    assert same(found, {site: expected[site] for site in sites})


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_neox", "gpt2"])
def test_bfloat16_is_read_as_it_is(load, architecture):
    loaded = load(architecture)
    loaded.model.to(torch.bfloat16)
    encoded = batch(loaded)
    expected = read("hooks", loaded, encoded)
    assert {acts.dtype for acts in expected.values()} == {torch.bfloat16}
    assert same(read("nnsight", loaded, encoded), expected)
    bridged = read("transformer_lens", loaded, encoded)
    assert {acts.dtype for acts in bridged.values()} == {torch.bfloat16}
    # bfloat16 keeps 8 bits, and each of some ten roundings a block may fall the other way.
    assert apart(bridged, expected, encoded) < 10 * N_LAYERS * 2**-9


@contextmanager
def counting(loaded: LoadedModel, patch: pytest.MonkeyPatch) -> Iterator[Counter]:
    """How many blocks and heads run, in the model or in any copy of it that shares its weights."""
    ran: Counter = Counter()
    block, head = type(loaded.blocks[0]), loaded.model.get_output_embeddings().weight
    forward, linear = block.forward, nn.functional.linear

    def of_block(self, *args, **kwargs):
        ran["blocks"] += 1
        return forward(self, *args, **kwargs)

    def of_linear(input, weight, bias=None):
        ran["heads"] += weight is head
        return linear(input, weight, bias)

    of_block.__signature__ = signature(forward)  # which the bridge goes by
    with patch.context() as patched:
        patched.setattr(block, "forward", of_block)
        patched.setattr(nn.functional, "linear", of_linear)
        yield ran


def _check_stop(name: str, loaded: LoadedModel, deepest: Site, patch: pytest.MonkeyPatch) -> None:
    sites = [Site("resid_pre", 0)] + [deepest] * (deepest != Site("resid_pre", 0))
    with counting(loaded, patch) as ran:
        backend = open_backend(name, loaded, sites)
        ran.clear()
        run(backend, batch(loaded))
    assert ran["blocks"] == deepest.layer + (deepest.kind != "resid_pre")
    assert ran["heads"] == 0


@pytest.mark.parametrize("name", BACKENDS)
def test_no_block_above_the_deepest_site_runs_and_never_the_head(load, name, monkeypatch):
    loaded = load("qwen2_sliding")
    for deepest in all_sites(loaded):
        _check_stop(name, loaded, deepest, monkeypatch)


def test_on_every_architecture_a_forward_ends_at_the_deepest_site(loaded, monkeypatch):
    for deepest in [site for site in all_sites(loaded) if site.layer == 1]:
        for name in BACKENDS:
            _check_stop(name, loaded, deepest, monkeypatch)


def test_the_counts_see_a_whole_forward_of_the_model_and_of_a_bridge(loaded, monkeypatch):
    from transformer_lens.model_bridge import TransformerBridge

    with counting(loaded, monkeypatch) as ran:
        logits(loaded)
        assert ran == {"blocks": N_LAYERS, "heads": 1}
        bridge = TransformerBridge.boot_transformers(
            "tiny", hf_model=loaded.model, tokenizer=loaded.tokenizer, device="cpu"
        )
        bridge(batch(loaded).input_ids_BT)
    assert ran == {"blocks": 2 * N_LAYERS, "heads": 2}


def state(loaded: LoadedModel) -> dict[str, Any]:
    """Everything of a model and its tokenizer that another library might leave a mark on."""
    model = loaded.model
    return {
        "weights": [(name, id(weight)) for name, weight in model.named_parameters()],
        "buffers": [(name, id(buffer)) for name, buffer in model.named_buffers()],
        "state": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "modules": [
            (
                name,
                id(module),
                module.training,
                sorted(vars(module)),
                [len(kept) for key, kept in sorted(vars(module).items()) if "hooks" in key],
            )
            for name, module in model.named_modules()
        ],
        "config": model.config.to_dict(),
        "generation": model.generation_config.to_dict(),
        "tokenizer": (loaded.tokenizer.padding_side, loaded.tokenizer.special_tokens_map),
        "log": logging.getLogger("transformers").level,
    }


def test_the_model_and_its_tokenizer_stay_as_they_were(loaded):
    before, said = state(loaded), logits(loaded)
    weights = before.pop("state")
    for name in BACKENDS:
        read(name, loaded, batch(loaded))
        after = state(loaded)
        kept = after.pop("state")
        assert after == before, name
        assert list(kept) == list(weights), name
        assert all(torch.equal(kept[key], weights[key]) for key in weights), name
        assert torch.equal(logits(loaded), said), name


@pytest.mark.parametrize("name", BACKENDS)
def test_no_weight_is_copied(load, name, monkeypatch):
    loaded = load("llama")
    memory = {weight.data_ptr() for weight in loaded.model.parameters()}
    linear, used = nn.functional.linear, set()

    def note(input, weight, bias=None):
        used.add(weight.data_ptr())
        return linear(input, weight, bias)

    monkeypatch.setattr(nn.functional, "linear", note)
    read(name, loaded, batch(loaded))
    assert used
    assert used <= memory


def test_importing_transformer_lens_leaves_logs_and_warnings_alone():
    source = (
        "import logging, warnings, torch, transformers\n"
        "logger = logging.getLogger('transformers')\n"
        "import interp.activations.backends.hooks_backend\n"  # all that backends share
        "before = logger.level, list(warnings.filters)\n"
        "import interp.activations.backends.transformer_lens_backend, sys\n"
        "assert 'transformer_lens' in sys.modules\n"
        "assert (logger.level, list(warnings.filters)) == before\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True)


@pytest.mark.parametrize("name", BACKENDS)
def test_one_backend_reads_many_batches_of_any_width(load, name):
    loaded = load("gpt2")
    backend = open_backend(name, loaded, all_sites(loaded))
    for texts, side in ((TEXTS, "left"), (TEXTS[1:2], "right"), (TEXTS[::-1], "right")):
        encoded = batch(loaded, side, texts)
        assert same(run(backend, encoded), read(name, loaded, encoded))


@pytest.mark.parametrize("name", BACKENDS)
def test_what_take_raises_comes_out_and_the_next_batch_is_right(load, name):
    loaded = load("qwen3")
    encoded = batch(loaded)
    backend = open_backend(name, loaded, all_sites(loaded))
    error = InputError("an activation is NaN")

    def fail(site: Site, acts_BTD: Tensor) -> None:
        if site == Site("mlp_out", 1):
            raise error

    with pytest.raises(InputError) as raised:
        backend.run(encoded, fail)
    assert raised.value is error
    assert same(run(backend, encoded), read(name, loaded, encoded))


@pytest.mark.parametrize("name", ["nnsight", "transformer_lens"])
@pytest.mark.parametrize("architecture", ["llama", "olmo2", "gpt2"])
def test_a_grafted_model_is_read_as_it_is_in_memory(load, name, architecture):
    loaded = load(architecture)
    encoded = batch(loaded)
    plain = read("hooks", loaded, encoded)
    blocks = loaded.model.base_model.get_submodule("h" if architecture == "gpt2" else "layers")
    blocks[1] = copy.deepcopy(blocks[3])
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight.mul_(1.5)
    grafted = read("hooks", loaded, encoded)
    assert not torch.equal(grafted[Site("attn_out", 1)], plain[Site("attn_out", 1)])
    found = read(name, loaded, encoded)
    assert same(found, grafted) or name == "transformer_lens"
    assert apart(found, grafted, encoded) < BRIDGE_NOISE


def adapted(loaded: LoadedModel, *targets: str) -> LoadedModel:
    """The model with a random adapter in it."""
    config = peft.LoraConfig(r=2, target_modules=list(targets), init_lora_weights=False)
    model = peft.get_peft_model(loaded.model, config).get_base_model()
    return replace(loaded, model=model.eval())


@pytest.mark.parametrize(
    ("architecture", "targets"),
    [
        ("llama", ("q_proj", "v_proj", "down_proj")),
        ("gemma2", ("k_proj", "o_proj", "gate_proj")),
        ("gpt_neox", ("dense_h_to_4h",)),
    ],
)
def test_an_adapter_in_the_model_is_seen_by_every_backend(load, architecture, targets):
    loaded = load(architecture)
    encoded = batch(loaded)
    plain = read("hooks", loaded, encoded)
    loaded = adapted(loaded, *targets)
    expected = read("hooks", loaded, encoded)
    assert apart(plain, expected, encoded) > 100 * BRIDGE_NOISE
    assert same(read("nnsight", loaded, encoded), expected)
    assert apart(read("transformer_lens", loaded, encoded), expected, encoded) < BRIDGE_NOISE


@pytest.mark.parametrize(
    ("architecture", "target"),
    [
        ("gpt2", "c_attn"),
        ("gpt_neox", "query_key_value"),
        ("gpt_neox_sequential", "query_key_value"),
    ],
)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False")
def test_the_bridge_refuses_an_adapter_that_it_would_leave_out(load, architecture, target):
    loaded = adapted(load(architecture), target)
    with pytest.raises(InputError, match="would leave out the adapter on them; merge the adapter"):
        open_backend("transformer_lens", loaded, [Site("resid_post", 0)])
    encoded = batch(loaded)
    assert same(read("nnsight", loaded, encoded), read("hooks", loaded, encoded))


def test_the_bridge_refuses_an_architecture_that_transformer_lens_does_not_know(load):
    model = PersimmonForCausalLM(
        PersimmonConfig(
            vocab_size=50,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    )
    loaded = replace(load("llama"), model=model.eval())
    with pytest.raises(InputError, match=r"no bridge for llama \(PersimmonForCausalLM\); use back"):
        open_backend("transformer_lens", loaded, [Site("resid_post", 0)])


def test_what_transformer_lens_stumbles_over_is_one_clear_error(load):
    loaded = load("llama")
    loaded.model.model.layers[2].self_attn.q_norm = nn.Identity()
    with pytest.raises(InputError, match=r"cannot bridge llama .*did not declare 'q_norm'.*hooks"):
        open_backend("transformer_lens", loaded, [Site("resid_post", 0)])


def test_a_dtype_that_transformer_lens_fails_in_shows_when_the_backend_is_opened(load):
    loaded = load("olmo2")
    loaded.model.to(torch.bfloat16)
    with pytest.raises(InputError, match=r"fails at olmo2 in bfloat16: .*Float.*; use backend='h"):
        open_backend("transformer_lens", loaded, [Site("resid_post", 0)])


def test_the_bridge_is_refused_where_it_computes_something_else_than_the_model(load):
    loaded = load("llama")
    attention = loaded.model.model.layers[1].self_attn
    forward = attention.forward
    attention.forward = lambda **given: (2 * forward(**given)[0], None)
    open_backend("transformer_lens", loaded, [Site("resid_pre", 1)])
    with pytest.raises(InputError, match=r"other activations than llama .*: 50.0% apart at attn_o"):
        open_backend("transformer_lens", loaded, [Site("attn_out", 1)])
    encoded = batch(loaded)
    assert same(read("nnsight", loaded, encoded), read("hooks", loaded, encoded))


def test_attention_that_adds_nothing_is_no_difference(load):
    loaded = load("llama")
    with torch.no_grad():
        loaded.model.model.layers[1].self_attn.o_proj.weight.zero_()
    encoded = batch(loaded)
    found = read("transformer_lens", loaded, encoded)
    assert not found[Site("attn_out", 1)].any()
    assert apart(found, read("hooks", loaded, encoded), encoded) < BRIDGE_NOISE


def test_a_backend_that_does_not_exist_is_refused(load):
    with pytest.raises(InputError, match=r"'nsight': unknown.*did you mean 'nnsight'.*hooks, tr"):
        open_backend("nsight", load("llama"), [Site("resid_post", 0)])


@pytest.mark.parametrize("name", ["hooks", "transformer_lens"])
def test_only_nnsight_runs_elsewhere(load, name):
    with pytest.raises(InputError, match=f"'{name}' runs here only; remote=True is for backend='n"):
        open_backend(name, load("llama"), [Site("resid_post", 0)], remote=True)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_site_that_the_model_lacks_is_refused_by_every_backend(load, name):
    with pytest.raises(InputError, match=r"resid_mid.0: the blocks of gpt_neox .* no such place"):
        open_backend(name, load("gpt_neox"), [Site("resid_mid", 0)])
    with pytest.raises(InputError, match=r"resid_post.4: llama has layers 0 to 3"):
        open_backend(name, load("llama"), [Site("resid_post", 4)])


@pytest.fixture
def ndif() -> Any:
    """Settings for NDIF; imported late, since nnsight gives every object a method when it is."""
    import nnsight

    return nnsight.CONFIG.API


@pytest.fixture
def on_hub(load, tmp_path) -> LoadedModel:
    """A checkpoint where the Hub's cache would keep it."""
    loaded = load("gemma2")
    folder = tmp_path / "models--some-lab--tiny" / "snapshots" / "c0ffee"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(loaded.checkpoint.path)
    return replace(loaded, checkpoint=replace(loaded.checkpoint, path=folder))


@pytest.mark.parametrize("main", [None, "c0ffee", "decaf"])
def test_remote_sends_the_trace_to_ndif_and_hands_out_what_comes_back(
    on_hub, ndif, main, monkeypatch
):
    """NDIF's part is played by nnsight's own rehearsal of it.

    That packs the trace as it would be sent, unpacks it where no local module can be imported, and
    runs it on the model at hand.
    """
    from nnsight.intervention.backends.local import LocalSimulationBackend
    from nnsight.intervention.backends.remote import RemoteBackend
    from nnsight.modeling import huggingface

    monkeypatch.setattr(ndif, "APIKEY", "secret")
    monkeypatch.setitem(huggingface._ID_CACHE, "some-lab/tiny", "some-lab/tiny")
    monkeypatch.setattr(sys, "path", [*sys.path])
    if main:
        refs = on_hub.checkpoint.path.parent.parent / "refs"
        refs.mkdir()
        (refs / "main").write_text(main)
    requests = []

    def answer(self, request, tracer):
        requests.append((self.host, self.api_key, json.loads(request.model_key.split(":", 1)[1])))
        LocalSimulationBackend(tracer.envoy)(tracer)

    monkeypatch.setattr(RemoteBackend, "request", answer)
    backend = open_backend("nnsight", on_hub, all_sites(on_hub)[::-1], remote=True)
    encoded = batch(on_hub)
    found = run(backend, encoded)
    asked = {
        "repo_id": "some-lab/tiny",
        "revision": None if main == "c0ffee" else "c0ffee",
        "task": "text-generation",
    }
    assert requests == [(ndif.HOST, "secret", asked)]
    assert same(found, read("hooks", on_hub, encoded))
    assert not any(acts_BTD.requires_grad for acts_BTD in found.values())


def test_remote_wants_a_checkpoint_of_the_hub_a_key_and_no_adapter(load, on_hub, ndif, monkeypatch):
    sites = [Site("resid_post", 0)]
    monkeypatch.setattr(ndif, "APIKEY", None)
    with pytest.raises(InputError, match=r"llama is a folder of this machine, but NDIF .* its id"):
        open_backend("nnsight", load("llama"), sites, remote=True)
    with pytest.raises(InputError, match="no API key of NDIF; set NDIF_API_KEY"):
        open_backend("nnsight", on_hub, sites, remote=True)
    monkeypatch.setattr(ndif, "APIKEY", "secret")
    with pytest.raises(InputError, match="gemma2 has an adapter in it, which NDIF's copy has not"):
        open_backend("nnsight", adapted(on_hub, "q_proj"), sites, remote=True)
