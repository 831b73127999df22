"""A stage that says in which process it ran, and which devices that process could see."""

from __future__ import annotations

import os
import time

import exca

from interp.stages.common import Stage, task_infra


class WhereAmI(Stage):
    """Takes long enough for another worker to take the next one."""

    number: int
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        return f"where {self.number}"

    @infra.apply
    def run(self) -> tuple[int, str | None, str]:
        time.sleep(0.5)
        return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES"), self.device
