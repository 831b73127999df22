"""Stages as jobs of a cluster: one array a class, gathered as they end, failures told in words."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError

from interp.errors import InputError
from interp.progress import Progress
from interp.stages.common import Stage
from interp.stages.slurm import GONE, KILLED, cancel_pending, keeping_configuration

PAUSE_S = 0.5
"""Between two looks at which results are there; the scheduler is asked more rarely."""
LAST_LINES = 12
"""Of a log, in the message about its job."""


@dataclass(frozen=True)
class JobState(Progress):
    """A report of where a stage's job is; none of its one step is done.

    Attributes:
        state: "pending", "running", or "failed"; or in small letters what else Slurm calls it.
        job: its number, of a task of an array as "12_3".
        node: where it runs, or nothing.
        reason: why it waits, in Slurm's words, or how it failed; or nothing.
    """

    state: str
    job: str
    node: str
    reason: str


@dataclass
class _Flight:
    """A stage that was submitted; `own` by this study, and not by an earlier run of it."""

    stage: Stage
    job: Any
    own: bool
    told: JobState | None = None


@dataclass(frozen=True)
class _Failure:
    """What became of a stage that has no result."""

    headline: str
    log: str


class Jobs:
    """The jobs of a study.

    Args:
        workers: tasks of an array that run at a time; of "local" all jobs.
        cluster: "local" or "slurm".
        watch: told whenever a job's state changes.

    Raises:
        InputError: there is no Slurm here.
    """

    def __init__(self, workers: int, cluster: str, watch: Callable[[JobState], None]) -> None:
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise InputError(
                "cluster 'slurm': there is no `sbatch` on this machine; start the study where "
                "jobs are submitted from, or with --cluster local, or without a cluster"
            )
        logging.getLogger("exca").setLevel(logging.ERROR)  # what it tells is told here in words
        self._workers = workers
        self._cluster = cluster
        self._watch = watch
        self._flights: dict[str, _Flight] = {}
        self._failures: list[_Failure] = []

    @property
    def room(self) -> int:
        """How many more stages may be started; on Slurm any number, since they queue there."""
        if self._failures:
            return 0
        return sys.maxsize if self._cluster == "slurm" else self._workers - len(self._flights)

    def start(self, stages: Mapping[str, Stage]) -> None:
        """Submits stages, by name; those of one class as one job array."""
        groups: dict[type[Stage], dict[str, Stage]] = {}
        for name, stage in stages.items():
            groups.setdefault(type(stage), {})[name] = stage
        for group in groups.values():
            self._submit(group)

    def ended(self) -> dict[str, Any]:
        """Waits a moment; results, by name, of the stages that ended since.

        Raises:
            InputError: of the first stage that failed, once no other is in flight.
        """
        if self._flights:
            time.sleep(PAUSE_S)
        results = {}
        for name, flight in list(self._flights.items()):
            if flight.job.done():
                del self._flights[name]
                failure = _failure(flight)
                if failure is None:
                    results[name] = flight.job.result()
                else:
                    self._fail(flight, failure)
            else:
                self._tell(flight, _state(flight))
        if self._failures and not self._flights and not results:
            raise InputError(_in_words(self._failures))
        return results

    def cancel(self) -> None:
        """Takes from the queue what has not begun; what runs goes on, and the next run joins it."""
        own = [flight.job for flight in self._flights.values() if flight.own]
        if self._cluster == "slurm":
            cancel_pending([job.job_id for job in own])
            for job in own[:1]:  # asks for all: a run in this process must not take them for queued
                job.get_info(mode="force")
        else:
            for job in own:
                job.cancel()

    def _submit(self, group: Mapping[str, Stage]) -> None:
        for stage in group.values():
            stage.drop_note()
        joined = {name for name, stage in group.items() if stage.submitted()}
        # Two nodes may be the same stage; it is computed once.
        unique = {stage.infra.uid(): stage for stage in group.values()}  # type: ignore[attr-defined]
        # What holds the array is none of its stages: exca would not retry those that failed.
        first: Any = next(iter(unique.values()))
        holder = first.infra.clone_obj().infra
        try:
            with (
                keeping_configuration(),
                holder.job_array(max_workers=self._workers) as array,
            ):
                array.extend(unique.values())
        except FailedJobError as error:
            said = " ".join(str(error).split())
            self._failures.append(
                _Failure(f"{first.label()}: the cluster refused the job, mend `infra`: {said}", "")
            )
            return
        for name, stage in group.items():
            job = unique[stage.infra.uid()].infra.job()  # type: ignore[attr-defined]
            self._flights[name] = _Flight(stage, job, own=name not in joined)

    def _tell(self, flight: _Flight, state: JobState) -> None:
        if state != flight.told and state.state:
            flight.told = state
            self._watch(state)

    def _fail(self, flight: _Flight, failure: _Failure) -> None:
        self._failures.append(failure)
        now = _state(flight)
        self._watch(JobState(now.task, 0, 1, "failed", now.job, now.node, failure.headline))


def _state(flight: _Flight) -> JobState:
    """Where the job is now."""
    job, label = flight.job, flight.stage.label()
    if not isinstance(job, submitit.SlurmJob):
        return JobState(label, 0, 1, "running", job.job_id, socket.gethostname(), "")
    info = job.get_info(mode="standard")
    state = info.get("State", "").lower()
    reason = info.get("Reason", "") if state == "pending" else ""
    return JobState(label, 0, 1, state, job.job_id, info.get("NodeList", ""), reason)


def _failure(flight: _Flight) -> _Failure | None:
    """How a job that ended failed; None if it did not."""
    job = flight.job
    slurm = isinstance(job, submitit.SlurmJob)
    state = job.watcher.get_state(job.job_id, mode="cache") if slurm else ""
    there = job.paths.result_pickle.exists()
    # A job that says it is complete has its result, if a shared disk shows it a moment later.
    error = job.exception() if there or state in ("", "UNKNOWN", "COMPLETED") else None
    if error is None and (there or job.paths.result_pickle.exists()):
        return None
    info = job.get_info(mode="force") if slurm else {}
    node = info.get("NodeList") or (socket.gethostname() if not slurm else "")
    where = f"job {job.job_id}" + (f" on node {node}" if node else "")
    if isinstance(error, FailedJobError):
        how, said = _cause(str(error))
    else:
        how, said = "was killed", _death(info) if slurm else KILLED["COMPLETED"]
    headline = f"{flight.stage.label()} {how} ({where}): {said}"
    return _Failure(headline, _last_lines(job.paths.stderr, job.paths.stdout))


def _death(info: Mapping[str, str]) -> str:
    """What ended a job that left no result, with Slurm's own words for it."""
    state = info.get("State", GONE)
    reason = info.get("Reason", "None")
    words = [state] if reason in ("", "None") else [state, reason]
    return f"{KILLED.get(state, KILLED[GONE])} ({', '.join(words)})"


def _cause(trace: str) -> tuple[str, str]:
    """Whether it failed or was killed, and our own message or the last line of its traceback."""
    trace = trace.split("-" * 22)[1].strip() if "-" * 22 in trace else trace
    ours = re.search(r"^interp\.errors\.InputError: (.*)", trace, re.DOTALL | re.MULTILINE)
    last = trace.rpartition("\n")[2]
    # Slurm warns a job before its time is up, and submitit ends it there.
    if "Job not requeued because: timed-out" in last:
        return "was killed", KILLED["TIMEOUT"]
    return "failed", ours[1] if ours else last


def _last_lines(*logs: Path) -> str:
    """The end of the first log that has anything in it."""
    for log in logs:
        lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
        if lines:
            return f"{log} ends:\n" + "\n".join(f"    {line}" for line in lines[-LAST_LINES:])
    return f"{logs[-1]}: there is no log, so that it never began"


def _in_words(failures: list[_Failure]) -> str:
    first, *others = failures
    also = [f"also: {failure.headline}" for failure in others]
    kept = (
        "Every other job that had been submitted has ended and is kept; run the study again to "
        "compute only what failed and what needs it."
    )
    return "\n".join([first.headline, *([first.log] if first.log else []), *also, kept])
