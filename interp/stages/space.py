"""A full disk, said before work starts and in one sentence when it happens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from interp.errors import InputError
from interp.settings import cache_root

FREE_BYTES = 300 * 2**20
"""What a study wants free on the disk of its cache before it starts."""

FULL_BYTES = 16 * 2**20
"""A disk with less than this free is full: a training save alone takes 9 MB."""


def require_space() -> None:
    """Refuses to start on a disk that is nearly full.

    Raises:
        InputError: how much is free and how much is wanted.
    """
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < FREE_BYTES:
        raise InputError(
            f"only {free / 2**20:.0f} MB are free where the cache stands ({root}), and a study "
            f"wants {FREE_BYTES / 2**20:.0f}; free some, or set INTERP_CACHE to another disk"
        )


@contextmanager
def full_disk_said() -> Iterator[None]:
    """A full disk is a different error in every library that writes; here it gets its name.

    Raises:
        InputError: in place of what was raised, if the disk is full.
    """
    try:
        yield
    except Exception as error:
        root = cache_root()
        if shutil.disk_usage(root).free > FULL_BYTES:
            raise
        raise InputError(
            f"no space left on the disk of the cache ({root}); free some, or set INTERP_CACHE to "
            "another disk, and run again: finished stages are kept"
        ) from error
