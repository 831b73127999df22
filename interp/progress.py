"""Ground floor: how far a long computation is, told to whoever shows it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report: `done` of `total` steps of `task`."""

    task: str
    done: int
    total: int


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Sends this process's reports to `listener`, instead of to an earlier one."""
    _listeners[:] = [listener]


def report(progress: Progress) -> None:
    """Tells the listener, if there is one."""
    for listener in _listeners:
        listener(progress)


def show_progress() -> None:
    """Shows reports as a line on stderr with the time left, for scripts and notebooks."""
    listen(_Line())


class _Line:
    """The task that runs, rewritten in place."""

    def __init__(self) -> None:
        self._task = ""
        self._began = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.task != self._task:
            self._task, self._began = progress.task, now
        left = (now - self._began) / max(progress.done, 1) * (progress.total - progress.done)
        ended = progress.done == progress.total
        time_left = f"{now - self._began:.0f} s" if ended else f"{left:.0f} s left"
        text = f"\r{progress.task}: {progress.done}/{progress.total}, {time_left}   "
        sys.stderr.write(text + ("\n" if ended else ""))
        sys.stderr.flush()
        if ended:
            self._task = ""
