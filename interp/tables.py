"""Ground floor: the tidy result table that every stage writes, with the run that made it.

Files appear whole or not at all: they are written aside and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import interp
from interp.errors import InputError

_RUN_KEY = b"interp.run"


@cache
def code_version() -> str:
    """The package version and a hash of its sources, e.g. "0.1.0+3f9a0c52b1d4".

    It changes with any .py file of the package, needs no git, and is the same on every machine.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(source)}\n".encode() + source)
    return f"{interp.__version__}+{digest.hexdigest()[:12]}"


def run_info(config: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """What identifies a run.

    Args:
        config: everything that the result depends on, as JSON values.
        seed: None for a table that holds several seeds.

    Returns:
        `config`, `seed`, `code_version`, and `run_id`: 12 hex digits over the three, the same
        whatever the order of the keys.
    """
    run = {"config": dict(config), "seed": seed, "code_version": code_version()}
    canonical = json.dumps(run, sort_keys=True)
    run_id = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    # Through JSON, so that a run that is written and read again equals itself (tuples, keys).
    return {"run_id": run_id, **json.loads(canonical)}


def write_table(frame: pd.DataFrame, path: Path, run: Mapping[str, Any]) -> Path:
    """Write a table as parquet with its run in the file's metadata.

    The index is not kept. Equal frames and runs give equal bytes.

    Args:
        frame: tidy rows.
        path: of the file; its folder is created if missing.
        run: as from `run_info`.

    Returns:
        `path`.

    Raises:
        InputError: the file cannot be written (no space, no permission); an earlier one stays.
    """
    bare = frame.copy(deep=False)
    bare.attrs = {}  # an earlier run's info would be stored a second time, beside this one's
    table = pa.Table.from_pandas(bare, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _RUN_KEY: json.dumps(run, sort_keys=True).encode()}
    with replacing(path) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial)
    return path


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Returns:
        The frame, with its run in `.attrs["run"]`.

    Raises:
        InputError: the file is missing, damaged, or not from `write_table`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; run the stage that writes it")
    try:
        table = pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not a readable parquet table ({error}); delete it and run the stage again"
        ) from error
    run = (table.schema.metadata or {}).get(_RUN_KEY)
    if run is None:
        raise InputError(
            f"{path}: does not say which run made it (no '{_RUN_KEY.decode()}' in its metadata); "
            "expected a table written by interp"
        )
    frame = table.to_pandas()
    frame.attrs = {"run": json.loads(run)}
    return frame


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    r"""Write a table as CSV for people: six significant digits, "\n", no index, NaN left empty.

    Args:
        frame: tidy rows.
        path: of the file; its folder is created if missing.

    Returns:
        `path`.

    Raises:
        InputError: the file cannot be written (no space, no permission); an earlier one stays.
    """
    floats = frame.select_dtypes("floating").columns
    # Adding zero turns -0.0 into 0.0: the sign of nothing depends on the machine.
    rows = frame.assign(**{name: frame[name] + 0.0 for name in floats})
    with replacing(path) as partial:
        rows.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    return path


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that `write_csv` wrote; only an empty field is a missing value.

    Raises:
        InputError: the file is missing, or not a table.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; run the study that writes it")
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: not a readable CSV table ({error}); restore it, or run the study again"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block ends and vanishes when it fails.

    After a kill `path` is what it was before; at worst a hidden `.partial` file stays beside it.

    Raises:
        InputError: the file cannot be written (no space, no permission).
    """
    # The process id keeps two runs over one cache from writing into each other's file.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose "
            "another folder, then run again: finished work is kept"
        ) from error
