"""Studies on a real Slurm: arrays, kills, failing and drained nodes, Ctrl-C, and equal tables."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from interp.errors import InputError
from interp.probing import ProbeRun
from interp.stages.graph import Event, Graph, Node
from interp.stages.infra import Infra
from interp.stages.jobs import JobState
from interp.study import StudyResult
from tests.probing.test_probe_run import questions
from tests.slurm.one_node import CannotStart, OneNode, require_packages
from tests.slurm.stages import First, Second

ROOT = Path(__file__).parents[2]
# A job that never ends is a failure; the first test may have to install the scheduler.
pytestmark = pytest.mark.timeout(600)
Act = Callable[[JobState], None]


@pytest.fixture(scope="module")
def slurm() -> Iterator[OneNode]:
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    cluster = OneNode(folder)
    try:
        require_packages()
        cluster.start()
    except CannotStart as error:
        cluster.stop()
        shutil.rmtree(folder)
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.config))
        patch.setenv("PYTHONPATH", str(ROOT))
        try:
            yield cluster
        finally:
            cluster.stop()
            shutil.rmtree(folder)


class Desk:
    """Stages over one folder, run with something done when a job reaches a state."""

    def __init__(self, folder: Path, **infra: Any) -> None:
        self.folder = folder
        self.infra = {
            **Infra(cluster="slurm", cpus_per_task=1, **infra).of_stages(),
            "folder": str(folder / "stages"),
        }
        self.seen: list[JobState] = []
        self.events: list[Event] = []

    def node(self, kind: type[First] | type[Second], name: str, *needs: str, **how: Any) -> Node:
        return Node(
            name,
            needs,
            lambda done: kind(
                seed=0,
                name=name,
                folder=str(self.folder),
                needed=tuple(done[need] for need in needs),
                infra=self.infra,
                **how,
            ),
        )

    def run(
        self, *nodes: Node, workers: int = 2, act: Act = lambda _: None, cluster: str = "slurm"
    ) -> dict[str, Any]:
        self.seen, self.events = [], []

        def watch(what: Any) -> None:
            if isinstance(what, JobState):
                self.seen.append(what)
                act(what)
            elif isinstance(what, Event):
                self.events.append(what)

        return Graph(nodes, workers, cluster, watch).run()

    def go(self, name: str | None = None) -> None:
        (self.folder / (f"go_{name}" if name else "go")).touch()

    def wait_for(self, name: str) -> None:
        """Until the stage has begun, which is a while after its job has."""
        deadline = time.monotonic() + 60
        while name not in self.ran():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def ran(self) -> list[str]:
        return [line.split()[0] for line in self.lines()]

    def lines(self) -> list[str]:
        noted = self.folder / "ran"
        return noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []

    def jobs(self, state: str) -> dict[str, str]:
        return {seen.task.split()[1]: seen.job for seen in self.seen if seen.state == state}


def test_a_class_is_one_array_and_a_drained_node_is_waited_for(
    slurm: OneNode, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    shown: list[str] = []

    def act(seen: JobState) -> None:
        if len(desk.jobs("pending")) == 4 and not shown:
            shown.append(slurm.run("scontrol", "show", "job"))
            slurm.resume()
            desk.go()

    slurm.drain()
    nodes = [*(desk.node(First, name) for name in "abc"), desk.node(Second, "d")]

    assert desk.run(*nodes, act=act) == {name: name for name in "abcd"}
    assert "DRAINED" in desk.seen[0].reason or "UnavailableNodes:one" in desk.seen[0].reason
    jobs = desk.jobs("pending")
    array = jobs["a"].split("_")[0]
    assert [jobs[name] for name in "abc"] == [f"{array}_{n}" for n in range(3)]
    assert f"ArrayJobId={array} ArrayTaskId=0-2%2 ArrayTaskThrottle=2" in shown[0]
    assert "_" not in jobs["d"]  # alone of its class
    ran = dict(line.split(" ", 1) for line in desk.lines())
    assert {ran[name] for name in "abc"} == {f"{array} 1"}  # and each with one thread
    assert all(seen.node == "one" for seen in desk.seen if seen.state == "running")
    assert sorted(desk.ran()) == list("abcd")


def test_a_killed_job_is_named_and_is_all_that_a_second_run_computes(
    slurm: OneNode, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    nodes = [desk.node(First, "a"), desk.node(First, "b")]

    def act(seen: JobState) -> None:
        if (seen.state, seen.task) == ("running", "note b"):
            desk.wait_for("b")
            slurm.run("scancel", seen.job)
        elif seen.state == "failed":
            desk.go()

    with pytest.raises(InputError) as caught:
        desk.run(*nodes, act=act)
    job = desk.jobs("failed")["b"]
    message = str(caught.value)
    assert message.startswith(
        f"note b was killed (job {job} on node one): it was cancelled (CANCELLED"
    )
    assert f"{job}_0_log.err ends:" in message
    assert [event.label for event in desk.events if event.state == "done"] == ["note a"]

    assert desk.run(*nodes) == {"a": "a", "b": "b"}
    assert sorted(desk.ran()) == ["a", "b", "b"]
    assert [event.label for event in desk.events if event.state == "cached"] == ["note a"]


def test_a_failing_stage_is_raised_with_its_job_node_and_log(
    slurm: OneNode, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(InputError) as caught:
        desk.run(desk.node(First, "bad", fails=True))
    job = desk.jobs("failed")["bad"]
    lines = str(caught.value).splitlines()
    assert lines[0] == f"note bad failed (job {job} on node one): 'bad' is no good input"
    assert lines[1].endswith(f"{job}_0_log.err ends:")
    assert "    interp.errors.InputError: 'bad' is no good input" in lines


def test_when_a_node_fails_a_job_begins_again_unless_it_must_not(
    slurm: OneNode, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    once = Desk(tmp_path, slurm_additional_parameters={"no-requeue": True})

    def act(seen: JobState) -> None:
        running = [seen.task for seen in desk.seen if seen.state == "running"]
        if sorted(running) == ["note a", "note b"] and seen.state == "running":
            desk.wait_for("a")
            desk.wait_for("b")
            slurm.fail()
        elif running.count("note a") == 2:
            desk.go()

    with pytest.raises(InputError, match=r"note b was killed \(.*on node one\): its node failed"):
        desk.run(desk.node(First, "a"), once.node(Second, "b"), act=act)
    assert sorted(desk.ran()) == ["a", "a", "b"]
    assert [event.label for event in desk.events if event.state == "done"] == ["note a"]


def test_ctrl_c_empties_the_queue_and_the_next_run_joins_what_runs(
    slurm: OneNode, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    nodes = [desk.node(First, "a"), desk.node(First, "b")]

    def interrupt(seen: JobState) -> None:
        if {*desk.jobs("running")} == {"a"} and "b" in desk.jobs("pending"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.run(*nodes, workers=1, act=interrupt)
    left = slurm.run("squeue", "--noheader", "--array", "--format=%i")
    assert left == desk.jobs("running")["a"]
    desk.go()
    assert desk.run(*nodes) == {"a": "a", "b": "b"}
    assert sorted(desk.ran()) == ["a", "b"]


def test_what_slurm_refuses_is_said_in_its_words(slurm: OneNode, tmp_path: Path) -> None:
    desk = Desk(tmp_path, slurm_partition="nowhere")
    with pytest.raises(InputError, match=r"note a: the cluster refused.*invalid partition"):
        desk.run(desk.node(First, "a"))


RUN = {
    "name": "on_slurm",
    "models": {"one": "one", "two": "two"},
    "prompts": "questions.jsonl",
    "cells": {"positions": ["last_prompt"], "layers": [1]},
    "probe": {"n_splits": 3, "n_shuffles": 5, "n_control_tasks": 1, "n_boot": 50, "mlp": False},
    "infra": {"cluster": "slurm", "cpus_per_task": 1, "timeout_min": 10},
}


def test_a_run_gives_the_tables_that_it_gives_in_process(
    slurm: OneNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.checkpoints.tiny import write_checkpoint

    monkeypatch.setattr("interp.runs.run.publish", lambda *_: None)  # figures are drawn here anyway
    for seed, name in enumerate(("one", "two")):
        write_checkpoint(tmp_path / name, "llama", seed=seed)
    questions(tmp_path / "questions.jsonl", 16, 0)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(RUN), encoding="utf-8")

    def run(cluster: str | None, cache: str, workers: int = 1) -> tuple[StudyResult, set[str]]:
        monkeypatch.setenv("INTERP_CACHE", str(tmp_path / cache))
        monkeypatch.setenv("INTERP_FIGURES", str(tmp_path / cache / "figures"))
        states = set()
        planned = ProbeRun.load(
            str(tmp_path / "run.yaml"), cluster=cluster, device="cpu", workers=workers
        )
        result = planned.run(lambda what: states.add(getattr(what, "state", "")))
        return result, states

    jobs, states = run(None, "of_jobs", workers=2)
    assert states >= {"started", "running", "done"}
    array = {path.name for path in (tmp_path / "of_jobs").glob("stages/*Probe*/logs/*/*_[01]")}
    assert len(array) == 2
    here, _ = run("none", "of_here")
    again, states = run("none", "of_jobs")
    assert states == {"cached"}
    assert jobs.run["run_id"] == here.run["run_id"] == again.run["run_id"]
    assert set(jobs.tables) == set(here.tables) != set()
    for name, table in jobs.tables.items():
        pd.testing.assert_frame_equal(table, here.tables[name])
        pd.testing.assert_frame_equal(table, again.tables[name])
