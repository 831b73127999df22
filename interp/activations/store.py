"""Activations on disk: written shard by shard, so that a killed run is completed and not repeated.

A store is a folder with a manifest that says what made it, and a folder for each shard: contiguous
prompts, one file a site, so that a layer is read without touching the others. Until all shards are
there it lives in a hidden folder beside its place.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from interp.activations.disk import (
    StoredShard,
    explained,
    hashes_if_whole,
    locked,
    save_shard,
    seal,
    unseal,
)
from interp.activations.shards import Activations, Shard
from interp.activations.sites import Site
from interp.errors import InputError

MANIFEST, REQUEST = "manifest.json", "request.json"
_SLACK_BYTES = 2**20


class Writer:
    """An unfinished store, whose shards can be added in any order.

    Attributes:
        notes: what was noted down in this run and those before it.
    """

    def __init__(
        self,
        place: Path,
        request: Mapping[str, Any],
        rows: Sequence[tuple[int, int]],
        notes: Mapping[str, Any],
        done: Mapping[int, Mapping[str, str]],
    ) -> None:
        self.notes = dict(notes)
        self._place = place
        self._request = request
        self._rows = rows
        self._done: dict[int, Mapping[str, str]] = dict(done)

    @property
    def missing(self) -> list[int]:
        """Numbers of the shards that are still to be computed."""
        return [number for number in range(len(self._rows)) if number not in self._done]

    def note(self, **values: Any) -> None:
        """Keeps values (JSON) that a resumed run needs; the manifest shows them under `notes`.

        Raises:
            InputError: the disk is full or cannot be written to.
        """
        self.notes |= values
        seal(self._place / REQUEST, _described(self._request, self._rows, self.notes))

    def add(self, number: int, arrays: Shard) -> None:
        """Saves a shard: all of it, or nothing.

        Raises:
            InputError: the disk is full or cannot be written to; finished shards stay.
        """
        _check_arrays(arrays, self._rows[number])
        self.record(number, save(self.place(number), arrays))

    def place(self, number: int) -> Path:
        """Folder of a shard, for a process that saves it in this one's stead."""
        return self._place / _name(self._rows[number])

    def record(self, number: int, hashes: Mapping[str, str]) -> None:
        """Notes that a shard was saved in its place, with these hashes of its files."""
        self._done[number] = hashes

    def finish(self) -> None:
        """Writes the manifest, the last file of a store.

        Raises:
            InputError: the disk is full or cannot be written to.
        """
        if self.missing:
            raise ValueError(f"shards {self.missing} were never added")
        shards = []
        for number, rows in enumerate(self._rows):
            tokens = np.load(self._place / _name(rows) / "tokens.npy", mmap_mode="r")
            shards.append(
                {
                    "name": _name(rows),
                    "rows": list(rows),
                    "tokens": len(tokens),
                    "sha256": self._done[number],
                }
            )
        content = {**self._request, "notes": self.notes, "shards": shards}
        seal(self._place / MANIFEST, content)


def save(place: Path, arrays: Shard) -> dict[str, str]:
    """Saves a shard, all of it or nothing; the hashes of its files.

    Raises:
        InputError: the disk is full or cannot be written to.
    """
    with explained(place):
        return save_shard(place, arrays)


@contextmanager
def writing(
    folder: Path, request: Mapping[str, Any], rows: Sequence[tuple[int, int]], *, n_bytes: int
) -> Iterator[Writer]:
    """Takes the shards of a store; it appears whole when the block ends with all of them there.

    When the block fails, what it finished is kept for the next call with the same request, also
    after a kill. Nothing is missing in a store that is there already.

    Args:
        folder: of the store.
        request: what makes the store; JSON with `sites`, `positions` and `dtype` among its fields.
        rows: [first, behind last) prompt of each shard, in order.
        n_bytes: what the activations will take.

    Raises:
        InputError: the folder holds something else, what is unfinished was made from another
            request, or the disk has no room.
    """
    _check_rows(rows)
    partial = folder.with_name(f".{folder.name}.partial")
    with locked(folder):
        if (partial / MANIFEST).is_file():  # killed between the last two steps
            _publish(partial, folder)
        if folder.exists():
            manifest = open_store(folder, request).manifest
            done = {number: entry["sha256"] for number, entry in enumerate(manifest["shards"])}
            yield Writer(folder, request, rows, manifest["notes"], done)
            return
        with explained(folder):
            writer = _resume(partial, request, rows)
        _check_room(folder, partial, n_bytes)
        yield writer
        writer.finish()
        _publish(partial, folder)


