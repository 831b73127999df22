"""Checkpoints load as what they are, or are refused with one error that says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from interp.checkpoints import Checkpoint, files, save_manifest
from interp.errors import InputError
from tests.checkpoints.tiny import (
    ARCHITECTURES,
    D_MODEL,
    N_LAYERS,
    WORDS,
    word_tokenizer,
    write_checkpoint,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model")


def flip_byte(path: Path, offset: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(bytes(content))


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        Checkpoint(folder, "tiny").load()
    return str(caught.value)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_loaded_model_is_the_saved_one_ready_to_be_read(tmp_path, architecture):
    folder = write_checkpoint(tmp_path / architecture, architecture)
    loaded = Checkpoint(folder, "tiny").load()
    ids = torch.tensor([[3, 9, 12, 7]])
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        assert torch.equal(loaded.model(ids).logits, expected)
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32
    assert (loaded.n_layers, len(loaded.blocks), loaded.d_model) == (N_LAYERS, N_LAYERS, D_MODEL)
    assert loaded.device.type == "cpu"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_tokenizer_is_the_saved_one_whatever_the_architecture(tmp_path, architecture):
    """AutoTokenizer reads this text as no tokens for Qwen2, whose own tokenizer is of bytes."""
    folder = write_checkpoint(tmp_path / architecture, architecture)
    tokenizer = Checkpoint(folder, "tiny").load().tokenizer
    assert tokenizer("q : w3 w29 ?").input_ids == word_tokenizer()("q : w3 w29 ?").input_ids
    assert len(tokenizer("q : w3 w29 ?").input_ids) == 5
    assert tokenizer.chat_template == word_tokenizer().chat_template
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<pad>", "<eos>")


def test_dtype_is_as_asked_and_unknown_ones_are_refused(folder):
    assert Checkpoint(folder, "tiny").load(dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(InputError, match=r"dtype 'float23'.*float32, bfloat16, float16"):
        Checkpoint(folder, "tiny").load(dtype="float23")


def test_shards_load_as_one_and_a_missing_shard_is_named(folder, tmp_path):
    sharded = write_checkpoint(tmp_path / "sharded", shard_size="8KB")
    shards = files.weight_files(sharded)
    assert len(shards) > 1
    whole, pieces = (Checkpoint(path, "tiny").load().model for path in (folder, sharded))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, pieces.state_dict()[name])
    shards[1].unlink()
    message = refusal(sharded)
    assert str(shards[1]) in message
    assert "missing" in message


def test_a_folder_that_is_no_checkpoint_is_refused(folder, tmp_path):
    assert "no such checkpoint folder" in refusal(tmp_path / "nowhere")
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refusal(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


def test_without_weights_it_says_what_there_is_instead(folder):
    weights = folder / "model.safetensors"
    weights.rename(folder / "adapter_model.safetensors")
    assert "adapter" in refusal(folder)
    (folder / "adapter_model.safetensors").unlink()
    assert "no weights in it" in refusal(folder)
    torch.save({}, folder / "pytorch_model.bin")
    message = refusal(folder)
    assert "pytorch_model.bin" in message
    assert "safetensors" in message


@pytest.mark.parametrize("left", [0, 5, 100, -1])
def test_truncated_weights_are_refused_wherever_they_end(folder, left):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:left])
    message = refusal(folder)
    assert str(weights) in message
    assert "half-written or damaged" in message


def test_a_flipped_byte_is_found_when_a_manifest_has_the_hash(folder):
    flip_byte(folder / "model.safetensors")
    Checkpoint(folder, "tiny").load()  # nothing can know
    flip_byte(folder / "model.safetensors")
    save_manifest(folder, {"member": "tiny"})
    Checkpoint(folder, "tiny").load()
    flip_byte(folder / "model.safetensors")
    message = refusal(folder)
    assert str(folder / "model.safetensors") in message
    assert "SHA-256" in message


def test_a_manifest_says_what_was_put_in_and_a_damaged_one_is_refused(folder):
    assert Checkpoint(folder, "tiny").manifest == {}
    save_manifest(folder, {"member": "tiny", "curve": [{"step": 1, "loss": 0.5}]})
    manifest = Checkpoint(folder, "tiny").manifest
    assert manifest["curve"] == [{"step": 1, "loss": 0.5}]
    assert set(manifest["sha256"]) == {"model.safetensors"}
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-5])
    assert str(path) in refusal(folder)
    path.write_text("[]")
    assert "expected a JSON object, found list" in refusal(folder)


def test_weights_that_lack_a_tensor_are_not_filled_with_random_numbers(folder):
    state = load_file(folder / "model.safetensors")
    del state["model.layers.2.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    message = refusal(folder)
    assert "model.layers.2.mlp.up_proj.weight" in message
    assert "random" in message


def test_weights_of_another_shape_than_the_config_says_are_refused(folder):
    edit_json(folder / "config.json", intermediate_size=48)
    message = refusal(folder)
    assert str(folder) in message
    assert "does not load" in message


def test_an_unknown_architecture_is_refused_and_its_code_is_not_run(folder):
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    auto_map = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    edit_json(folder / "config.json", model_type="evil", auto_map=auto_map)
    assert "does not load" in refusal(folder)


def test_a_tokenizer_that_knows_more_tokens_than_the_model_is_refused(folder):
    word_tokenizer(extra=("more",)).save_pretrained(folder)
    message = refusal(folder)
    assert "'more'" in message
    assert f"embeds only {len(WORDS) + 3} tokens" in message


def test_a_damaged_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text('{"version": "1.0"')
    message = refusal(folder)
    assert str(folder) in message
    assert "tokenizer cannot be loaded" in message


CHANGES = {
    "weights": lambda folder: flip_byte(folder / "model.safetensors"),
    "config": lambda folder: edit_json(folder / "config.json", rms_norm_eps=1e-3),
    "chat template": lambda folder: (folder / "chat_template.jinja").write_text("{{ messages }}"),
    "tokenizer": lambda folder: word_tokenizer(extra=("more",)).save_pretrained(folder),
    "generation": lambda folder: edit_json(folder / "generation_config.json", eos_token_id=5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_fingerprint_changes_with_whatever_changes_the_model(folder, change):
    before = Checkpoint(folder, "tiny").fingerprint
    CHANGES[change](folder)
    assert Checkpoint(folder, "tiny").fingerprint != before


def test_the_fingerprint_does_not_change_with_anything_else(folder, tmp_path):
    checkpoint = Checkpoint(folder, "tiny")
    before, tokenizer_before = checkpoint.fingerprint, checkpoint.tokenizer_fingerprint
    save_manifest(folder, {"member": "tiny"})
    (folder / "README.md").write_text("a model card")
    (folder / "model.safetensors").touch()
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert Checkpoint(tmp_path / "elsewhere", "other name").fingerprint == before
    assert checkpoint.fingerprint == before
    flip_byte(folder / "model.safetensors")
    assert checkpoint.tokenizer_fingerprint == tokenizer_before


def test_a_file_that_was_not_touched_is_hashed_once(folder):
    checkpoint = Checkpoint(folder, "tiny")
    checkpoint.fingerprint  # noqa: B018
    hashed = files._sha256.cache_info().misses
    for _ in range(3):
        checkpoint.fingerprint  # noqa: B018
    assert files._sha256.cache_info().misses == hashed
    (folder / "model.safetensors").touch()
    checkpoint.fingerprint  # noqa: B018
    assert files._sha256.cache_info().misses == hashed + 1


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
