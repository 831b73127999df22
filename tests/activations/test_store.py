"""A store gives back what was captured, or says why it does not."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from interp.activations import Site, capture
from interp.activations.store import open_store
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from tests.activations.asked import broken, some_prompts
from tests.activations.killed import contents, flip
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
    (entry,) = manifest["shards"]
    assert (entry["name"], entry["rows"]) == ("rows-0000000-0000024", [0, 25])
    assert entry["tokens"] == sum(len(ask().token_ids(row)) for row in range(25))
    files = {path.name for path in (ask.folder / entry["name"]).iterdir()}
    assert set(entry["sha256"]) == files
    assert {"resid_post.2.npy", "resid_pre.1.npy", "tokens.npy"} < files


def test_equal_requests_make_equal_bytes(ask, tmp_path):
    ask()
    ask(folder=tmp_path / "other")
    assert contents(ask.folder) == contents(tmp_path / "other")


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
        "positions`|`tokens": {"positions": POSITIONS[::-1]},
        "dtype": {"dtype": "float16"},
        "computed_in": {"loaded": half, "dtype": "float32"},
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


def test_any_flipped_byte_is_found_and_its_file_named(ask, tmp_path):
    ask(positions=["all", "last_prompt"])
    for path in sorted(path for path in ask.folder.rglob("*") if path.is_file()):
        for offset in (10, path.stat().st_size // 2, -1):
            copy = shutil.copytree(ask.folder, tmp_path / f"{path.name}{offset}")
            flip(copy / path.relative_to(ask.folder), offset)
            with pytest.raises(InputError, match=rf"{path.name}: not .* damaged") as caught:
                read_all(copy)
            assert str(copy) in str(caught.value)


def read_all(folder: Path) -> None:
    acts = open_store(folder)
    for site in acts.sites:
        for position in acts.positions:
            acts.read(site, position)
            acts.spans(position)
    acts.token_ids(0)


def test_damage_is_found_where_it_is_and_the_rest_can_still_be_read(ask):
    acts = ask()
    flip(ask.folder / "rows-0000000-0000024" / "resid_pre.1.npy", 200)
    acts.read(*PLACE)
    with pytest.raises(InputError, match=r"resid_pre\.1\.npy: not the file .* missing or damaged"):
        acts.read(SITES[1], "last_prompt")


def test_a_capture_that_fails_makes_no_store_and_the_next_one_is_whole(ask, tmp_path):
    ask(folder=tmp_path / "expected")
    with broken(ask.loaded, "w5"), pytest.raises(InputError, match="NaN"):
        ask()
    assert not ask.folder.exists()
    ask()
    assert contents(ask.folder) == contents(tmp_path / "expected")


def test_a_folder_of_something_else_is_refused_and_kept(ask, tmp_path):
    ask()
    (ask.folder / "manifest.json").unlink()
    kept = contents(ask.folder)
    with pytest.raises(InputError, match=r"is no activation store \(no manifest\.json\)"):
        ask()
    assert contents(ask.folder) == kept
    with pytest.raises(InputError, match=r"nowhere: is no activation store"):
        open_store(tmp_path / "nowhere")


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


def test_what_a_model_cannot_reach_is_no_fault_of_the_disk(ask):
    def unreachable(*_):
        raise ConnectionError("no network")

    ask.loaded.model.base_model.register_forward_pre_hook(unreachable)
    with pytest.raises(ConnectionError):
        ask()


def test_of_two_threads_that_want_one_store_one_computes_it(ask):
    ran = []
    ask.loaded.model.base_model.register_forward_pre_hook(lambda *_: ran.append(1))
    ask(folder=None)
    n_batches = len(ran)
    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(ask), pool.submit(ask)])
    assert torch.equal(first.read(*PLACE), second.read(*PLACE))
    assert len(ran) == 2 * n_batches
