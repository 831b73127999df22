"""How long stages took and what they left on the disk: noted in the cache, and looked up again."""

from __future__ import annotations

import json
import os
import re
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pydantic

from interp import configs
from interp.settings import cache_root
from interp.stages.common import FolderStage, Stage
from interp.stages.sizing import stage_size

FILE = "timings.jsonl"
"""In the cache; a line a finished stage."""
SHARED = ("activations", "replies")
"""Rooms of the cache that several stages write to and read from."""
LAST = 9
"""Of the runs of one stage, those that an expectation rests on."""


@dataclass(frozen=True)
class Timing:
    """One finished stage.

    Attributes:
        stage: its class.
        size: as `interp.stages.sizing.stage_size`.
        seconds: of wall time.
        device: "cpu" or the name of the graphics card.
        cores: of the machine.
        bytes: that stand in its own folders.
        stores: bytes by name of what appeared in shared rooms of the cache meanwhile; of stages
            that ran at the same time the first one noted down has made it.
    """

    stage: str
    size: str
    seconds: float
    device: str
    cores: int
    bytes: int = 0
    stores: Mapping[str, int] | None = None


class Usual(pydantic.BaseModel):
    """What a stage of some size takes.

    Attributes:
        seconds: of wall time.
        bytes: on the disk; None if that was not measured.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    seconds: float = pydantic.Field(ge=0)
    bytes: float | None = pydantic.Field(default=None, ge=0)


class Defaults(pydantic.BaseModel):
    """What was measured for the embedded lineage, for machines that never ran a stage.

    Attributes:
        machine: that it was measured on.
        device: as in `Timing`.
        kinds: first part of a node's name -> class of its stage.
        stages: class -> size -> what was measured.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    machine: str
    device: str
    kinds: dict[str, str]
    stages: dict[str, dict[str, Usual]]


@contextmanager
def record(stage: Stage) -> Iterator[None]:
    """Notes down how long the block took, if it ends well and did all of the stage's work.

    A stage that exca hands on is not noted, as its time here is that of a queue; nor is a
    training that goes on where an earlier one was killed.
    """
    infra: Any = stage.infra  # type: ignore[attr-defined]
    resumed = isinstance(stage, FolderStage) and _work(stage).exists()
    if infra.cluster is not None or resumed:
        yield
        return
    before, began = _stores(), time.monotonic()
    yield
    seconds = time.monotonic() - began
    own = [Path(infra.uid_folder())] if infra.folder is not None else []
    own += [stage.folder] if isinstance(stage, FolderStage) else []
    made = {name: _bytes(cache_root() / name) for name in sorted(_stores() - before)}
    _append(
        Timing(
            type(stage).__name__,
            stage_size(stage),
            round(seconds, 3),
            device_name(stage.device),
            os.cpu_count() or 1,
            sum(map(_bytes, own)),
            made,
        )
    )


def recorded(path: Path | None = None) -> list[Timing]:
    """All timings of the cache, oldest first; lines that a kill has torn are passed over.

    Args:
        path: of the file; default: that of the cache.
    """
    path = path or cache_root() / FILE
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [timing for line in lines if (timing := _read(line)) is not None]


@dataclass(frozen=True)
class Durations:
    """What stages are expected to take.

    Attributes:
        timings: of this cache.
        defaults: for what it has none of.
        device: "cpu" or the name of the graphics card, where the stages are to run.
        cores: of this machine, whose own timings come before those of others.
    """

    timings: Sequence[Timing]
    defaults: Defaults
    device: str
    cores: int

    @classmethod
    def here(cls, device: str) -> Durations:
        """Those of the cache for a torch device."""
        return cls(recorded(), packaged(), device_name(device), os.cpu_count() or 1)

    def of(self, stage: str, size: str) -> Usual | None:
        """What a stage takes: measured here, or else packaged, or else not known.

        Args:
            stage: its class.
            size: as `stage_size`.
        """
        measured = [t for t in self._made() if (t[0].stage, t[0].size) == (stage, size)]
        return self._usual(measured) or self._packaged(stage).get(size)

    def like(self, kind: str, shape: str) -> tuple[str | None, Usual | None]:
        """What a stage takes of which only the node's kind and the models' shape are known.

        Args:
            kind: first part of the node's name.
            shape: "width x layers".

        Returns:
            Its class, and what its last runs with models of that shape took; each None if it is not
            known.
        """
        stage = self.defaults.kinds.get(re.sub(r"-\d+$", "", kind))
        if stage is None:
            return None, None
        made = [t for t in self._made() if t[0].stage == stage and _begins(t[0].size, shape)]
        newest = [t for t in made if t[0].size == made[-1][0].size]
        shipped = [usual for size, usual in self._packaged(stage).items() if _begins(size, shape)]
        return stage, self._usual(newest) or next(iter(shipped), None)

    def _packaged(self, stage: str) -> Mapping[str, Usual]:
        return self.defaults.stages.get(stage, {}) if self.device == self.defaults.device else {}

    def _made(self) -> Iterator[tuple[Timing, int]]:
        """Timings of this device with the bytes that each has added to the cache."""
        seen: set[str] = set()
        for timing in self.timings:
            new = {name: n for name, n in (timing.stores or {}).items() if name not in seen}
            seen |= set(new)
            if timing.device == self.device:
                yield timing, timing.bytes + sum(new.values())

    def _usual(self, made: Sequence[tuple[Timing, int]]) -> Usual | None:
        same = [t for t in made if t[0].cores == self.cores]
        last = (same or list(made))[-LAST:]
        if not last:
            return None
        # The mean of bytes, as of stages that share a store only one has written it.
        return Usual(
            seconds=statistics.median(timing.seconds for timing, _ in last),
            bytes=statistics.mean(size for _, size in last),
        )


def packaged() -> Defaults:
    """The durations that the package ships."""
    return configs.load(
        Path(str(resources.files("interp").joinpath("stages/timing.yaml"))), Defaults
    )


def device_name(device: str) -> str:
    """The name of the graphics card behind a torch device, "cpu", or the device where it is not."""
    if device == "cpu":
        return device
    import torch

    # From where jobs are submitted their cards cannot be asked.
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device


def _begins(size: str, shape: str) -> bool:
    return size == shape or size.startswith(f"{shape} ")


def _work(stage: FolderStage) -> Path:
    """Where a training that was killed has left its saves."""
    return stage.folder.with_name(f"{stage.folder.name}.work")


def _stores() -> set[str]:
    """Names of what stands in the shared rooms of the cache; what is being written is hidden."""
    rooms = [cache_root() / room for room in SHARED]
    return {
        f"{room.name}/{path.name}"
        for room in rooms
        if room.is_dir()
        for path in room.iterdir()
        if not path.name.startswith(".")
    }


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())


def _append(timing: Timing) -> None:
    """Adds a line in one write, which other processes' lines do not come between."""
    path = cache_root() / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    # A torn last line, as of a process that was killed, must not swallow this one.
    line = json.dumps(asdict(timing), sort_keys=True)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, (("\n" if torn else "") + line + "\n").encode())
    finally:
        os.close(handle)


def _read(line: str) -> Timing | None:
    try:
        return Timing(**json.loads(line))
    except (ValueError, TypeError):
        return None
