"""What a study is going to take: its stages, which are cached, expected time and space."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from interp.planning.schedule import makespan
from interp.settings import cache_root
from interp.stages.common import ModelRef, Stage
from interp.stages.graph import Node
from interp.stages.sizing import shape_of, stage_size
from interp.stages.timing import Durations, Usual
from interp.stages.train import Train


@runtime_checkable
class Plannable(Protocol):
    """A study of any kind, ready to run."""

    @property
    def device(self) -> str:
        """The torch device."""

    @property
    def n_workers(self) -> int:
        """Stages at a time."""

    def nodes(self) -> list[Node]:
        """The stages."""


@dataclass(frozen=True)
class Task:
    """A stage, as far as it can be told before what it needs is there.

    Attributes:
        node: its name.
        kind: what a table calls its like.
        needs: nodes that come first.
        label: as events name it; None if it cannot be told yet.
        cached: its result is there. One whose needs are not done yet counts as not cached.
        usual: what it is expected to take; None if nobody has measured it.
    """

    node: str
    kind: str
    needs: tuple[str, ...]
    label: str | None
    cached: bool
    usual: Usual | None


@dataclass(frozen=True)
class Row:
    """The stages of one kind.

    Attributes:
        kind: as of the tasks.
        total, cached: how many there are, and how many of them are done.
        seconds: expected of those to do that somebody has measured, one after the other.
        unmeasured: of those to do, how many nobody has measured.
        bytes: expected on the disk, of those whose space was measured.
        unweighed: of those to do, how many nobody has weighed.
    """

    kind: str
    total: int
    cached: int
    seconds: float
    unmeasured: int
    bytes: float
    unweighed: int

    @property
    def to_do(self) -> int:
        """How many are not cached."""
        return self.total - self.cached


@dataclass(frozen=True)
class Forecast:
    """What is expected of a study.

    Attributes:
        tasks: its stages in order of urgency.
        workers: stages at a time.
        free: bytes free where the cache stands.
    """

    tasks: tuple[Task, ...]
    workers: int
    free: int

    @property
    def rows(self) -> list[Row]:
        """A row a kind, in order of urgency."""
        kinds = dict.fromkeys(task.kind for task in self.tasks)
        return [_row(kind, [task for task in self.tasks if task.kind == kind]) for kind in kinds]

    @property
    def seconds(self) -> float:
        """Expected with these workers; stages that nobody has measured count as nothing."""
        to_do = {task.node: task for task in self.tasks if not task.cached}
        needs = {name: task.needs for name, task in to_do.items()}
        expected = {name: t.usual.seconds if t.usual else 0.0 for name, t in to_do.items()}
        return makespan(needs, expected, self.workers)

    @property
    def bytes(self) -> float:
        """Expected on the disk at the end, which is the peak: a study deletes nothing."""
        return sum(row.bytes for row in self.rows)

    @property
    def unmeasured(self) -> int:
        """How many stages to do nobody has measured; with any, the time is a lower bound."""
        return sum(row.unmeasured for row in self.rows)

    @property
    def unweighed(self) -> int:
        """How many stages to do nobody has weighed; with any, the space is a lower bound."""
        return sum(row.unweighed for row in self.rows)


def foresee(study: Plannable, durations: Durations | None = None) -> Forecast:
    """What a study is going to take; nothing is computed, and no model loaded.

    Args:
        study: any.
        durations: default: those measured in this cache, and those packaged.

    Raises:
        InputError: a torn cache entry.
    """
    durations = durations or Durations.here(study.device)
    nodes = study.nodes()
    stages, cached = _look(nodes)
    shapes = [shape_of(stage) for stage in stages.values()]
    shape = max(filter(None, shapes), key=_by_size, default="")
    tasks = []
    for node in nodes:
        stage = stages.get(node.name)
        if stage is None:
            _, usual = durations.like(_kind(node), shape)
        else:
            usual = durations.of(type(stage).__name__, stage_size(stage, shape))
        label = stage.label() if stage else None
        tasks.append(Task(node.name, _kind(node), node.needs, label, node.name in cached, usual))
    return Forecast(tuple(tasks), study.n_workers, shutil.disk_usage(_there(cache_root())).free)


def _look(nodes: Sequence[Node]) -> tuple[dict[str, Stage], set[str]]:
    """The stages that can be built by now, and which of them are cached."""
    needed = {need for node in nodes for need in node.needs}
    stages: dict[str, Stage] = {}
    cached: set[str] = set()
    results: dict[str, Any] = {}
    waiting = list(nodes)
    while True:  # a result from the cache can make an earlier node ready
        ready = [node for node in waiting if all(need in cached for need in node.needs)]
        if not ready:
            break
        for node in ready:
            waiting.remove(node)
            stage = stages[node.name] = node.build(results)
            if stage.cached():
                cached.add(node.name)
                if node.name in needed:
                    results[node.name] = stage.result()
    while True:  # a training that is known of stands in for its checkpoint
        likely = {node.name: _foreseen(node, results, stages) for node in waiting}
        foreseen = {name: stage for name, stage in likely.items() if stage is not None}
        if not foreseen:
            return stages, cached
        stages |= foreseen
        waiting = [node for node in waiting if node.name not in foreseen]


def _foreseen(node: Node, results: Mapping[str, Any], stages: Mapping[str, Stage]) -> Stage | None:
    """The stage as it will be; None if it is made from results, not only from their models."""
    to_be = {
        name: ModelRef(name=stage.recipe.name, folder="", fingerprint="")
        for name, stage in stages.items()
        if isinstance(stage, Train)
    }
    try:
        return node.build({**to_be, **results})
    except KeyError:  # it reads what is not there yet
        return None


def _row(kind: str, tasks: Sequence[Task]) -> Row:
    to_do = [task.usual for task in tasks if not task.cached]
    known = [usual for usual in to_do if usual is not None]
    sizes = [usual.bytes for usual in known if usual.bytes is not None]
    return Row(
        kind,
        len(tasks),
        len(tasks) - len(to_do),
        sum(usual.seconds for usual in known),
        len(to_do) - len(known),
        sum(sizes),
        len(to_do) - len(sizes),
    )


def _kind(node: Node) -> str:
    return re.sub(r"-\d+$", "", node.name.split("/")[0])


def _by_size(shape: str) -> tuple[int, ...]:
    return tuple(int(part) for part in shape.split("x"))


def _there(path: Path) -> Path:
    """The nearest folder above a path that is there."""
    return next(place for place in (path, *path.parents) if place.exists())
