"""The check passes what is sound, and what is broken fails at the line that is about it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GraniteConfig, GraniteForCausalLM, LlamaConfig

from interp import cli
from interp.activations import capture
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.selfcheck import check, examine, load, require
from tests.activations.asked import some_prompts
from tests.checkpoints.tiny import (
    ARCHITECTURES,
    CHAT_TEMPLATE,
    N_LAYERS,
    word_tokenizer,
    write_checkpoint,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """sound(architecture) -> folder of a tiny checkpoint."""
    root = tmp_path_factory.mktemp("sound")

    def sound(architecture):
        folder = root / architecture
        return folder if folder.exists() else write_checkpoint(folder, architecture)

    return sound


@pytest.fixture
def folder(sound, tmp_path):
    """A copy of a tiny llama, to be broken."""
    return shutil.copytree(sound("llama"), tmp_path / "llama")


def failing(folder: Path, **found_by: bool) -> str:
    """The one line that fails, which is the last one unless the model could still be run."""
    lines = list(check(Checkpoint(folder, "broken", **found_by)))
    broken = [line for line in lines if not line.passed]
    assert broken, "everything passes"
    assert {line.name for line in broken} == {broken[0].name}
    return f"{broken[0].name}: {broken[0].result}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_passes_and_says_how_exactly(sound, architecture):
    lines = {line.name: line for line in check(Checkpoint(sound(architecture), architecture))}
    assert all(line.passed for line in lines.values())
    assert f"{N_LAYERS} of " in lines["decoder blocks"].result
    for name in (
        "padded left = alone",
        "padded right = alone",
        "resid_post = hidden_states[i + 1]",
    ):
        assert 0 <= lines[name].error <= 2e-5
    assert lines["steering by zero changes nothing"].error == 0
    assert lines["a forward ends at the deepest site"].result == "2 of 4 blocks run for layer 1"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_passes_within_its_own_bounds(sound, dtype):
    loaded = Checkpoint(sound("qwen3"), "half").load(dtype=dtype)
    lines = {line.name: line for line in examine(loaded)}
    assert all(line.passed for line in lines.values())
    assert lines["attention and MLP add up to the stream"].error > 2e-5


def test_the_model_is_left_as_it_was(sound):
    loaded = Checkpoint(sound("gemma2"), "gemma2").load()
    prompts = some_prompts(5)
    before = capture(loaded, prompts, ["mlp_out"], ["all"])
    require(loaded)
    after = capture(loaded, prompts, ["mlp_out"], ["all"])
    for site in before.sites:
        assert torch.equal(before.read(site, "all"), after.read(site, "all"))
    for module in loaded.model.modules():
        assert not module._forward_pre_hooks
        # transformers leaves its own, inactive, where hidden states were once asked for.
        hooks = [hook.__module__ for hook in module._forward_hooks.values()]
        assert set(hooks) <= {"transformers.utils.output_capturing"}


def test_no_folder(tmp_path):
    assert failing(tmp_path / "nowhere").startswith("folder: ")


def test_truncated_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert failing(folder).startswith(f"weights are whole: {weights}")


def test_a_tokenizer_that_cannot_be_read(folder):
    (folder / "tokenizer.json").write_text("{}")
    assert failing(folder).startswith("tokenizer loads: ")


@pytest.mark.parametrize("n_layers", [N_LAYERS - 1, N_LAYERS + 1])
def test_a_config_of_another_depth(folder, n_layers):
    config = json.loads((folder / "config.json").read_text())
    config["num_hidden_layers"] = n_layers
    (folder / "config.json").write_text(json.dumps(config))
    assert failing(folder).startswith("config, weights and tokenizer agree: ")


def test_a_tokenizer_of_more_tokens_than_the_embedding_has(folder):
    word_tokenizer(extra=("one", "two")).save_pretrained(folder)
    assert "'two' has id" in failing(folder)


def test_weights_that_are_not_finite(folder):
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.2.mlp.up_proj.weight"
    weights[name][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    line = next(line for line in check(Checkpoint(folder, "nan")) if not line.passed)
    assert (
        f"{line.name}: {line.result}" == f"weights are finite: {name} holds NaN or infinite numbers"
    )


def test_a_template_that_begins_twice(folder):
    tokenizer = word_tokenizer()
    tokenizer.bos_token = "<eos>"
    tokenizer.chat_template = "<eos> <eos> " + CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    assert failing(folder) == "beginning token: 0 in plain text, 2 in chat; expected at most one"


def test_a_tokenizer_whose_tokens_do_not_come_back(folder):
    """Its decoder drops the spaces between words."""
    spelled = json.loads((folder / "tokenizer.json").read_text())
    spelled["decoder"] = {"type": "Fuse"}
    (folder / "tokenizer.json").write_text(json.dumps(spelled))
    assert failing(folder).startswith("tokens survive a round trip: ")


def test_a_model_that_ignores_its_mask_and_position_ids(folder):
    """Code of the checkpoint's own, run only when asked for."""
    (folder / "modeling_deaf.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel\n"
        "class DeafConfig(LlamaConfig):\n"
        "    model_type = 'deaf'\n"
        "class Deaf(LlamaModel):\n"
        "    config_class = DeafConfig\n"
        "    def forward(self, input_ids=None, attention_mask=None, position_ids=None, **kwargs):\n"
        "        return super().forward(input_ids=input_ids, **kwargs)\n"
        "class DeafForCausalLM(LlamaForCausalLM):\n"
        "    config_class = DeafConfig\n"
        "    def __init__(self, config):\n"
        "        super().__init__(config)\n"
        "        self.model = Deaf(config)\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "deaf",
        "architectures": ["DeafForCausalLM"],
        "auto_map": {
            "AutoConfig": "modeling_deaf.DeafConfig",
            "AutoModelForCausalLM": "modeling_deaf.DeafForCausalLM",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert failing(folder).startswith("config, weights and tokenizer agree: ")
    # Right padding stands behind every token of a causal model, which cannot see it.
    assert failing(folder, trust_remote_code=True).startswith("padded left = alone: ")


def test_a_multiplier_on_what_is_added_is_found_and_the_stream_can_still_be_used(folder):
    llama = LlamaConfig.from_pretrained(folder)
    config = GraniteConfig(
        **{
            name: getattr(llama, name)
            for name in (
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "num_key_value_heads",
                "vocab_size",
                "max_position_embeddings",
            )
        },
        residual_multiplier=0.5,
    )
    torch.manual_seed(0)
    GraniteForCausalLM(config).save_pretrained(folder)
    assert failing(folder).startswith("attention and MLP add up to the stream: a norm, gate or")
    loaded = Checkpoint(folder, "granite").load()
    require(loaded, kinds=["resid_pre", "resid_post"])
    with pytest.raises(InputError, match="granite: the check 'attention and MLP add up"):
        require(loaded)


def test_an_adapter_passes_over_its_base_and_fails_at_its_own_line(folder, tmp_path):
    base = AutoModelForCausalLM.from_pretrained(folder)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    adapter = Checkpoint.find(tmp_path / "adapter", base=folder)
    lines = list(check(adapter))
    assert all(line.passed for line in lines)
    assert "adapter is whole" in [line.name for line in lines]
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    line = list(check(adapter))[-1]
    assert (line.name, line.passed) == ("adapter is whole", False)


def test_pickled_weights_pass_only_when_they_are_asked_for(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert failing(folder).startswith("weights are whole: ")
    lines = list(check(Checkpoint(folder, "pickled", allow_pickle=True)))
    assert all(line.passed for line in lines)


def test_load_checks_what_it_loads(folder):
    assert load(folder).n_layers == N_LAYERS
    tokenizer = word_tokenizer()
    tokenizer.bos_token = "<eos>"
    tokenizer.chat_template = "<eos> <eos> " + CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match="the check 'beginning token' failed: 0 in plain text, 2"):
        load(folder)


def test_the_command_prints_the_table_and_exits_0_or_2(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["interp", "check", str(folder)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    shown = capsys.readouterr().out
    assert "padded left = alone" in shown
    assert "2.0e-05" in shown
    assert "FAIL" not in shown
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert "FAIL  weights are whole" in shown.out
    assert shown.err.startswith(f"interp: {folder}: the check 'weights are whole' failed: ")
