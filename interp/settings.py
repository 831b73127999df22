"""Where things are kept and where they run: the only place that reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from interp.errors import InputError


def cache_root() -> Path:
    """Folder of checkpoints, activations and stage results: $INTERP_CACHE or ./.interp-cache.

    Returns:
        An absolute path; the folder may not exist yet.
    """
    return _root("INTERP_CACHE", ".interp-cache")


def figures_root() -> Path:
    """Folder of finished studies' figures: $INTERP_FIGURES or ./figures.

    Returns:
        An absolute path; the folder may not exist yet.
    """
    return _root("INTERP_FIGURES", "figures")


def saes_root() -> Path:
    """Folder of trained dictionaries that are kept: $INTERP_SAES or ./saes.

    Returns:
        An absolute path; the folder may not exist yet.
    """
    return _root("INTERP_SAES", "saes")


def resolve_device(name: str, *, several: bool = False) -> str:
    """The torch device, or devices, that a user's choice stands for.

    Args:
        name: "cpu", "cuda", "cuda:N", or "auto" (CUDA where there is one, else the CPU).
        several: take a list too, such as "cuda:0,cuda:2"; for whoever deals out work. A model is
            loaded on one.

    Returns:
        The name, without spaces; `devices_of` takes it apart.

    Raises:
        InputError: the name is none of these, a device is named twice, or is not there.
    """
    # Heavy, and the command line reads its folders here long before it needs a device.
    import torch

    count = torch.cuda.device_count()
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1:
        return ",".join(_listed(parts, count, several))
    if name == "auto":
        return "cuda" if count else "cpu"
    if name == "cpu":
        return name
    cuda = re.fullmatch(r"cuda(?::(\d+))?", name)
    if cuda is None:
        raise InputError(f"device '{name}': unknown; use auto, cpu, cuda or cuda:N")
    _check_there(name, int(cuda[1] or 0), count)
    return name


def devices_of(device: str) -> list[str]:
    """Each device of a resolved choice; "cuda" is every one that torch finds here."""
    import torch

    if device == "cuda":
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return device.split(",")


def visible_devices(devices: Sequence[str]) -> str | None:
    """$CUDA_VISIBLE_DEVICES of a process that is to have these devices and no others.

    Args:
        devices: "cuda:N", as this process counts them, in the order the other is to count them.

    Returns:
        None for the CPU, which needs no such thing.
    """
    indices = [int(device.removeprefix("cuda:")) for device in devices if device != "cpu"]
    if not indices:
        return None
    # What is visible here is counted from 0 here, and may be named by other numbers or by UUIDs.
    own = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = own.split(",") if own else [str(index) for index in range(max(indices) + 1)]
    return ",".join(names[index].strip() for index in indices)


def _listed(parts: Sequence[str], count: int, several: bool) -> Sequence[str]:
    """The devices of a list, checked."""
    whole = ",".join(parts)
    if not several:
        raise InputError(
            f"device '{whole}': several, and a model is loaded on one; name one of them, or "
            "spread the model over all that are visible (device_map: auto)"
        )
    for part in parts:
        cuda = re.fullmatch(r"cuda:(\d+)", part)
        if cuda is None:
            raise InputError(f"device '{whole}': a list is of cuda:N only, such as cuda:0,cuda:2")
        if parts.count(part) > 1:
            raise InputError(f"device '{whole}': {part} is named twice")
        _check_there(part, int(cuda[1]), count)
    return parts


def _check_there(name: str, index: int, count: int) -> None:
    import torch

    if index >= count:
        raise InputError(
            f"device '{name}': torch {torch.__version__} finds {count} CUDA device(s) here; "
            "use --device cpu, or install a CUDA build of torch and check nvidia-smi"
        )


def _root(variable: str, default: str) -> Path:
    # An empty variable means unset; it must not make the current folder the cache.
    return Path(os.environ.get(variable) or default).expanduser().absolute()
