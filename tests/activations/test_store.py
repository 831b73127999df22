"""A store gives back what was put in, or says why it does not."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from interp.activations import Site, capture
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from tests.activations.asked import broken, some_prompts
from tests.checkpoints.tiny import CHAT_TEMPLATE, write_checkpoint

SITES = [Site("resid_post", 2), Site("resid_pre", 1)]
POSITIONS = ["last_prompt", "entity_last"]
PLACE = (SITES[0], "last_prompt")


@pytest.fixture
def ask(load, prompts, tmp_path):
    """ask() captures into one folder; keywords change the request."""
    usual = {"loaded": load("llama"), "prompts": prompts, "sites": SITES, "positions": POSITIONS}

    def ask(**changes):
        return capture(**usual | {"folder": tmp_path / "acts", "token_budget": 64} | changes)

    ask.folder = tmp_path / "acts"
    ask.loaded = usual["loaded"]
    return ask


def refusing_to_run(loaded):
    def refuse(*_):
        raise AssertionError("the model ran")

    loaded.model.base_model.register_forward_pre_hook(refuse)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_read_is_what_was_captured_and_nothing_runs_twice(ask):
    memory = ask(folder=None)
    stored = ask()
    refusing_to_run(ask.loaded)
    again = ask()
    assert memory.manifest == {}
    for acts in (stored, again):
        assert acts.sites == tuple(SITES)
        assert acts.positions == tuple(POSITIONS)
        for site in SITES:
            for position in POSITIONS:
                assert torch.equal(acts.read(site, position), memory.read(site, position))


def test_the_manifest_says_what_made_the_store(ask, prompts):
    manifest = ask().manifest
    assert manifest == json.loads((ask.folder / "manifest.json").read_text())
    assert manifest["checkpoint"] == ask.loaded.checkpoint.fingerprint
    assert manifest["prompts"] == prompts.fingerprint
    assert manifest["tokenizer"] == ask.loaded.checkpoint.tokenizer_fingerprint
    assert manifest["sites"] == ["resid_post.2", "resid_pre.1"]
    assert manifest["positions"] == POSITIONS
    assert (manifest["dtype"], manifest["backend"]) == ("float32", "hooks")
    assert set(manifest["sha256"]) == {"resid_post.2.npy", "resid_pre.1.npy"}


def test_equal_requests_make_equal_bytes(ask, tmp_path):
    ask()
    ask(folder=tmp_path / "other")
    assert contents(ask.folder) == contents(tmp_path / "other")


def test_a_layer_is_mapped_and_writing_to_it_never_reaches_the_store(ask):
    tensor = ask().read(*PLACE)
    before = tensor.clone()
    with Path("/proc/self/maps").open() as maps:
        assert str(ask.folder / "resid_post.2.npy") in maps.read()
    tensor.zero_()
    assert torch.equal(ask().read(*PLACE), before)


def test_a_changed_request_is_refused_with_the_field(ask, prompts, monkeypatch, tmp_path):
    ask()
    kept = contents(ask.folder)
    half = ask.loaded.checkpoint.load(dtype="bfloat16")
    other = Checkpoint(write_checkpoint(tmp_path / "other", "llama", seed=1), "other").load()
    templated = shutil.copytree(ask.loaded.checkpoint.path, tmp_path / "templated")
    (templated / "chat_template.jinja").write_text(CHAT_TEMPLATE + " ")
    changes = {
        "prompts": {"prompts": some_prompts(25, seed=1)},
        "sites": {"sites": SITES[:1]},
        "positions": {"positions": POSITIONS[::-1]},
        "dtype": {"loaded": half},
        "checkpoint": {"loaded": other},
        "checkpoint`|`tokenizer": {"loaded": Checkpoint(templated, "templated").load()},
    }
    for field, change in changes.items():
        with pytest.raises(InputError, match=f"`{field}` is .* as asked for now; delete") as caught:
            ask(**change)
        assert str(ask.folder) in str(caught.value)
    monkeypatch.setattr("interp.activations.capturing.code_version", lambda: "9.9+0")
    with pytest.raises(InputError, match=r"`code_version` is .*, not \"9\.9\+0\""):
        ask()
    assert contents(ask.folder) == kept


@pytest.mark.parametrize("offset", [10, 200, -1])
def test_a_flipped_byte_is_found_in_the_file_that_has_it(ask, offset):
    ask()
    path = ask.folder / "resid_pre.1.npy"
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(bytes(content))
    acts = ask()
    acts.read(SITES[0], "last_prompt")
    with pytest.raises(InputError, match=r"resid_pre\.1\.npy: not the file"):
        acts.read(SITES[1], "last_prompt")
    path.unlink()
    with pytest.raises(InputError, match=r"resid_pre\.1\.npy: not the file"):
        acts.read(SITES[1], "last_prompt")


def test_a_run_that_fails_leaves_nothing_and_the_next_one_is_whole(ask, tmp_path):
    expected = ask(folder=tmp_path / "expected")
    before = sorted(path.name for path in tmp_path.iterdir())
    with broken(ask.loaded, "w5"), pytest.raises(InputError, match="NaN"):
        ask()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == [
        name for name in before if not name.endswith(".lock")
    ]
    ask()
    assert contents(ask.folder) == contents(tmp_path / "expected")
    assert expected.manifest == ask().manifest


def test_what_a_killed_run_left_is_cleaned_up(ask, tmp_path):
    partial = tmp_path / ".acts.partial"
    partial.mkdir()
    (partial / "resid_post.2.npy").write_bytes(b"half")
    (partial / "manifest.json").write_text("{")
    memory = ask(folder=None)
    assert torch.equal(ask().read(*PLACE), memory.read(*PLACE))
    assert not partial.exists()


def test_a_damaged_manifest_and_a_folder_of_something_else_are_refused_and_kept(ask):
    ask()
    manifest = ask.folder / "manifest.json"
    manifest.write_text(manifest.read_text()[:-9])
    with pytest.raises(InputError, match=r"manifest\.json: not valid JSON"):
        ask()
    manifest.unlink()
    kept = contents(ask.folder)
    with pytest.raises(InputError, match=r"is no activation store \(no manifest\.json\)"):
        ask()
    assert contents(ask.folder) == kept


def test_a_full_disk_is_told_before_the_model_runs(ask, monkeypatch):
    refusing_to_run(ask.loaded)
    monkeypatch.setattr(
        "interp.activations.store.shutil.disk_usage", lambda _: SimpleNamespace(free=1000)
    )
    with pytest.raises(InputError, match=r"take 1 MB and 0 MB are free"):
        ask()
    assert not ask.folder.exists()


def test_a_place_that_cannot_be_written_to_is_told(ask, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        ask(folder=tmp_path / "file" / "acts")


def test_of_two_that_want_one_store_at_once_one_computes_it(ask):
    ran = []
    ask.loaded.model.base_model.register_forward_pre_hook(lambda *_: ran.append(1))
    ask(folder=None)
    n_batches = len(ran)
    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(ask), pool.submit(ask)])
    assert torch.equal(first.read(*PLACE), second.read(*PLACE))
    assert len(ran) == 2 * n_batches
