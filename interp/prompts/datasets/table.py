"""One's own table as a prompt set: CSV, JSON lines or parquet, with the columns named."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from interp.configs import nearest
from interp.errors import InputError
from interp.prompts.datasets.rows import Row, csv_rows, json_lines, parquet_rows
from interp.prompts.promptset import COLUMNS, PromptSet

_READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".csv": csv_rows,
    ".jsonl": json_lines,
    ".parquet": parquet_rows,
}
_MAPPED = tuple(column for column in COLUMNS if column != "meta")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_table(path: Path, columns: Mapping[str, str]) -> PromptSet:
    """Reads a table of prompts.

    What is not named gets the defaults of `PromptSet.from_records`; an id is then the file's name
    and the line (or row), and the dataset the file's name. Labels may be written true and false,
    yes and no, or 1 and 0; answers are a list (in CSV as JSON) or one text; what is empty is
    missing.

    Args:
        path: ends with .csv (UTF-8, with a header), .jsonl or .parquet.
        columns: column of a `PromptSet`, or "meta.KEY", -> column of the file. `should_abstain`
            and one of `text` and `messages` are needed.

    Raises:
        InputError: another kind of file, a column that a prompt set does not have or the file does
            not have, or a value that does not fit (with file, line and column).
    """
    _check(columns)
    records = [_record(row, path, columns) for row in _rows(path)]
    try:
        return PromptSet.from_records(records)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def table_columns(path: Path) -> list[str]:
    """Names of the columns of a table, as its first row has them.

    Args:
        path: as for `read_table`.

    Raises:
        InputError: no such file, another kind of file, or no rows.
    """
    rows = _rows(path)
    if not rows:
        raise InputError(f"{path}: no rows; expected a question a row")
    return [str(name) for name in rows[0].values]


def _rows(path: Path) -> list[Row]:
    if path.suffix not in _READERS:
        raise InputError(f"{path}: expected a file that ends with {', '.join(_READERS)}")
    return _READERS[path.suffix](path)


def _check(columns: Mapping[str, str]) -> None:
    for column in columns:
        if column not in _MAPPED and not (column.startswith("meta.") and column != "meta."):
            raise InputError(
                f"columns: a prompt set has no column '{column}'{nearest(column, _MAPPED)}; "
                f"expected {', '.join(_MAPPED)} or meta.KEY"
            )
    if "should_abstain" not in columns or not {"text", "messages"} & set(columns):
        raise InputError(
            "columns: expected to be told which column is `should_abstain`, and which is `text` "
            f"or `messages`; told about {', '.join(columns) or 'none'}"
        )


def _record(row: Row, path: Path, columns: Mapping[str, str]) -> dict[str, Any]:
    record: dict[str, Any] = {"prompt_id": f"{path.stem}/{row.number}", "dataset": path.stem}
    meta: dict[str, Any] = {}
    for column, source in columns.items():
        value = row.get(source)
        if column.startswith("meta."):
            meta[column.removeprefix("meta.")] = value
        elif column == "should_abstain":
            record[column] = _flag(row, source)
        elif value is not None and value != "":
            record[column] = _answers(row, source) if column == "answers" else _text(value)
    return {**record, "meta": meta}


def _flag(row: Row, column: str) -> bool:
    written = str(row.get(column)).strip().lower()
    if written not in _FLAGS:
        raise row.bad(column, "true or false, yes or no, 1 or 0")
    return _FLAGS[written]


def _answers(row: Row, column: str) -> list[Any]:
    value = row.get(column)
    if not isinstance(value, str) or not value.startswith("["):
        return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]
    try:
        listed = json.loads(value)
    except json.JSONDecodeError as error:
        raise row.bad(column, "one answer, or a JSON list of answers") from error
    return [str(entry) for entry in listed]


def _text(value: Any) -> Any:
    """Numbers as text, as ids often are; anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
