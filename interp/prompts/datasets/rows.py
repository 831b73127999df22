"""Rows of published files: read with their places, so that what is wrong can be found."""

from __future__ import annotations

import bz2
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interp.configs import nearest
from interp.errors import InputError


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        values: by column.
        number: of its line, or its place in the file's list; from 1.
        where: the file and that number, for messages.
    """

    values: dict[str, Any]
    number: int
    where: str

    def get(self, column: str) -> Any:
        """The value of a column, whatever it is.

        Raises:
            InputError: there is no such column; the message names those there are.
        """
        if column not in self.values:
            known = [str(name) for name in self.values]
            raise InputError(
                f"{self.where}: the column '{column}' is missing{nearest(column, known)}; there "
                f"are {', '.join(known) or 'none'}"
            )
        return self.values[column]

    def text(self, column: str) -> str:
        """A column's text.

        Raises:
            InputError: there is none, it is empty, or it is something else.
        """
        value = self.get(column)
        if not isinstance(value, str) or not value.strip():
            raise self.bad(column, "a text that is not empty")
        return value

    def flag(self, column: str) -> bool:
        """A column's truth value.

        Raises:
            InputError: it is neither True nor False.
        """
        value = self.get(column)
        if not isinstance(value, bool):
            raise self.bad(column, "true or false")
        return value

    def integer(self, column: str) -> int:
        """A column's whole number.

        Raises:
            InputError: it is something else.
        """
        value = self.get(column)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.bad(column, "a whole number")
        return value

    def whole(self, column: str) -> int:
        """The whole number that a column's text is, as in CSV.

        Raises:
            InputError: it is something else.
        """
        value = self.text(column)
        if not value.isdecimal():
            raise self.bad(column, "a whole number")
        return int(value)

    def texts(self, column: str) -> list[str]:
        """A column's list of texts.

        Raises:
            InputError: it is something else.
        """
        value = self.get(column)
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.bad(column, "a list of texts")
        return value

    def object(self, column: str) -> Row:
        """A column's object, as a row of its own.

        Raises:
            InputError: it is something else.
        """
        value = self.get(column)
        if not isinstance(value, dict):
            raise self.bad(column, "an object")
        return Row(value, 1, f"{self.where}, {column}")

    def objects(self, column: str) -> list[Row]:
        """A column's list of objects, each a row with its place in that list.

        Raises:
            InputError: it is something else.
        """
        listed = self.get(column)
        if not isinstance(listed, list):
            raise self.bad(column, "a list of objects")
        return [
            _object(entry, number, f"{self.where}, {column} {number}")
            for number, entry in enumerate(listed, start=1)
        ]

    def one_of(self, column: str, known: Sequence[str]) -> str:
        """A column's text, where only some are known.

        Raises:
            InputError: it is none of them.
        """
        value = self.text(column)
        if value not in known:
            raise self.bad(column, f"one of {', '.join(known)}")
        return value

    def bad(self, column: str, expected: str) -> InputError:
        """The error for a value that is not as published."""
        shown = repr(self.values[column])
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return InputError(f"{self.where}: `{column}` is {shown}; expected {expected}")


def text_of(path: Path) -> str:
    """A file's text, without a byte order mark; .bz2 is unpacked.

    Raises:
        InputError: it cannot be read or unpacked, or is not UTF-8 (with the line).
    """
    try:
        content = path.read_bytes()
        content = bz2.decompress(content) if path.suffix == ".bz2" else content
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 ({error.reason})") from error


def json_lines(path: Path) -> list[Row]:
    """The rows of a file with one JSON object a line; empty lines are skipped.

    Raises:
        InputError: a line is not a JSON object (with its number), or there are no rows.
    """
    # Not `splitlines`, which also parts a text at the line separators that JSON leaves as they are.
    lines = enumerate(text_of(path).split("\n"), start=1)
    rows = [
        _object(_parsed(line, f"{path}, line {number}"), number, f"{path}, line {number}")
        for number, line in lines
        if line.strip()
    ]
    return _some(rows, path)


def json_list(path: Path, key: str | None = None) -> list[Row]:
    """The rows of a JSON file that is a list of objects, or has one under a key.

    Raises:
        InputError: not JSON (with the line), no such list, an entry that is no object, or no rows.
    """
    listed = json_file(path) if key is None else Row(json_object(path), 1, str(path)).get(key)
    if not isinstance(listed, list):
        at = f"{path}: " if key is None else f"{path}: `{key}` is "
        raise InputError(f"{at}no list; expected one of objects, one a row")
    rows = [
        _object(entry, number, f"{path}, row {number}")
        for number, entry in enumerate(listed, start=1)
    ]
    return _some(rows, path)


def json_object(path: Path) -> dict[str, Any]:
    """A JSON file that is one object.

    Raises:
        InputError: not JSON (with the line), or not an object.
    """
    return _object(json_file(path), 1, str(path)).values


def json_file(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: not JSON (with the line).
    """
    return _parsed(text_of(path), str(path))


def csv_rows(path: Path, delimiter: str = ",", before: int = 0) -> list[Row]:
    """The rows of a CSV or TSV file with a header; the number of a row is that of its last line.

    Args:
        path: of the file.
        delimiter: between fields.
        before: lines above the header, which are passed over.

    Raises:
        InputError: a row has more or fewer fields than the header, a quote is not closed, or
            there are no rows.
    """
    table = io.StringIO(text_of(path).split("\n", before)[-1], newline="")
    reader = csv.DictReader(table, strict=True, delimiter=delimiter)
    rows = []
    try:
        for values in reader:
            line = reader.line_num + before
            where = f"{path}, line {line}"
            if None in values or None in values.values():
                raise InputError(
                    f"{where}: expected {len(reader.fieldnames or [])} fields, as in the header"
                )
            rows.append(Row(dict(values), line, where))
    except csv.Error as error:
        start = reader.line_num + before + 1  # a quote left open runs on to the end of the file
        raise InputError(f"{path}, line {start}: not CSV ({error})") from error
    return _some(rows, path)


def parquet_rows(path: Path) -> list[Row]:
    """The rows of a parquet file; lists come as lists, and what is missing as None.

    Raises:
        InputError: not a parquet file, or no rows.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as parquet ({error})") from error
    rows = [
        Row(values, number, f"{path}, row {number}")
        for number, values in enumerate(table.to_pylist(), start=1)
    ]
    return _some(rows, path)


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = "" if ", line " in where else f", line {error.lineno}"
        raise InputError(f"{where}{at}: not JSON ({error})") from error


def _object(entry: Any, number: int, where: str) -> Row:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with named values, not {type(entry)}")
    return Row(entry, number, where)


def _some(rows: list[Row], path: Path) -> list[Row]:
    if not rows:
        raise InputError(f"{path}: no rows in it")
    return rows
