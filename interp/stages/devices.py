"""Which devices the stages of a study run on, and how many of them run at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence

from interp.errors import InputError
from interp.settings import devices_of

TASKS = 64
"""Of a job array on Slurm that run at a time, where nobody says."""


def worker_devices(device: str, *, together: bool = False) -> list[list[str]]:
    """The devices of each worker of this machine: one each, or all of them for a single worker.

    Args:
        device: as `resolve_device(..., several=True)` gives it.
        together: some model is spread over the devices (`device_map: auto`), so that a stage needs
            all of them.
    """
    devices = devices_of(device)
    return [devices] if together else [[each] for each in devices]


def default_workers(device: str, *, together: bool = False) -> int:
    """Stages at a time on this machine: one per device on CUDA, on the CPU one per core.

    Args:
        device: as for `worker_devices`.
        together: as for `worker_devices`.
    """
    if device == "cpu":
        return os.cpu_count() or 1
    return len(worker_devices(device, together=together))


def stages_at_a_time(
    asked: int | None, device: str, cluster: str | None, *, together: bool = False
) -> int:
    """Worker processes here, or tasks of a job array that run at a time.

    Args:
        asked: a number by the user's choice, or None.
        device: as for `worker_devices`.
        cluster: that the stages are handed to, or None.
        together: as for `worker_devices`.
    """
    if asked:
        return asked
    return TASKS if cluster == "slurm" else default_workers(device, together=together)


def stage_device(device: str, cluster: str | None) -> str:
    """The device that a stage is told.

    A worker of this machine sees its own devices only (`interp.workers.begin`), so that they are
    "cuda" to it, whichever they are. A job of a cluster sees what the cluster gave it.

    Args:
        device: as for `worker_devices`.
        cluster: that the stages are handed to, or None.

    Raises:
        InputError: a list of devices on a cluster.
    """
    if cluster is None:
        return "cpu" if device == "cpu" else "cuda"
    if "," in device:
        raise InputError(
            f"device '{device}': a list is for workers of this machine; with cluster "
            f"'{cluster}' say cuda, and how many a job gets in `infra` (gpus_per_node)"
        )
    return device


def main_device(device: str) -> str:
    """Where the process that holds the study loads a model itself: the first of its devices."""
    devices: Sequence[str] = devices_of(device)
    return devices[0]
