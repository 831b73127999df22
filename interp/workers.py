"""Ground floor: worker processes, each with devices of its own, none outliving who started it."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from interp.settings import visible_devices

START = "spawn"
"""How processes begin: anew, since CUDA does not survive a fork."""

_VISIBLE = "CUDA_VISIBLE_DEVICES"


def context() -> Any:
    """Of `multiprocessing`, for the processes and the queues between them."""
    return multiprocessing.get_context(START)


def hands_of(devices: Sequence[Sequence[str]], workers: int) -> Any:
    """A queue from which each of so many workers takes its devices as it begins.

    Args:
        devices: those of each worker, as this process counts them; dealt in turn, again from the
            first where there are more workers.
        workers: how many will begin.
    """
    hands = context().SimpleQueue()
    for number in range(workers):
        hands.put(visible_devices(devices[number % len(devices)]))
    return hands


def begin(hands: Any) -> None:
    """First thing in a worker: it sees its own devices only, and ends with who started it.

    The others are hidden rather than left aside (`torch.cuda.set_device`): so "cuda" means the
    worker's own device to every library in it, a device map spreads over its own devices only, and
    no worker holds a context, of some hundred MB, on a device that is another's. The driver reads
    the variable as CUDA starts, which importing torch does not do.

    Args:
        hands: from `hands_of`.
    """
    visible = hands.get()
    if visible is not None:
        os.environ[_VISIBLE] = visible
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """Ends this worker when the process that started it is gone, however it ended."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