def open_store(folder: Path, request: Mapping[str, Any] | None = None) -> Activations:
    """Opens a store. Its files are mapped into memory, and checked, when they are first read.

    Args:
        folder: of the store.
        request: what it must have been made from; None takes any.

    Raises:
        InputError: the folder is no store, its manifest is damaged, or it was made from something
            else; the message names the field.
    """
    if not (folder / MANIFEST).is_file():
        what = "exists but is" if folder.exists() else "is"
        raise InputError(
            f"{folder}: {what} no activation store (no {MANIFEST}); choose another folder"
        )
    manifest = unseal(folder / MANIFEST)
    _refuse_other(manifest, request or {}, f"{folder}: holds activations")
    shards = [StoredShard(folder / entry["name"], entry["sha256"]) for entry in manifest["shards"]]
    sites = [Site.parse(text) for text in manifest["sites"]]
    return Activations(sites, manifest["positions"], shards, manifest["dtype"], manifest)


def _resume(partial: Path, request: Mapping[str, Any], rows: Sequence[tuple[int, int]]) -> Writer:
    """What a run left behind, without what is half-written or damaged in it; or a new start."""
    if not (partial / REQUEST).is_file():
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        seal(partial / REQUEST, _described(request, rows, {}))
    found = unseal(partial / REQUEST)
    wanted = _described(request, rows, found["notes"])
    _refuse_other(found, wanted, f"{partial}: an unfinished store")
    hashes = {number: hashes_if_whole(partial / _name(pair)) for number, pair in enumerate(rows)}
    done = {number: found for number, found in hashes.items() if found is not None}
    kept = {REQUEST, *(_name(rows[number]) for number in done)}
    for path in partial.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Writer(partial, request, rows, found["notes"], done)


def _publish(partial: Path, folder: Path) -> None:
    """Gives a store with a manifest its place."""
    with explained(folder):
        (partial / REQUEST).unlink(missing_ok=True)
        partial.rename(folder)


def _check_room(folder: Path, partial: Path, n_bytes: int) -> None:
    there = sum(path.stat().st_size for path in partial.glob("*/*"))
    needed = max(n_bytes - there, 0) + _SLACK_BYTES
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise InputError(
            f"{folder}: the activations take {needed / 2**20:.0f} MB and {free / 2**20:.0f} MB are "
            "free there; free some, choose another folder, or fewer sites or positions"
        )


def _check_rows(rows: Sequence[tuple[int, int]]) -> None:
    edges = [0, *(behind for _, behind in rows)]
    if not rows or list(rows) != list(pairwise(edges)) or edges != sorted(set(edges)):
        raise ValueError(
            f"shards of rows {list(rows)}: expected at least one, none empty, and each to begin "
            "where the one before it ends"
        )


def _check_arrays(arrays: Shard, rows: tuple[int, int]) -> None:
    n_rows, n_tokens = len(arrays["lengths"]), int(arrays["lengths"].sum())
    if n_rows != rows[1] - rows[0] or n_tokens != len(arrays["tokens"]):
        raise ValueError(
            f"a shard of {n_rows} prompts with {n_tokens} tokens for rows {rows} and "
            f"{len(arrays['tokens'])} tokens"
        )


def _refuse_other(held: Mapping[str, Any], request: Mapping[str, Any], what: str) -> None:
    for field, wanted in json.loads(json.dumps(dict(request))).items():
        if held.get(field) != wanted:
            raise InputError(
                f"{what} whose `{field}` is {_short(held.get(field))}, not {_short(wanted)} as "
                "asked for now; delete the folder or choose another one"
            )


def _described(
    request: Mapping[str, Any], rows: Sequence[tuple[int, int]], notes: Mapping[str, Any]
) -> dict[str, Any]:
    return {**request, "rows": [list(pair) for pair in rows], "notes": dict(notes)}


def _name(rows: tuple[int, int]) -> str:
    return f"rows-{rows[0]:07d}-{rows[1] - 1:07d}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
