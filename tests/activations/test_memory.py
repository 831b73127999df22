"""What is predicted is an upper bound of what is taken, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from interp.activations.memory import (
    RUNTIME_BYTES,
    ModelSize,
    Needed,
    free_bytes,
    needed,
    require_memory,
)
from interp.checkpoints import Checkpoint
from interp.checkpoints.outlines import loaded_dtype, outline
from interp.errors import InputError
from tests.activations.measured import measured, write
from tests.checkpoints.tiny import ARCHITECTURES, write_checkpoint

GB = 2**30


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shard_size", ["1GB", "4KB"])
def test_weights_are_counted_from_the_headers_alone(tmp_path, architecture, shard_size):
    checkpoint = Checkpoint(
        write_checkpoint(tmp_path / "c", architecture, shard_size=shard_size), "c"
    )
    loaded = checkpoint.load()
    own = {id(p): p.numel() for p in loaded.model.parameters()}
    size = ModelSize.of(checkpoint, "bfloat16")
    assert size.n_weights == sum(own.values())
    assert size.weights == 2 * sum(own.values())
    assert (size.n_layers, size.d_model) == (loaded.n_layers, loaded.d_model)


def test_keys_and_values_are_those_of_a_cache(tmp_path):
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "c", "qwen3"), "c")
    loaded, size = checkpoint.load(), ModelSize.of(checkpoint)
    with torch.no_grad():
        cache = loaded.model(torch.ones(3, 7, dtype=torch.long), use_cache=True).past_key_values
    held = sum(t.numel() * 4 for layer in cache.layers for t in (layer.keys, layer.values))
    assert size.cache(21) == held + held // loaded.n_layers


def test_an_outline_is_the_model_without_numbers(tmp_path):
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "c", "gemma2"), "c")
    model, loaded = outline(checkpoint, "bfloat16"), checkpoint.load(dtype="bfloat16")
    assert all(parameter.is_meta for parameter in model.model.parameters())
    assert model.model.dtype == loaded.model.dtype
    shapes = [{n: p.shape for n, p in m.model.named_parameters()} for m in (model, loaded)]
    assert shapes[0] == shapes[1]
    assert loaded_dtype(checkpoint, "auto") == str(checkpoint.load(dtype="auto").model.dtype)[6:]


def test_the_bound_holds_within_a_factor_of_two_and_the_runtime_s_slack(tmp_path):
    found = measured(write(tmp_path / "made", 192, 4, 6000), "capture", "score", "relearn")
    for work, (taken, bound) in found.items():
        assert taken <= bound <= 2 * taken + RUNTIME_BYTES["cpu"], work


def test_loading_in_a_narrower_dtype_takes_the_file_too(tmp_path):
    size = ModelSize.of(Checkpoint(write_checkpoint(tmp_path / "c"), "c"), "bfloat16")
    assert size.in_file > 1.9 * size.weights
    parts = needed("capture", size, tokens=1).parts
    assert sum(parts.values()) == size.weights + size.in_file + RUNTIME_BYTES["cpu"]
    assert needed("capture", size, tokens=1, device="cuda").parts["loading"] == 0
    assert ModelSize.of(Checkpoint(tmp_path / "c", "c"), "float32").in_file == 0


SIZE = ModelSize("big", 2 * 10**9, 32, 4096, 16384, 32, 8, 128, 150_000, 4)


def test_each_part_is_of_what_it_depends_on():
    small = needed("generate", SIZE, tokens=1000).parts
    twice = needed("generate", SIZE, tokens=2000).parts
    assert twice["weights"] == small["weights"] == 8 * 10**9
    assert twice["cache"] == 2 * small["cache"] == 2 * 33 * 2 * 8 * 128 * 1000 * 4
    narrow = needed("relearn", ModelSize(**vars(SIZE) | {"item": 2}), tokens=100).parts
    wide = needed("relearn", SIZE, tokens=100).parts
    assert wide["optimizer"] == 16 * 10**9
    assert narrow["optimizer"] == 32 * 10**9  # float32 copies and their gradients
    assert narrow["copy"] * 2 == wide["copy"] == wide["weights"]
    assert needed("capture", SIZE, tokens=9, kept=10**12).parts["kept"] == 2**28


def test_what_does_not_fit_is_one_error_that_says_what_to_lower(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * GB, 80 * GB))
    fits = needed("capture", ModelSize(**vars(SIZE) | {"item": 2}), tokens=512, device="cuda")
    assert require_memory([fits], ["cuda:1"]) == [fits]
    with pytest.raises(InputError, match=r"capture big: .*may be needed, 2 at a time.*--workers"):
        require_memory([fits, fits, fits], ["cuda:1"], at_a_time=2)
    relearning = needed("relearn", SIZE, tokens=512, device="cuda")
    with pytest.raises(
        InputError,
        match=r"relearn big: .*8.0 GB are free on cuda:1; load in a narrower .*device_map: auto",
    ):
        require_memory([fits, relearning], ["cuda:1"])
    long = needed("generate", SIZE, tokens=10**6, device="cuda")
    with pytest.raises(InputError, match="free on cuda:0, cuda:1; lower token_budget, or free"):
        require_memory([long], ["cuda:0", "cuda:1"])
    assert free_bytes(["cuda:0", "cuda:1"]) == 16 * GB
    assert require_memory([], ["cuda:0"]) == []


def test_free_memory_of_the_machine_is_what_the_system_says(monkeypatch):
    assert 0 < free_bytes(["cpu"]) < 2**50
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "MemTotal: 9 kB\nMemAvailable:  5 kB\n")
    assert free_bytes(["cpu"]) == 5 * 1024

    def gone(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", gone)
    with pytest.raises(InputError, match="no /proc/meminfo"):
        free_bytes(["cpu"])


def test_a_config_that_does_not_say_its_sizes_is_one_error(tmp_path):
    folder = write_checkpoint(tmp_path / "c", "llama")
    config = (folder / "config.json").read_text().replace("num_hidden_layers", "depth")
    (folder / "config.json").write_text(config)
    with pytest.raises(InputError, match="no num_hidden_layers or n_layer"):
        ModelSize.of(Checkpoint(folder, "c"))
    assert "99 MB" in str(Needed("score", "m", {"weights": 99 * 2**20, "kept": 0}))
