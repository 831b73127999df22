"""How far a running study is, and how long it still takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interp.planning.forecast import Forecast, Task
from interp.planning.schedule import makespan
from interp.stages.graph import Event

PRIOR_SECONDS = 60.0
"""How much finished work it takes until this machine's pace counts as much as that expected."""


@dataclass(frozen=True)
class Count:
    """How many stages of a kind are done.

    Attributes:
        kind: as of the tasks.
        done: those from the cache among them.
        total: of the study.
        cached: found in the cache.
    """

    kind: str
    done: int
    total: int
    cached: int


class Remaining:
    """Follows the events of a study.

    Args:
        forecast: made before it started.
    """

    def __init__(self, forecast: Forecast) -> None:
        self._workers = forecast.workers
        self._open = {task.node: task for task in forecast.tasks}
        self._tasks = dict(self._open)
        self._by_label: dict[str, Task] = {}
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._cached: set[str] = set()

    def seen(self, event: Event, now: float) -> None:
        """Takes note of an event; one of no known stage is passed over.

        Args:
            event: of a stage.
            now: when, in seconds of any clock.
        """
        task = self._by_label.get(event.label) or self._task_of(event.label)
        if task is None:
            return
        self._by_label[event.label] = task
        if event.state == "started":
            self._began[task.node] = now
            return
        self._open.pop(task.node, None)
        if event.state == "cached":
            self._cached.add(task.node)
        else:
            self._took[task.node] = now - self._began.pop(task.node, now)
        del self._by_label[event.label]  # the next stage of this name is another one

    @property
    def counts(self) -> list[Count]:
        """A row a kind, in the study's order."""
        kinds = dict.fromkeys(task.kind for task in self._tasks.values())
        of_kind = {kind: [t.node for t in self._tasks.values() if t.kind == kind] for kind in kinds}
        return [
            Count(
                kind,
                sum(name not in self._open for name in names),
                len(names),
                sum(name in self._cached for name in names),
            )
            for kind, names in of_kind.items()
        ]

    def seconds(self, now: float) -> tuple[float, bool]:
        """Seconds left, and whether that is only a lower bound: of some stages nothing is known."""
        pace, seen = self._pace(), self._means()
        left, unknown = {}, False
        for name, task in self._open.items():
            expected = task.usual.seconds * pace if task.usual else seen.get(task.kind)
            unknown |= expected is None
            ran = now - self._began[name] if name in self._began else 0.0
            left[name] = max((expected or 0.0) - ran, 0.0)
        # What runs is not waited for by a worker that is free: it comes first.
        order = sorted(self._open, key=lambda name: name not in self._began)
        return makespan({n: self._open[n].needs for n in order}, left, self._workers), unknown

    def _pace(self) -> float:
        """How much longer stages take here and today than expected."""
        measured = [
            (took, usual.seconds)
            for name, took in self._took.items()
            if (usual := self._tasks[name].usual) is not None
        ]
        took, expected = (
            (sum(column) for column in zip(*measured, strict=True)) if measured else (0, 0)
        )
        return (took + PRIOR_SECONDS) / (expected + PRIOR_SECONDS)

    def _means(self) -> Mapping[str, float]:
        """What the finished stages of a kind took in the mean."""
        took: dict[str, list[float]] = {}
        for name, seconds in self._took.items():
            took.setdefault(self._tasks[name].kind, []).append(seconds)
        return {kind: sum(seconds) / len(seconds) for kind, seconds in took.items()}

    def _task_of(self, label: str) -> Task | None:
        """The open task of a label, or else one whose label could not be told beforehand."""
        waiting = [task for name, task in self._open.items() if name not in self._began]
        for task in waiting:
            if task.label == label:
                return task
        untold = [task for task in waiting if task.label is None]
        called = [t for t in untold if label.startswith(t.kind.replace("_", " "))]
        alone = untold if len({task.kind for task in untold}) == 1 else []
        return next(iter(called or alone), None)
