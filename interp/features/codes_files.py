"""Codes on disk: one safetensors file, written as it is held and checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from interp.errors import InputError
from interp.features.compressed import Index, Start, Value

_PARTS = {"start": np.int64, "index": np.int32, "value": np.float32}
_FILE = {name: np.dtype(kind) for name, kind in {**_PARTS, "n_latents": np.int64}.items()}


def read(path: Path) -> tuple[Start, Index, Value, int]:
    """What `write` wrote: where rows start, latents, values, and the number of latents.

    Raises:
        InputError: no such file, other tensors, or some that are no codes.
    """
    try:
        with safe_open(path, "np") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"codes: {path} cannot be read: {error}") from error
    found = {name: part.dtype for name, part in held.items()}
    if found != _FILE:
        raise InputError(
            f"codes: {path} holds {_listed(found)}; expected {_listed(_FILE)}, as written "
            "by `SparseCodes.save`"
        )
    n_latents = int(held.pop("n_latents"))
    start, index, value = (held[name] for name in _PARTS)
    row = np.repeat(np.arange(len(start) - 1), np.diff(start)) if _ascends(start) else None
    if row is None or not len(row) == len(index) == len(value) or start[0]:
        raise InputError(f"codes: {path} is damaged: its rows and entries do not fit; encode again")
    right_E = (index >= 0) & (index < n_latents) & np.isfinite(value) & (value != 0)
    right_E[1:] &= np.diff(row * n_latents + index) > 0
    if not right_E.all():
        bad = int(right_E.argmin())
        raise InputError(
            f"codes: {path} is damaged: entry {bad} is latent {index[bad]} at {value[bad]}; "
            f"expected latents below {n_latents}, ascending in a row, and values that are finite "
            "and not 0"
        )
    return start, index, value, n_latents


def write(path: Path, start: Start, index: Index, value: Value, n_latents: int) -> None:
    """Writes one safetensors file: `start`, `index`, `value`, `n_latents`."""
    parts = dict(zip(_PARTS, (start, index, value), strict=True))
    held = {name: np.ascontiguousarray(part) for name, part in parts.items()}
    save_file({**held, "n_latents": np.array(n_latents)}, path)


def _ascends(start: np.ndarray) -> bool:
    return start.ndim == 1 and len(start) > 0 and bool((np.diff(start) >= 0).all())


def _listed(types: Mapping[str, object]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in sorted(types.items()))
