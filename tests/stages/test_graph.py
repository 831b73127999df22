"""Stages run when what they need is done, from the cache when they can, and fail loudly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import exca
import pytest

from interp.errors import InputError
from interp.progress import Progress
from interp.stages.common import Stage, task_infra
from interp.stages.graph import Event, Graph, Node


class Add(Stage):
    """A stage that adds, and refuses negative numbers."""

    a: int
    b: int
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        return f"{self.a} + {self.b}"

    @infra.apply
    def run(self) -> int:
        if self.a < 0:
            raise InputError("a negative number")
        return self.a + self.b


def nodes(folder: Path, first: int = 1) -> list[Node]:
    common = {"seed": 0, "infra": {"folder": str(folder)}}
    return [
        Node("c", ("a", "b"), lambda done: Add(a=done["a"], b=done["b"], **common)),
        Node("a", (), lambda done: Add(a=first, b=2, **common)),
        Node("b", ("a",), lambda done: Add(a=done["a"], b=10, **common)),
    ]


def run(folder: Path, first: int = 1) -> tuple[dict[str, int], list[Event]]:
    events: list[Event] = []

    def watch(what: Event | Progress) -> None:
        if isinstance(what, Event):
            events.append(what)

    # "debug" runs a stage in this process, so that the class needs no importable module.
    graph = Graph(nodes(folder, first), workers=2, cluster="debug", watch=watch)
    return graph.run(), events


def test_needs_come_first_and_results_arrive(tmp_path: Path) -> None:
    results, events = run(tmp_path)
    assert results == {"a": 3, "b": 13, "c": 16}
    assert [event.label for event in events if event.state == "done"] == [
        "1 + 2",
        "3 + 10",
        "3 + 13",
    ]


def test_a_second_run_starts_nothing(tmp_path: Path) -> None:
    run(tmp_path)
    results, events = run(tmp_path)
    assert results == {"a": 3, "b": 13, "c": 16}
    assert {event.state for event in events} == {"cached"}


def test_a_failure_is_raised_and_earlier_results_stay(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(InputError, match="a negative number"):
        run(tmp_path, first=-1)
    _, events = run(tmp_path)
    assert {event.state for event in events} == {"cached"}


def test_a_torn_cache_entry_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    torn = sorted(tmp_path.rglob("job.pkl"))[0]
    torn.write_bytes(torn.read_bytes()[:20])
    with pytest.raises(InputError, match=r"corrupted or half-written; delete this folder"):
        run(tmp_path)


def children_of(pid: int) -> set[int]:
    return {
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    }


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads process trees from /proc")
def test_workers_end_with_a_study_that_is_killed(tmp_path: Path) -> None:
    """kill -9 leaves no process behind that goes on training unseen."""
    study = subprocess.Popen(
        [sys.executable, "-c", "from interp.cli import main; main()", "organism", "train", "base"],
        env={**os.environ, "INTERP_CACHE": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        # The work folder appears when a worker is training.
        while not list(tmp_path.rglob("*.work")):
            assert study.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        workers = children_of(study.pid)
        assert workers
    finally:
        study.kill()
        study.wait()
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
