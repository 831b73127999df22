"""Activations in memory or on disk; on disk with a manifest that says what made them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float
from torch import Tensor

from interp.activations.sites import Site
from interp.checkpoints.files import file_sha256, read_json
from interp.errors import InputError

MANIFEST = "manifest.json"
_SLACK_BYTES = 2**20


class Activations:
    """Activations of prompts at sites and positions, float32, rows in the order of the prompts.

    Args:
        sites: what was read.
        positions: of each prompt.
        arrays: one of shape (positions, n, d) for each site.
        manifest: what made a store; empty in memory.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        positions: Sequence[str],
        arrays: Mapping[Site, np.ndarray],
        manifest: Mapping[str, Any],
    ) -> None:
        self.sites = tuple(sites)
        self.positions = tuple(positions)
        self.manifest = dict(manifest)
        self._arrays = arrays

    def read(self, site: Site, position: str) -> Float[Tensor, "n d"]:
        """The activations at one site and position, memory-mapped where they come from a store.

        What is written into the tensor never reaches the store.

        Raises:
            InputError: nothing was captured there, or the store's file is damaged.
        """
        if site not in self.sites:
            raise InputError(
                f"activations: nothing captured at {site}; there are "
                f"{', '.join(map(str, self.sites))}"
            )
        if position not in self.positions:
            raise InputError(
                f"activations: nothing captured at '{position}'; there are "
                f"{', '.join(self.positions)}"
            )
        return torch.from_numpy(self._arrays[site][self.positions.index(position)])


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds other processes off the store until the block ends; a kill lets go of it.

    Raises:
        InputError: the place cannot be written to (no permission, no space).
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or choose "
            "another folder"
        ) from error


@contextmanager
def writing(
    folder: Path, request: Mapping[str, Any], shape: tuple[int, int, int]
) -> Iterator[Mapping[Site, np.ndarray]]:
    """One array a site to fill; the store appears whole when the block ends, or not at all.

    To be used while the folder is `locked`: what a killed run left beside it is removed.

    Args:
        folder: of the store, which must not exist.
        request: what makes the store, for its manifest.
        shape: (positions, n, d) of each array.

    Raises:
        InputError: the disk has no room for it.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    sites = [Site.parse(text) for text in request["sites"]]
    # Checked beforehand: writing to mapped memory on a full disk kills the process.
    needed = len(sites) * int(np.prod(shape)) * 4 + _SLACK_BYTES
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise InputError(
            f"{folder}: the activations take {needed / 2**20:.0f} MB and {free / 2**20:.0f} MB are "
            "free there; free some, choose another folder, or fewer sites or positions"
        )
    partial.mkdir()
    try:
        arrays = {
            site: np.lib.format.open_memmap(
                partial / _file_name(site), mode="w+", dtype=np.float32, shape=shape
            )
            for site in sites
        }
        yield arrays
        for array in arrays.values():
            array.flush()
        hashes = {_file_name(site): file_sha256(partial / _file_name(site)) for site in sites}
        manifest = {**request, "sha256": hashes}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_store(folder: Path, request: Mapping[str, Any]) -> Activations:
    """Opens a store, if it is the one asked for. Files are mapped and checked when first read.

    Raises:
        InputError: the folder is no store, or was made from something else; the message names
            the field.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{folder}: exists but is no activation store (no {MANIFEST}); choose another folder"
        )
    manifest = read_json(path)
    for field, wanted in request.items():
        if manifest.get(field) != wanted:
            raise InputError(
                f"{folder}: holds activations whose `{field}` is {_short(manifest.get(field))}, "
                f"not {_short(wanted)} as asked for now; delete the folder or choose another one"
            )
    sites = [Site.parse(text) for text in manifest["sites"]]
    arrays = _StoredArrays(folder, manifest["sha256"])
    return Activations(sites, manifest["positions"], arrays, manifest)


class _StoredArrays(Mapping[Site, np.ndarray]):
    """Maps a site's file into memory when it is asked for, once its hash was found right."""

    def __init__(self, folder: Path, hashes: Mapping[str, str]) -> None:
        self._folder = folder
        self._hashes = hashes

    def __getitem__(self, site: Site) -> np.ndarray:
        path = self._folder / _file_name(site)
        if not path.is_file() or file_sha256(path) != self._hashes[path.name]:
            raise InputError(
                f"{path}: not the file that {MANIFEST} was written for; it is damaged: delete the "
                "folder and capture again"
            )
        return np.load(path, mmap_mode="c")

    def __iter__(self) -> Iterator[Site]:
        return (Site.parse(name.removesuffix(".npy")) for name in self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)


def _file_name(site: Site) -> str:
    return f"{site}.npy"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
