"""Each worker process has devices of its own, and stages are told the name they have there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.runs.config import Source
from interp.stages.behave import Ask
from interp.stages.common import ModelRef
from interp.stages.devices import default_workers, main_device, stage_device, worker_devices
from interp.stages.graph import Graph, Node
from interp.stages.memory import require_fit
from tests.checkpoints.tiny import write_checkpoint
from tests.stages.device_stages import WhereAmI


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers begin in milliseconds; there is no CUDA here that would not survive it."""
    monkeypatch.setattr("interp.workers.START", "fork")


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


def ran(folder: Path, devices: list[list[str]], workers: int) -> list[tuple[int, str, str]]:
    """Four stages in worker processes: process, what it could see, what the stage was told."""
    common = {"seed": 0, "device": "cuda", "infra": {"folder": str(folder)}}
    nodes = [
        Node(str(number), (), lambda _, number=number: WhereAmI(number=number, **common))
        for number in range(4)
    ]
    return list(Graph(nodes, workers, None, lambda _: None, devices).run().values())


def test_workers_see_one_device_each_and_between_them_all(tmp_path, three, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-x,7")
    found = ran(tmp_path, worker_devices("cuda:2,cuda:1"), workers=2)
    seen = {process: visible for process, visible, _ in found}
    assert set(seen.values()) == {"7", "GPU-x"}
    assert len(seen) == 2
    assert os.getpid() not in seen
    assert all(seen[process] == visible for process, visible, _ in found)  # from first to last
    assert {told for *_, told in found} == {"cuda"}
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,GPU-x,7"  # nobody else's changed


@pytest.mark.usefixtures("forked", "three")
def test_a_worker_of_a_spread_model_sees_all_and_one_on_the_cpu_is_told_nothing(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    together = worker_devices("cuda", together=True)
    assert together == [["cuda:0", "cuda:1", "cuda:2"]]
    assert {visible for _, visible, _ in ran(tmp_path / "a", together, 1)} == {"0,1,2"}
    assert {visible for _, visible, _ in ran(tmp_path / "b", worker_devices("cpu"), 1)} == {None}


@pytest.mark.usefixtures("three")
def test_one_worker_per_device_and_per_core_on_the_cpu(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    workers = {name: default_workers(name) for name in ("cpu", "cuda", "cuda:1", "cuda:0,cuda:2")}
    assert workers == {"cpu": 12, "cuda": 3, "cuda:1": 1, "cuda:0,cuda:2": 2}
    assert default_workers("cuda", together=True) == 1
    assert [main_device(name) for name in ("cpu", "cuda", "cuda:1,cuda:0")] == [
        "cpu",
        "cuda:0",
        "cuda:1",
    ]


def test_a_stage_is_told_its_own_device_here_and_the_one_asked_for_on_a_cluster():
    names = ("cpu", "cuda", "cuda:1", "cuda:0,cuda:2")
    assert [stage_device(name, None) for name in names] == ["cpu", "cuda", "cuda", "cuda"]
    assert [stage_device(name, "slurm") for name in names[:3]] == ["cpu", "cuda", "cuda:1"]
    with pytest.raises(InputError, match=r"a list is for workers of this machine.*gpus_per_node"):
        stage_device("cuda:0,cuda:2", "slurm")


def refs_of(folder: Path, names: str) -> list[ModelRef]:
    checkpoints = [Checkpoint(write_checkpoint(folder / name), name) for name in names]
    return [ModelRef.of(checkpoint) for checkpoint in checkpoints]


@pytest.mark.usefixtures("three")
def test_a_run_is_refused_where_least_is_free_before_a_stage_starts(tmp_path, monkeypatch):
    gb = 2**30
    free = {"cuda:0": 9 * gb, "cuda:1": gb // 4, "cuda:2": 9 * gb}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device], 80 * gb))
    models, works = refs_of(tmp_path, "ab"), {"capture": 64, "generate": 64}
    fits = require_fit(models, works, "cuda:0,cuda:2", at_a_time=2)
    assert len(fits) == 4
    with pytest.raises(InputError, match=r"may be needed, and 256 MB are free on cuda:1;"):
        require_fit(models, works, "cuda", at_a_time=3)
    # Spread over all three, and one at a time, it fits; ten on one device do not.
    assert require_fit(models, works, "cuda", at_a_time=1, together=True)
    free["cuda:0"] = gb
    with pytest.raises(InputError, match=r"4 at a time, and 1\.0 GB are free on cuda:0.*--workers"):
        require_fit(models, works, "cuda:0", at_a_time=10)


def test_where_a_model_is_put_is_no_part_of_what_names_a_result(tmp_path):
    (plain,) = refs_of(tmp_path, "a")
    spread = plain.model_copy(update={"device_map": "auto"})
    of = {"seed": 0, "infra": {"folder": str(tmp_path)}}
    stages = [Ask(model=ref, **of) for ref in (plain, spread)]
    assert stages[0].infra.uid() == stages[1].infra.uid()
    source = Source(source="x", device_map="auto")
    assert source.model_dump() == Source(source="x").model_dump()
    with pytest.raises(ValueError, match="device_map"):
        Source(source="x", device_map="nonsense")


def test_a_spread_model_is_loaded_by_its_map_and_on_the_cpu_without(tmp_path, monkeypatch):
    (plain,) = refs_of(tmp_path, "a")
    asked = []
    load = Checkpoint.load

    def noted(self, **options):
        asked.append(options)
        return load(self, **options | ({"device": "cpu"} if "device" in options else {}))

    monkeypatch.setattr(Checkpoint, "load", noted)
    spread = plain.model_copy(update={"device_map": "auto"})
    for ref, device in ((plain, "cpu"), (spread, "cpu"), (spread, "cuda")):
        ref.load(device)
    assert asked == [
        {"dtype": "float32", "device": "cpu"},
        {"dtype": "float32", "device": "cpu"},
        {"dtype": "float32", "device_map": "auto"},
    ]
