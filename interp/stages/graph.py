"""Runs a study's stages: each when what it needs is done, several at a time, progress reported."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from typing import Any

from interp import workers as processes
from interp.progress import Progress, listen
from interp.stages import timing
from interp.stages.common import Stage
from interp.stages.jobs import Jobs

Results = Mapping[str, Any]
Build = Callable[[Results], Stage]


@dataclass(frozen=True)
class Node:
    """A stage to be: what it needs, and how it is built once that is there."""

    name: str
    needs: tuple[str, ...]
    build: Build


@dataclass(frozen=True)
class Event:
    """A stage was found in the cache, started, or ended."""

    label: str
    state: str
    """"cached", "started" or "done"."""


Watcher = Callable[[Event | Progress], None]


class Graph:
    """Nodes in order of urgency; among those that are ready the first one runs.

    Args:
        nodes: the stages; every need must be another node's name.
        workers: processes on this machine, or tasks of a job array that run at a time.
        cluster: None runs in worker processes here; "local" or "slurm" makes every stage a job.
        watch: told what happens; of jobs also their `JobState`.
        devices: of each worker process here, as `interp.stages.devices.worker_devices` has them.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        workers: int,
        cluster: str | None,
        watch: Watcher,
        devices: Sequence[Sequence[str]] = (("cpu",),),
    ) -> None:
        self._waiting = list(nodes)
        self._workers = workers
        self._cluster = cluster
        self._watch = watch
        self._devices = devices
        self._results: dict[str, Any] = {}
        self._running: dict[Future[Any], tuple[Node, Stage]] = {}
        self._labels: dict[str, str] = {}
        self._jobs = Jobs(workers, cluster, watch) if cluster in ("local", "slurm") else None
        self._reports: Any = processes.context().Queue()
        self._executor: Executor | None = None

    def run(self) -> dict[str, Any]:
        """Results by node name; the first failure stops what has not started and is raised.

        Jobs of a cluster that were submitted before the failure are left to end first.

        Raises:
            InputError: of a stage, or of a job that was killed.
        """
        try:
            while self._waiting or self._running or self._labels:
                if self._jobs is None:
                    self._start_ready()
                    self._collect()
                else:
                    self._submit_ready(self._jobs)
                    self._gather(self._jobs)
            return self._results
        except KeyboardInterrupt:
            if self._jobs is not None:
                self._jobs.cancel()
            raise
        finally:
            if self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)

    def _start_ready(self) -> None:
        # From the top each time: a result from the cache can make an earlier node ready.
        while len(self._running) < self._workers and (node := self._first_ready()):
            if stage := self._taken(node):
                self._running[self._pool().submit(_execute, stage)] = (node, stage)

    def _submit_ready(self, jobs: Jobs) -> None:
        """Everything that is ready goes out together, so that stages of a class are one array."""
        stages: dict[str, Stage] = {}
        while len(stages) < jobs.room and (node := self._first_ready()):
            if stage := self._taken(node):
                self._labels[node.name] = stage.label()
                stages[node.name] = stage
        jobs.start(stages)

    def _taken(self, node: Node) -> Stage | None:
        """The stage of a node that is ready; None where its result stands in the cache."""
        self._waiting.remove(node)
        stage = node.build(self._results)
        if stage.cached():
            self._results[node.name] = stage.result()
            self._watch(Event(stage.label(), "cached"))
            return None
        self._watch(Event(stage.label(), "started"))
        return stage

    def _gather(self, jobs: Jobs) -> None:
        for name, result in jobs.ended().items():
            self._results[name] = result
            self._watch(Event(self._labels.pop(name), "done"))

    def _first_ready(self) -> Node | None:
        return next(
            (node for node in self._waiting if all(need in self._results for need in node.needs)),
            None,
        )

    def _collect(self) -> None:
        if not self._running:
            return
        done, _ = wait(self._running, timeout=0.2, return_when=FIRST_COMPLETED)
        self._drain()
        for future in done:
            node, stage = self._running.pop(future)
            self._results[node.name] = future.result()
            self._watch(Event(stage.label(), "done"))

    def _drain(self) -> None:
        while True:
            try:
                self._watch(self._reports.get_nowait())
            except queue.Empty:
                return

    def _pool(self) -> Executor:
        """The executor, made at the first stage that is not cached."""
        if self._executor is None:
            if self._cluster is not None:  # "debug": in this process, by exca
                self._executor = ThreadPoolExecutor(self._workers)
            else:
                threads = max(1, (os.cpu_count() or 1) // self._workers)
                # Read by a worker as it loads NumPy. Probes multiply small matrices: a second
                # thread only waits for the first, and on a busy machine for very long.
                os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
                os.environ.setdefault("MKL_NUM_THREADS", "1")
                self._executor = ProcessPoolExecutor(
                    self._workers,
                    mp_context=processes.context(),
                    initializer=_start_worker,
                    initargs=(
                        threads,
                        self._reports,
                        processes.hands_of(self._devices, self._workers),
                    ),
                )
        return self._executor


def _start_worker(threads: int, reports: Any, hands: Any) -> None:
    processes.begin(hands)  # before torch, which is to find this worker's own devices only
    import logging
    import warnings

    import torch
    import transformers

    torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    # Announcements of later releases of a dependency are for its callers' developers.
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("exca").setLevel(logging.ERROR)
    listen(reports.put)


def _execute(stage: Stage) -> Any:
    with timing.record(stage):
        return stage.result()
