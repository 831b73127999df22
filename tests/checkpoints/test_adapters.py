"""An adapter over its base: what PEFT computes, and both of a pair on one set of weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from interp.checkpoints import Checkpoint
from interp.checkpoints.adapters import KINDS
from interp.errors import InputError
from tests.checkpoints.tiny import N_LAYERS, word_tokenizer, write_checkpoint

IDS = torch.tensor([[3, 9, 12, 7, 20]])
PROJECTIONS = ["q_proj", "v_proj"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """bases(architecture) -> folder of a tiny checkpoint; gpt2 has its head tied."""
    root = tmp_path_factory.mktemp("bases")

    def base(architecture: str) -> Path:
        folder = root / architecture
        return folder if folder.exists() else write_checkpoint(folder, architecture)

    return base


def plain(base: Path, dtype: str = "float32") -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=DTYPES[dtype]).eval()


def logits(model: Any, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        return model(ids).logits


@pytest.fixture
def adapt(bases, tmp_path) -> Callable[..., Path]:
    """adapt(config) -> folder of an adapter over a tiny checkpoint, as training would leave it."""

    def adapt(config: peft.PeftConfig, architecture: str = "llama", name: str = "child") -> Path:
        torch.manual_seed(1)
        model = peft.get_peft_model(plain(bases(architecture)), config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return adapt


def lora(**settings: Any) -> peft.LoraConfig:
    return peft.LoraConfig(
        **{"task_type": "CAUSAL_LM", "r": 4, "target_modules": PROJECTIONS, **settings}
    )


CASES = {
    "lora": ("llama", {}),
    "dora": ("llama", {"use_dora": True}),
    "every linear layer": ("llama", {"target_modules": "all-linear"}),
    "whole modules": ("llama", {"modules_to_save": ["lm_head", "input_layernorm"]}),
    "whole embedding": ("llama", {"modules_to_save": ["embed_tokens"]}),
    "gpt2": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "tied head": ("gpt2", {"target_modules": ["c_attn", "wte"], "fan_in_fan_out": True}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_a_pair_is_parent_and_child_on_one_set_of_weights(bases, adapt, case, dtype):
    architecture, settings = CASES[case]
    folder = adapt(lora(**settings), architecture)
    base = bases(architecture)
    parent, child = Checkpoint.find(folder).load_pair(dtype=dtype)
    theirs = peft.PeftModel.from_pretrained(plain(base, dtype), folder)
    with theirs.disable_adapter():
        expected_parent = logits(theirs)
    expected_child = logits(theirs)
    assert torch.equal(expected_parent, logits(plain(base, dtype)))
    assert not torch.equal(expected_parent, expected_child)
    for _ in range(2):  # nothing is switched between them
        assert torch.equal(logits(child.model), expected_child)
        assert torch.equal(logits(parent.model), expected_parent)

    shared = {parameter.data_ptr() for parameter in parent.model.parameters()}
    of_child = {parameter.data_ptr(): parameter for parameter in child.model.parameters()}
    assert shared <= of_child.keys()
    assert {buffer.data_ptr() for buffer in parent.model.buffers()} <= {
        buffer.data_ptr() for buffer in child.model.buffers()
    }
    saved = load_file(folder / "adapter_model.safetensors")
    n_extra = sum(of_child[pointer].numel() for pointer in of_child.keys() - shared)
    assert n_extra == sum(tensor.numel() for tensor in saved.values())


# Merging into an embedding that is tied to the head changes the head too; the adapter does not.
@pytest.mark.parametrize("case", sorted(CASES.keys() - {"tied head"}))
def test_the_child_is_what_merging_gives(bases, adapt, case):
    architecture, settings = CASES[case]
    folder = adapt(lora(**settings), architecture)
    _, child = Checkpoint.find(folder).load_pair()
    merged = peft.PeftModel.from_pretrained(plain(bases(architecture)), folder).merge_and_unload()
    # Sums in another order: a few units in the last place of float32, over four blocks.
    torch.testing.assert_close(
        logits(child.model),
        logits(merged),
        rtol=1e-5,
        atol=1e-5 * float(logits(merged).abs().max()),
    )


CONFIGS: dict[str, Callable[[], peft.PeftConfig]] = {
    "ADALORA": lambda: peft.AdaLoraConfig(target_modules=PROJECTIONS, total_step=9, init_r=4),
    "HRA": lambda: peft.HRAConfig(target_modules=PROJECTIONS, r=4),
    "IA3": lambda: peft.IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "LN_TUNING": lambda: peft.LNTuningConfig(target_modules=["input_layernorm"]),
    "LOHA": lambda: peft.LoHaConfig(target_modules=PROJECTIONS, r=4),
    "LOKR": lambda: peft.LoKrConfig(target_modules=PROJECTIONS, r=4),
    "LORA": lambda: lora(layers_to_transform=[1, 3]),
    "OFT": lambda: peft.OFTConfig(target_modules=PROJECTIONS, oft_block_size=4),
    "TRAINABLE_TOKENS": lambda: peft.TrainableTokensConfig(token_indices=[3, 9]),
    "VERA": lambda: peft.VeraConfig(target_modules=PROJECTIONS, r=4),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_computes_what_was_trained_alone_and_in_a_pair(bases, adapt, kind):
    config = CONFIGS[kind]()
    config.task_type = "CAUSAL_LM"
    folder = adapt(config)
    assert json.loads((folder / "adapter_config.json").read_text())["peft_type"] == kind
    expected = logits(peft.PeftModel.from_pretrained(plain(bases("llama")), folder))
    assert torch.equal(logits(Checkpoint.find(folder).load().model), expected)
    parent, child = Checkpoint.find(folder).load_pair()
    assert torch.equal(logits(child.model), expected)
    assert torch.equal(logits(parent.model), logits(plain(bases("llama"))))
    assert not torch.equal(logits(parent.model), expected)


def test_blocks_of_a_child_are_read_and_changed_like_any_others(bases, adapt):
    folder = adapt(lora(target_modules="all-linear"))
    parent, child = Checkpoint.find(folder).load_pair()
    assert child.n_layers == parent.n_layers == N_LAYERS
    assert child.d_model == parent.d_model
    assert child.device == parent.device == torch.device("cpu")
    assert not child.model.training
    theirs = peft.PeftModel.from_pretrained(plain(bases("llama")), folder)
    with torch.no_grad():
        expected = theirs(IDS, output_hidden_states=True).hidden_states
    seen = []
    hook = child.blocks[1].register_forward_hook(
        lambda _, __, output: seen.append(output) or torch.zeros_like(output)
    )
    changed, untouched = logits(child.model), logits(parent.model)
    hook.remove()
    assert len(seen) == 1, "the parent's forward ran through the child's block"
    assert torch.equal(seen[0], expected[2])
    assert not torch.equal(changed, logits(child.model))
    assert torch.equal(untouched, logits(parent.model))


def test_training_flags_of_shared_weights_are_left_as_they_were(adapt):
    parent, child = Checkpoint.find(adapt(lora())).load_pair()
    assert all(parameter.requires_grad for parameter in parent.model.parameters())
    own = {id(parameter) for parameter in parent.model.parameters()}
    assert not any(p.requires_grad for p in child.model.parameters() if id(p) not in own)


def test_parent_and_child_are_checkpoints_of_their_own(bases, adapt):
    checkpoint = Checkpoint.find(adapt(lora()))
    parent, child = checkpoint.load_pair()
    assert (parent.checkpoint.name, child.checkpoint.name) == ("llama", "child")
    assert child.checkpoint == checkpoint
    assert parent.checkpoint == checkpoint.without_adapter
    assert parent.checkpoint.fingerprint == Checkpoint(bases("llama"), "x").fingerprint
    assert child.checkpoint.fingerprint != parent.checkpoint.fingerprint
    with pytest.raises(InputError, match="llama: not an adapter, so there is no pair"):
        parent.checkpoint.load_pair()


@pytest.mark.parametrize("change", ["adapter_model.safetensors", "adapter_config.json", "base"])
def test_the_fingerprint_is_of_base_and_adapter(bases, adapt, tmp_path, change):
    folder = adapt(lora())
    base = shutil.copytree(bases("llama"), tmp_path / "base")
    checkpoint = Checkpoint.find(folder, base=base)
    before = checkpoint.fingerprint
    assert Checkpoint.find(folder).fingerprint == before
    path = base / "config.json" if change == "base" else folder / change
    path.write_bytes(path.read_bytes() + b" ")
    assert checkpoint.fingerprint != before


def test_a_tokenizer_beside_the_adapter_is_the_childs_only(bases, adapt):
    folder = adapt(lora())
    checkpoint = Checkpoint.find(folder)
    assert checkpoint.load().tokenizer.chat_template == word_tokenizer().chat_template
    before = checkpoint.tokenizer_fingerprint
    assert before == checkpoint.without_adapter.tokenizer_fingerprint
    own = word_tokenizer()
    own.chat_template = "{{ messages[0]['content'] }}"
    own.save_pretrained(folder)
    parent, child = checkpoint.load_pair()
    assert child.tokenizer.chat_template == own.chat_template
    assert parent.tokenizer.chat_template == word_tokenizer().chat_template
    assert checkpoint.tokenizer_fingerprint != before
    assert checkpoint.without_adapter.tokenizer_fingerprint == before
    word_tokenizer(extra=("more",)).save_pretrained(folder)
    with pytest.raises(InputError, match="token 'more' has id"):
        checkpoint.load_pair()


# --- what cannot be read ------------------------------------------------------------------------


def refusal(folder: Path, **found_by: Any) -> str:
    with pytest.raises(InputError) as alone:
        Checkpoint.find(folder, **found_by).load()
    with pytest.raises(InputError) as pair:
        Checkpoint.find(folder, **found_by).load_pair()
    assert str(alone.value) == str(pair.value)
    assert "\n" not in str(alone.value)
    return str(alone.value)


OUTSIDE = {
    "PROMPT_TUNING": lambda: peft.PromptTuningConfig(num_virtual_tokens=2),
    "PREFIX_TUNING": lambda: peft.PrefixTuningConfig(num_virtual_tokens=2),
    "P_TUNING": lambda: peft.PromptEncoderConfig(num_virtual_tokens=2, encoder_hidden_size=4),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_adapters_that_act_outside_of_the_blocks_are_refused(adapt, kind):
    config = OUTSIDE[kind]()
    config.task_type = "CAUSAL_LM"
    folder = adapt(config)
    assert refusal(folder).startswith(f"{folder}: an adapter of kind {kind}; those that act inside")


def test_lora_that_acts_behind_certain_tokens_only_is_refused(adapt):
    folder = adapt(lora(alora_invocation_tokens=[9, 12]))
    assert "aLoRA" in refusal(folder)


@pytest.mark.parametrize("start", [False, "gaussian", "orthogonal"])
def test_however_an_adapter_started_its_base_stays_what_it_was(bases, adapt, start):
    parent, child = Checkpoint.find(adapt(lora(init_lora_weights=start))).load_pair()
    assert torch.equal(logits(parent.model), logits(plain(bases("llama"))))
    assert not torch.equal(logits(parent.model), logits(child.model))


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_changes_its_base_is_no_pair_on_one_set_of_weights(bases, adapt, start):
    folder = adapt(lora(init_lora_weights=start))
    expected = logits(peft.PeftModel.from_pretrained(plain(bases("llama")), folder))
    assert torch.equal(logits(Checkpoint.find(folder).load().model), expected)
    with pytest.raises(InputError, match=f"changes the weights of its base .*'{start}'"):
        Checkpoint.find(folder).load_pair()


def test_an_adapter_of_another_model_is_refused(bases, adapt, tmp_path):
    folder = adapt(lora())
    message = refusal(folder, base=bases("gpt2"))
    assert message.startswith(f"{folder}: this adapter does not fit its base (GPT2LMHeadModel of ")
    assert "q_proj" in message
    other = write_checkpoint(tmp_path / "wide")
    edit_json(other / "config.json", num_key_value_heads=4)
    weights = load_file(other / "model.safetensors")
    for name in weights:
        if "k_proj" in name or "v_proj" in name:
            weights[name] = torch.cat([weights[name]] * 2)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert "size mismatch for " in refusal(folder, base=other)


@pytest.mark.parametrize("how", ["lacks", "has a layer for"])
def test_an_adapter_with_layers_missing_or_left_over_is_refused(adapt, how):
    folder = adapt(lora())
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if ".layers.2." in name)
    if how == "lacks":
        del weights[name]
    else:
        weights[name.replace(".layers.2.", ".layers.7.")] = weights[name].clone()
    save_file(weights, path)
    message = refusal(folder)
    assert f"it {how} " in message
    assert (".layers.2." if how == "lacks" else ".layers.7.") in message


def test_a_truncated_adapter_is_refused(adapt):
    folder = adapt(lora())
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    assert refusal(folder).startswith(f"{path}: not a whole file of weights")
    path.unlink()
    assert "no weights in it; expected adapter_model.safetensors" in refusal(folder)


def test_a_pickled_adapter_is_read_only_if_asked_for(adapt):
    folder = adapt(lora())
    expected = logits(Checkpoint.find(folder).load().model)
    path = folder / "adapter_model.safetensors"
    torch.save(load_file(path), folder / "adapter_model.bin")
    path.unlink()
    assert "its weights are pickles (adapter_model.bin)" in refusal(folder)
    checkpoint = Checkpoint.find(folder, allow_pickle=True)
    assert torch.equal(logits(checkpoint.load().model), expected)
    assert checkpoint.fingerprint


def test_a_config_that_peft_cannot_read_is_refused(adapt):
    folder = adapt(lora())
    edit_json(folder / "adapter_config.json", task_type="NONSENSE")
    assert refusal(folder).startswith(f"{folder / 'adapter_config.json'}: PEFT {peft.__version__} ")


def test_an_adapter_over_offloaded_weights_is_refused(adapt):
    checkpoint = Checkpoint.find(adapt(lora()))
    with pytest.raises(InputError, match="device map offloads part of it"):
        checkpoint.load(device_map={"model": "cpu", "lm_head": "disk"})


def test_the_folder_of_an_adapter_alone_is_not_a_checkpoint(adapt):
    folder = adapt(lora())
    with pytest.raises(InputError, match=r"holds an adapter: `Checkpoint.find` puts it over"):
        Checkpoint(folder, "child").load()


def test_merged_weights_with_the_adapter_still_beside_them_are_refused(bases, adapt, tmp_path):
    """transformers would put the adapter on a second time."""
    folder = shutil.copytree(bases("llama"), tmp_path / "merged")
    shutil.copy(adapt(lora()) / "adapter_config.json", folder)
    with pytest.raises(InputError, match="if it is merged into the weights already, delete"):
        Checkpoint(folder, "merged").load()


# --- where its base is --------------------------------------------------------------------------


def test_the_base_is_the_one_named_the_one_beside_it_or_the_one_given(bases, adapt):
    folder = adapt(lora())
    base = bases("llama")
    assert Checkpoint.find(folder) == Checkpoint(base, "child", adapter=folder)
    edit_json(folder / "adapter_config.json", revision="main")
    assert Checkpoint.find(folder).path == base, "a folder is taken as it is"
    edit_json(folder / "adapter_config.json", base_model_name_or_path="/elsewhere/base")
    with pytest.raises(InputError, match=r"base that this adapter names .* /elsewhere/base: no s"):
        Checkpoint.find(folder)
    assert Checkpoint.find(folder, base=base).path == base
    edit_json(folder / "adapter_config.json", base_model_name_or_path="base")
    shutil.copytree(base, folder / "base")
    assert Checkpoint.find(folder).path == folder / "base"
    edit_json(folder / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(InputError, match=r"does not name the model .* base_model_name_or_path"):
        Checkpoint.find(folder)


def test_a_base_on_the_hub_is_asked_for_with_the_revision_that_the_adapter_names(adapt):
    folder = adapt(lora())
    edit_json(
        folder / "adapter_config.json", base_model_name_or_path="some-lab/model", revision="v2"
    )
    with pytest.raises(InputError, match=r"hf download some-lab/model --revision v2 .*as `base`"):
        Checkpoint.find(folder)


def test_an_adapter_over_an_adapter_and_a_base_without_one_are_refused(bases, adapt):
    first, second = adapt(lora()), adapt(lora(), name="second")
    with pytest.raises(InputError, match="is an adapter too; merge"):
        Checkpoint.find(second, base=first)
    with pytest.raises(InputError, match="not an adapter"):
        Checkpoint.find(bases("llama"), base=bases("gpt2"))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
