"""The files of a store: shards that appear whole, JSON in which damage shows, and its lock."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from interp.activations.shards import Shard
from interp.checkpoints.files import file_sha256, read_json
from interp.errors import InputError
from interp.tables import replacing

RECORD = "shard.json"
"""In each shard's folder: the hashes of its arrays."""


class StoredShard:
    """A shard on disk: maps an array into memory when it is asked for, once its hash is right.

    Args:
        folder: of the shard.
        hashes: SHA-256 (hex) of each of its files, by name.
    """

    def __init__(self, folder: Path, hashes: Mapping[str, str]) -> None:
        self._folder = folder
        self._hashes = hashes

    def __getitem__(self, name: str) -> np.ndarray:
        for file in (RECORD, f"{name}.npy"):
            path = self._folder / file
            if not path.is_file() or file_sha256(path) != self._hashes[file]:
                raise InputError(
                    f"{path}: not the file that the store was made with; it is missing or damaged: "
                    f"delete {self._folder.parent} and capture again"
                )
        return np.load(self._folder / f"{name}.npy", mmap_mode="c")

    def __iter__(self) -> Iterator[str]:
        return (file.removesuffix(".npy") for file in self._hashes if file != RECORD)


def save_shard(place: Path, arrays: Shard) -> dict[str, str]:
    """Writes a shard's folder, which appears with all its files in it or not at all.

    Args:
        place: of the folder, which must not exist.
        arrays: of the shard.

    Returns:
        SHA-256 (hex) of each file, by name; taken while writing.

    Raises:
        OSError: as the disk gives it; nothing is left of the shard.
    """
    temporary = place.with_name(f".{place.name}")
    temporary.mkdir()
    try:
        hashes = {
            f"{name}.npy": _save(temporary / f"{name}.npy", arrays[name]) for name in sorted(arrays)
        }
        record = _record(hashes)
        (temporary / RECORD).write_bytes(record)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return hashes | {RECORD: hashlib.sha256(record).hexdigest()}


def hashes_if_whole(place: Path) -> dict[str, str] | None:
    """SHA-256 (hex) of each file of a shard; None if they are not all as they were written."""
    # In the order that `save_shard` writes them: by array, of which one's name may begin another's.
    arrays = sorted(place.glob("*.npy"), key=lambda path: path.stem)
    hashes = {path.name: file_sha256(path) for path in arrays}
    record = place / RECORD
    if not record.is_file() or record.read_bytes() != _record(hashes):
        return None
    return hashes | {RECORD: file_sha256(record)}


def seal(path: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON with its own hash in it, so that damage shows.

    Raises:
        InputError: the file cannot be written.
    """
    sealed = dict(content) | {"sha256": _digest(content)}
    with replacing(path) as partial:
        partial.write_text(json.dumps(sealed, indent=1) + "\n", encoding="utf-8")


def unseal(path: Path) -> dict[str, Any]:
    """What `seal` wrote.

    Raises:
        InputError: names the file that is damaged.
    """
    content = read_json(path)
    rest = {field: value for field, value in content.items() if field != "sha256"}
    if content.get("sha256") != _digest(rest):
        raise InputError(
            f"{path}: not as it was written (its SHA-256 differs); it is damaged: delete "
            f"{path.parent} and run again"
        )
    return content


@contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turns what the disk objects to into a message.

    Raises:
        InputError: no space, no permission.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{place}: cannot be written ({error.strerror or error}); free some space or choose "
            "another folder; finished shards are kept"
        ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds others off the store until the block ends; a kill lets go of it.

    Raises:
        InputError: the place cannot be written to (no permission, no space).
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        held = lock.acquire()
    with held:
        yield


def _save(path: Path, array: np.ndarray) -> str:
    """Saves an array to the bytes that `np.save` would give; their SHA-256 (hex)."""
    data, header = np.ascontiguousarray(array), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(data))
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (header.getbuffer(), data.reshape(-1).view(np.uint8).data):
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def _record(hashes: Mapping[str, str]) -> bytes:
    return (json.dumps({"sha256": dict(hashes)}, indent=1) + "\n").encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
