"""Each worker process has devices of its own, and stages are told the name they have there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from interp.errors import InputError
from interp.stages.devices import default_workers, main_device, stage_device, worker_devices
from interp.stages.graph import Graph, Node
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
