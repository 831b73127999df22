"""A capture by several processes leaves the store that one process leaves, byte for byte."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from interp import progress
from interp.activations import capture, capture_sharded
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.progress import Progress
from tests.activations.asked import some_prompts
from tests.activations.killed import contents
from tests.checkpoints.tiny import write_checkpoint

SITES, POSITIONS = ["resid_post.2", "attn_out.1"], ["last_prompt", "all"]
N = 60


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    folder = write_checkpoint(tmp_path_factory.mktemp("sharded") / "checkpoint", "qwen2")
    return Checkpoint(folder, "tiny")


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """And processes that begin in milliseconds: forked, as there is no CUDA here."""
    monkeypatch.setattr("interp.activations.planning.ROWS_A_SHARD", 10)
    monkeypatch.setattr("interp.workers.START", "fork")


@pytest.fixture
def told(monkeypatch) -> list[Progress]:
    """What was reported; from here, and so from all processes."""
    monkeypatch.setattr(progress, "_listeners", [])
    reports: list[Progress] = []
    progress.listen(reports.append)
    return reports


def store_of(checkpoint: Checkpoint, folder: Path, **options) -> dict[str, bytes]:
    """The store by one process."""
    loaded = checkpoint.load(dtype=options.pop("computed_in", "float32"))
    capture(loaded, some_prompts(N), SITES, POSITIONS, folder=folder, **options)
    return contents(folder)


def test_two_processes_leave_the_bytes_of_one_and_report_together(checkpoint, tmp_path, told):
    expected = store_of(checkpoint, tmp_path / "one", token_budget=100)
    told.clear()
    acts = capture_sharded(
        checkpoint,
        some_prompts(N),
        SITES,
        POSITIONS,
        folder=tmp_path / "two",
        devices=["cpu", "cpu"],
        token_budget=100,
    )
    assert contents(tmp_path / "two") == expected
    assert len(acts) == N
    done = [report.done for report in told]
    assert done == sorted(done)
    assert told[-1] == Progress("capture tiny", N, N)
    # A second call, of either function, reads it.
    capture_sharded(
        checkpoint, some_prompts(N), SITES, POSITIONS, folder=tmp_path / "two", devices=["cpu"]
    )
    assert store_of(checkpoint, tmp_path / "two") == expected


def test_the_dtype_the_weights_are_saved_in_names_the_store_as_in_one_process(checkpoint, tmp_path):
    expected = store_of(checkpoint, tmp_path / "one", computed_in="bfloat16")
    options = {"folder": tmp_path / "two", "devices": ["cpu"]}
    capture_sharded(
        checkpoint, some_prompts(N), SITES, POSITIONS, computed_in="bfloat16", **options
    )
    assert contents(tmp_path / "two") == expected


def test_killed_in_the_middle_it_is_completed_with_the_same_bytes(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr("interp.activations.planning.ROWS_A_SHARD", 2)
    expected = store_of(checkpoint, tmp_path / "one")
    folder = tmp_path / "two"
    partial = folder.with_name(".two.partial")
    asked = (checkpoint, some_prompts(N), SITES, POSITIONS)
    main = multiprocessing.get_context("fork").Process(
        target=capture_sharded, args=asked, kwargs={"folder": folder, "devices": ["cpu", "cpu"]}
    )
    main.start()
    deadline = time.monotonic() + 60
    while not list(partial.glob("rows-*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    main.kill()
    main.join()
    time.sleep(1.5)  # workers end within a second of who started them
    kept = {path.name: path.stat().st_ino for path in partial.glob("rows-*")}
    assert 0 < len(kept) < N // 2
    assert not folder.exists()
    capture_sharded(*asked, folder=folder, devices=["cpu", "cpu"])
    assert contents(folder) == expected
    assert {name: (folder / name).stat().st_ino for name in kept} == kept  # not made again


def children() -> set[int]:
    return {
        int(child)
        for task in Path("/proc/self/task").glob("*/children")
        for child in task.read_text().split()
    }


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads process trees from /proc")
def test_a_process_that_dies_is_one_error_and_finished_shards_stay(
    checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr("interp.activations.planning.ROWS_A_SHARD", 1)
    before, folder = children(), tmp_path / "two"
    partial = folder.with_name(".two.partial")

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not list(partial.glob("rows-*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(min(children() - before), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    asked = (checkpoint, some_prompts(N), SITES, POSITIONS)
    options = {"folder": folder, "devices": ["cpu", "cpu"]}
    with pytest.raises(InputError, match=r"capture tiny: one of the processes on cpu, cpu ended"):
        capture_sharded(*asked, **options)
    killer.join()
    kept = {path.name: path.stat().st_ino for path in partial.glob("rows-*")}
    assert 0 < len(kept) < N
    acts = capture_sharded(*asked, **options)
    assert {name: (folder / name).stat().st_ino for name in kept} == kept
    assert len(acts) == N


def test_bad_input_is_one_error_before_or_in_a_process(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    asked = (checkpoint, some_prompts(3), SITES, POSITIONS)
    with pytest.raises(InputError, match="no devices"):
        capture_sharded(*asked, folder=tmp_path / "a", devices=[])
    with pytest.raises(InputError, match=r"cpu, cuda:0 are of two kinds"):
        capture_sharded(*asked, folder=tmp_path / "a", devices=["cpu", "cuda:0"])
    with pytest.raises(InputError, match="dtype 'int8'"):
        capture_sharded(*asked, folder=tmp_path / "a", devices=["cpu"], dtype="int8")
    broken = write_checkpoint(tmp_path / "broken", "llama")
    loaded = Checkpoint(broken, "broken").load()
    loaded.model.get_input_embeddings().weight.data[:] = float("nan")
    loaded.model.save_pretrained(broken)
    with pytest.raises(InputError, match=r"prompt p\d+: NaN or infinite activations"):
        capture_sharded(
            Checkpoint(broken, "broken"), *asked[1:], folder=tmp_path / "b", devices=["cpu"]
        )
