"""Stages for tests of the scheduler: light, in two classes, and each leaves a line when it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

import exca

from interp.errors import InputError
from interp.stages.common import Stage, task_infra


class Noted(Stage):
    """Appends its name to a file, waits until another file is there, and returns its name.

    Attributes:
        name: of the stage.
        folder: with `ran`, and `go` for which all wait; not part of what identifies the result.
        needed: anything, from the stages before.
        fails: it refuses its input.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("device", "folder")

    name: str
    folder: str
    needed: tuple[str, ...] = ()
    fails: bool = False

    def label(self) -> str:
        return f"note {self.name}"

    def work(self) -> str:
        folder = Path(self.folder)
        with (folder / "ran").open("a", encoding="utf-8") as file:
            job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "-")
            file.write(f"{self.name} {job} {os.environ.get('OMP_NUM_THREADS')}\n")
        if self.fails:
            raise InputError(f"'{self.name}' is no good input")
        while not (folder / "go").exists() and not (folder / f"go_{self.name}").exists():
            time.sleep(0.05)
        return self.name


class First(Noted):
    infra: exca.TaskInfra = task_infra("1")

    @infra.apply
    def run(self) -> str:
        return self.work()


class Second(Noted):
    infra: exca.TaskInfra = task_infra("1")

    @infra.apply
    def run(self) -> str:
        return self.work()
