"""Ground floor: how far a long computation is, told to whoever shows it."""

from __future__ import annotations

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
