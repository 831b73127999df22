"""Checkpoints load as what they are, or are refused with one error that says why."""

from __future__ import annotations

import hashlib
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
    assert "\n" not in str(caught.value)
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
    half = Checkpoint(folder, "tiny").load(dtype="bfloat16").model
    assert half.dtype == torch.bfloat16
    half.save_pretrained(folder)
    assert Checkpoint(folder, "tiny").load(dtype="auto").model.dtype == torch.bfloat16
    assert Checkpoint(folder, "tiny").load().model.dtype == torch.float32
    with pytest.raises(InputError, match=r"dtype 'float23'.*float32, bfloat16, float16, auto"):
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
    (sharded / "model.safetensors.index.json").write_text("{}")
    assert "no `weight_map` in it" in refusal(sharded)


def test_a_folder_that_is_no_checkpoint_is_refused(folder, tmp_path):
    assert "no such checkpoint folder" in refusal(tmp_path / "nowhere")
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer.json" in refusal(folder)
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)


def test_without_weights_it_says_what_there_is_instead(folder):
    weights = folder / "model.safetensors"
    weights.unlink()
    assert "no weights in it; expected model.safetensors, or shards" in refusal(folder)
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
    assert "disagree on the shape of 12 tensors: model.layers.0.mlp.down_proj.weight" in message
    assert "is (16, 32), expected (16, 48)" in message


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("prefixed", [True, False])
def test_weights_of_more_blocks_than_the_config_says_are_refused(tmp_path, architecture, prefixed):
    """transformers drops the blocks on top; it reads names with and without the model's prefix."""
    folder = write_checkpoint(tmp_path / "model", architecture)
    path = folder / "model.safetensors"
    if not prefixed:
        prefix = {"llama": "model.", "gpt2": "transformer.", "gpt_neox": "gpt_neox."}[architecture]
        state = {name.removeprefix(prefix): value for name, value in load_file(path).items()}
        save_file(state, path, metadata={"format": "pt"})
        Checkpoint(folder, "tiny").load()
    n_layers = "n_layer" if architecture == "gpt2" else "num_hidden_layers"
    edit_json(folder / "config.json", **{n_layers: N_LAYERS - 1})
    message = refusal(folder)
    assert "config.json has no place for" in message
    assert f".{N_LAYERS - 1}." in message


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.1.self_attn.k_proj.bias",
        "model.embed_tokens.scale",
        "model.norm.bias",
        "lm_head.bias",
    ],
)
def test_a_tensor_that_the_model_would_compute_with_is_not_dropped(folder, name):
    add_tensors(folder, name)
    assert f"config.json has no place for 1 of the weights' tensors, {name}" in refusal(folder)


def test_heads_that_the_model_does_not_have_are_ignored_without_a_word(folder, capfd):
    before = Checkpoint(folder, "tiny").load().model
    add_tensors(folder, "v_head.summary.weight", "score.weight", "reward.bias")
    capfd.readouterr()
    after = Checkpoint(folder, "tiny").load().model
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name])
    assert "v_head" not in capfd.readouterr().err


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


def test_the_fingerprint_of_a_plain_folder_is_over_its_files_and_their_names(tmp_path):
    """Caches of results hang on it: it must not change from version to version."""
    folder = write_checkpoint(tmp_path / "model", shard_size="8KB")
    names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]
    names += ["chat_template.jinja", *(path.name for path in folder.glob("model-*.safetensors"))]
    digest, tokenizer = hashlib.sha256(), hashlib.sha256()
    for name in sorted(names):
        content = (folder / name).read_bytes()
        line = f"{name} {hashlib.sha256(content).hexdigest()}\n".encode()
        digest.update(line)
        if "tokenizer" in name or "template" in name:
            tokenizer.update(line)
    assert Checkpoint(folder, "tiny").fingerprint == digest.hexdigest()
    assert Checkpoint(folder, "tiny").tokenizer_fingerprint == tokenizer.hexdigest()


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


def add_tensors(folder: Path, *names: str) -> None:
    path = folder / "model.safetensors"
    extra = {name: torch.ones(D_MODEL) for name in names}
    save_file(load_file(path) | extra, path, metadata={"format": "pt"})
