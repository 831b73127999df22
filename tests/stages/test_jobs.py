"""Jobs without a scheduler: processes of this machine, and what a scheduler's answers mean."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from interp.errors import InputError
from interp.stages.graph import Event, Graph, Node
from interp.stages.infra import Infra
from interp.stages.jobs import JobState, _cause
from interp.stages.slurm import GONE, KILLED, Queue
from tests.slurm.stages import First

ROOT = Path(__file__).parents[2]


def node(folder: Path, name: str, key: str | None = None, **how: Any) -> Node:
    infra = Infra(cluster="local").of_stages() | {"folder": str(folder / "stages")}
    return Node(
        key or name,
        (),
        lambda _: First(seed=0, name=name, folder=str(folder), infra=infra, **how),
    )


def ran(folder: Path) -> list[str]:
    noted = folder / "ran"
    return [line.split()[0] for line in noted.read_text().splitlines()] if noted.exists() else []


def test_a_local_job_that_is_killed_is_all_that_a_second_run_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # "twin" is the same stage as "a" under another name.
    nodes = [node(tmp_path, "a"), node(tmp_path, "a", "twin"), node(tmp_path, "b")]
    seen: list[Any] = []

    def watch(what: Any) -> None:
        seen.append(what)
        if isinstance(what, JobState) and (what.task, what.state) == ("note b", "running"):
            deadline = time.monotonic() + 20
            while sorted(ran(tmp_path)) != ["a", "b"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            os.kill(worker_of(int(what.job)), signal.SIGKILL)
        elif isinstance(what, JobState) and what.state == "failed":
            (tmp_path / "go").touch()

    with pytest.raises(InputError, match=r"^note b was killed \(job \d+ on node .*without a res"):
        Graph(nodes, 3, "local", watch).run()
    seen.clear()
    assert Graph(nodes, 3, "local", seen.append).run() == {"a": "a", "twin": "a", "b": "b"}
    assert sorted(ran(tmp_path)) == ["a", "b", "b"]
    states = [event.state for event in seen if isinstance(event, Event)]
    assert states == ["cached", "cached", "started", "done"]


def worker_of(controller: int) -> int:
    """The process in which the stage runs; the controller only waits for it."""
    children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    return int(children[0]) if children else controller


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_the_queue_is_asked_first_and_the_accounting_about_what_it_forgot(bin_folder: Path) -> None:
    """As Slurm 22.05 prints them; tasks cancelled before they began stand under the array's id."""
    fake(bin_folder, "squeue", "echo '7_0|RUNNING|n1|None\n7|CANCELLED||JobArrayTaskLimit'")
    past = (
        "JobID|State|NodeList\n5|TIMEOUT|n2\n5.batch|CANCELLED|n2\n"
        "6_[2-3]|CANCELLED by 0|None assigned\n8|RUNNING|n3"
    )
    fake(bin_folder, "sacct", f"echo '{past}'")
    queue = Queue()
    jobs = ("7_0", "7_1", "5", "6_3", "8", "9")
    queue._asked.update(jobs)
    states = {job: queue.get_info(job, mode="force")["State"] for job in jobs}
    # What the accounting takes for running and the queue does not know is gone.
    assert states == {
        **{"7_0": "RUNNING", "7_1": "CANCELLED", "5": "TIMEOUT", "6_3": "CANCELLED"},
        **{"8": GONE, "9": GONE},
    }
    assert [queue.is_done(job, mode="cache") for job in jobs] == [False, *[True] * 5]


def test_the_first_question_about_a_task_answers_for_its_array(bin_folder: Path) -> None:
    fake(bin_folder, "squeue", "echo '7_0|RUNNING|n1|None\n7_1|PENDING||Priority'")
    queue = Queue()
    assert [queue.get_state(job) for job in ("7_0", "7_1", "7_0")] == [
        "RUNNING", "PENDING", "RUNNING",
    ]  # fmt: skip
    assert queue.num_calls == 1


def test_an_answerless_scheduler_ends_no_job(bin_folder: Path) -> None:
    fake(bin_folder, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    queue = Queue()
    assert not queue.is_done("3", mode="force")
    fake(bin_folder, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    fake(bin_folder, "sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert queue.is_done("3", mode="force")
    assert queue.get_state("3", mode="cache") == GONE


@pytest.mark.parametrize("state", ["PENDING", "CONFIGURING", "SUSPENDED", "COMPLETING", "REQUEUED"])
def test_a_job_that_waits_in_whatever_way_has_not_ended(bin_folder: Path, state: str) -> None:
    fake(bin_folder, "squeue", f"echo '3|{state}||Resources'")
    assert not Queue().is_done("3", mode="force")


@pytest.mark.parametrize("state", sorted(set(KILLED) - {GONE}))
def test_a_job_that_ended_in_whatever_way_has_ended(bin_folder: Path, state: str) -> None:
    fake(bin_folder, "squeue", f"echo '3|{state}|n1|None'")
    assert Queue().is_done("3", mode="force")


def test_the_cause_is_our_message_the_time_limit_or_the_last_line() -> None:
    trace = "Job failed with trace:\n----------------------\nTraceback\n  x\n{}\n"
    trace += "----------------------\nYou can check full logs"
    ours = "interp.errors.InputError: a.csv: no column\nexpected `question`"
    assert _cause(trace.format(ours)) == ("failed", "a.csv: no column\nexpected `question`")
    late = "submitit.core.utils.UncompletedJobError: Job not requeued because: timed-out and so on."
    assert _cause(trace.format(late)) == ("was killed", KILLED["TIMEOUT"])
    assert _cause(trace.format("ValueError: 3")) == ("failed", "ValueError: 3")
