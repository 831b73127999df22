"""Where things are kept and where they run: the only place that reads the environment."""

from __future__ import annotations

import os
import re
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


def resolve_device(name: str) -> str:
    """The torch device that a user's choice stands for.

    Args:
        name: "cpu", "cuda", "cuda:N", or "auto" (CUDA where there is one, else the CPU).

    Raises:
        InputError: the name is none of these, or that CUDA device is not there.
    """
    # Heavy, and the command line reads its folders here long before it needs a device.
    import torch

    count = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if count else "cpu"
    if name == "cpu":
        return name
    cuda = re.fullmatch(r"cuda(?::(\d+))?", name)
    if cuda is None:
        raise InputError(f"device '{name}': unknown; use auto, cpu, cuda or cuda:N")
    if int(cuda[1] or 0) >= count:
        raise InputError(
            f"device '{name}': torch {torch.__version__} finds {count} CUDA device(s) here; "
            "use --device cpu, or install a CUDA build of torch and check nvidia-smi"
        )
    return name


def _root(variable: str, default: str) -> Path:
    # An empty variable means unset; it must not make the current folder the cache.
    return Path(os.environ.get(variable) or default).expanduser().absolute()
