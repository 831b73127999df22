"""Streams of objects: a cut at every letter is told from what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp.behavior.audit.json_stream import read_objects
from interp.errors import InputError

ROW = {
    "a": [True, False, None, -1.5e-30, {"b": 'x\\é"q'}, 7],
    "c": "z\n\N{GRINNING FACE} \N{LATIN SMALL LETTER E WITH ACUTE}",
}


def put(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "rows.jsonl"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_file_cut_at_any_letter_is_cut_off_and_no_error(tmp_path, indent, ascii_only) -> None:
    row = json.dumps(ROW, indent=indent, ensure_ascii=ascii_only)
    first = json.dumps({"a": 1}) + "\n"
    for length in range(1, len(row)):
        assert read_objects(put(tmp_path, first + row[:length])) == ([{"a": 1}], True), row[:length]
    assert read_objects(put(tmp_path, first + row)) == ([{"a": 1}, ROW], False)


@pytest.mark.parametrize(
    "last",
    [
        '{"a": oops}',
        '{"a": 2,}',
        '{"a" 2}',
        '{"a": 2]',
        '{"a": "tab\t"}',
        '{"a": tru}',
        '{"a": "\\q"}',
        "{'a': 2}",
        "oops",
        "tru",
        "}",
    ],
)
def test_a_last_object_that_is_wrong_is_not_taken_for_one_that_was_cut_off(tmp_path, last) -> None:
    for end in ("", "\n"):
        with pytest.raises(InputError, match="line 2: not JSON"):
            read_objects(put(tmp_path, '{"a": 1}\n' + last + end))


def test_a_byte_order_mark_is_no_part_of_the_first_object(tmp_path) -> None:
    assert read_objects(put(tmp_path, '{"a": 1}', "utf-8-sig")) == ([{"a": 1}], False)
