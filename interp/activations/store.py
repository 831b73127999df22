"""Stores: activations on disk, with what made them, shard by shard so that a kill loses little.

A store is a folder with a manifest and one folder a shard, which holds contiguous prompts: one file
a site, so that a layer is read without touching the others. Until it is whole it stands beside its
place as `.<name>.partial`; each shard appears there by a rename, and the store by another.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from interp.activations.shards import Activations, Shard, StoredShard
from interp.activations.sites import Site
from interp.checkpoints.files import file_sha256, read_json
from interp.errors import InputError
from interp.tables import replacing

MANIFEST = "manifest.json"
_REQUEST = "request.json"
_SHARD = "shard.json"
_SLACK_BYTES = 2**20


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
            "another folder; what is finished is kept, run again to go on"
        ) from error


class Writer:
    """The unfinished store.

    Args:
        folder: that it stands in meanwhile.
        rows: [first, behind last) prompt of each shard.
    """

    def __init__(self, folder: Path, rows: Sequence[tuple[int, int]]) -> None:
        self._folder, self._rows = folder, rows
        self.missing = [number for number in range(len(rows)) if not self._whole(number)]

    @property
    def notes(self) -> dict[str, Any]:
        """What `note` wrote, also in the run that this one resumes."""
        notes: dict[str, Any] = read_json(self._folder / _REQUEST)["notes"]
        return notes

    def note(self, **values: Any) -> None:
        """Writes down what a resumed run has to know; it goes into the manifest."""
        content = read_json(self._folder / _REQUEST)
        content["notes"] |= values
        _write_json(self._folder / _REQUEST, content)

    def add(self, number: int, arrays: Shard) -> None:
        """Writes a shard, which is there whole or not at all."""
        making = self._folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        hashes = {}
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, np.ascontiguousarray(array))
            hashes[f"{name}.npy"] = hashlib.sha256(content.getbuffer()).hexdigest()
            (making / f"{name}.npy").write_bytes(content.getbuffer())
        _write_json(making / _SHARD, {"sha256": hashes})
        making.rename(self._folder / self._name(number))

    def finish(self, folder: Path) -> None:
        """Writes the manifest and gives the store its name."""
        content = read_json(self._folder / _REQUEST)
        shards = [
            {
                "name": self._name(number),
                "rows": list(rows),
                **read_json(self._folder / self._name(number) / _SHARD),
            }
            for number, rows in enumerate(self._rows)
        ]
        manifest = {**content["request"], "notes": content["notes"], "shards": shards}
        _write_json(self._folder / MANIFEST, manifest)
        (self._folder / _REQUEST).unlink()
        self._folder.rename(folder)

    def _name(self, number: int) -> str:
        first, behind = self._rows[number]
        return f"rows-{first:08d}-{behind - 1:08d}"

    def _whole(self, number: int) -> bool:
        """Whether a shard stands there; one that is damaged is taken away."""
        folder = self._folder / self._name(number)
        if not folder.is_dir():
            return False
        hashes = read_json(folder / _SHARD)["sha256"]
        if all(
            (folder / name).is_file() and file_sha256(folder / name) == expected
            for name, expected in hashes.items()
        ):
            return True
        shutil.rmtree(folder)
        return False


@contextmanager
def writing(
    folder: Path, request: Mapping[str, Any], rows: Sequence[tuple[int, int]], *, n_bytes: int
) -> Iterator[Writer]:
    """A store to be filled; it appears whole when the block ends without an exception.

    To be used while the folder is `locked`. After an exception or a kill the finished shards stay,
    and the same call goes on from there.

    Args:
        folder: of the store, which must not exist.
        request: what makes the store, for its manifest.
        rows: [first, behind last) prompt of each shard.
        n_bytes: that it will take.

    Raises:
        InputError: the disk has no room for it, or what is unfinished there is of something else.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    partial.mkdir(exist_ok=True)
    if (partial / _REQUEST).is_file():
        _check_request(partial, read_json(partial / _REQUEST)["request"], request, "an unfinished")
    else:
        _write_json(partial / _REQUEST, {"request": dict(request), "notes": {}})
    writer = Writer(partial, rows)
    n_rows = sum(behind - first for first, behind in rows)
    n_missing = sum(rows[number][1] - rows[number][0] for number in writer.missing)
    needed = n_bytes * n_missing // max(n_rows, 1) + _SLACK_BYTES
    free = shutil.disk_usage(partial).free
    if free < needed:
        raise InputError(
            f"{folder}: the activations take {needed / 2**20:.0f} MB and {free / 2**20:.0f} MB are "
            "free there; free some, choose another folder, or fewer sites or positions"
        )
    yield writer
    writer.finish(folder)


def open_store(folder: Path, request: Mapping[str, Any] | None = None) -> Activations:
    """Opens a store, if it is the one asked for. Files are mapped and checked when first read.

    Args:
        folder: of the store.
        request: what must have made it; None opens whatever it is.

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
    _check_request(folder, manifest, request or {}, "a")
    return Activations(
        [Site.parse(text) for text in manifest["sites"]],
        manifest["positions"],
        [StoredShard(folder / shard["name"], shard["sha256"]) for shard in manifest["shards"]],
        manifest["dtype"],
        manifest,
    )


def _check_request(
    folder: Path, made: Mapping[str, Any], wanted: Mapping[str, Any], article: str
) -> None:
    for field, value in wanted.items():
        if made.get(field) != value:
            raise InputError(
                f"{folder}: {article} store of activations whose `{field}` is "
                f"{_short(made.get(field))}, not {_short(value)} as asked for now; delete the "
                "folder or choose another one"
            )


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
