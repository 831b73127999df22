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

from interp.errors import InputError
from interp.stages.graph import Event, Graph, Node
from interp.stages.infra import Infra
from interp.stages.jobs import JobState
from interp.study import Study, StudyConfig
from tests.slurm.one_node import CannotStart, OneNode, require_packages
from tests.slurm.stages import First, Second

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(90)  # a job that never ends is a failure
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
        deadline = time.monotonic() + 20
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


STUDY = {
    "name": "on_slurm",
    "purpose": "calibration",
    "description": "Two members in miniature.",
    "lineage": "organism",
    "seeds": [3],
    "members": ["base", "never"],
    "stages": ["confidence"],
    "shape": {"d_model": 32, "n_layers": 2, "n_heads": 2, "d_mlp": 64, "n_local_layers": 1},
    "budget": 0.01,
    "confidence": {"samples": 2, "n_boot": 100},
}


def run_study(folder: Path, patch: pytest.MonkeyPatch, cluster: str) -> tuple[Any, list[Event]]:
    patch.setenv("INTERP_CACHE", str(folder / "cache"))
    patch.setenv("INTERP_FIGURES", str(folder / "figures"))
    config = StudyConfig.model_validate(
        {**STUDY, "infra": {"cluster": "slurm", "cpus_per_task": 1, "timeout_min": 10}}
    )
    events: list[Event] = []
    study = Study(config, device="cpu", cluster=cluster, workers=2)
    result = study.run(lambda what: events.append(what) if isinstance(what, Event) else None)
    return result, events


def test_a_study_gives_the_tables_that_it_gives_in_process(
    slurm: OneNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    jobs, _ = run_study(tmp_path / "jobs", monkeypatch, "slurm")
    here, _ = run_study(tmp_path / "here", monkeypatch, "none")
    again, events = run_study(tmp_path / "jobs", monkeypatch, "none")
    assert {event.state for event in events} == {"cached"}
    assert jobs.run["run_id"] == here.run["run_id"] == again.run["run_id"]
    assert set(jobs.tables) == set(here.tables) != set()
    for name, table in jobs.tables.items():
        pd.testing.assert_frame_equal(table, here.tables[name])
        pd.testing.assert_frame_equal(table, again.tables[name])
