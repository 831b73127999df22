"""Broken files: one error, with the file, and the line where there is one."""

from __future__ import annotations

import bz2

import pandas as pd
import pytest

from interp.errors import InputError
from interp.prompts.datasets.rows import (
    csv_rows,
    json_file,
    json_lines,
    json_list,
    json_object,
    parquet_rows,
)

READERS = {
    "csv": csv_rows,
    "json": json_list,
    "jsonl": json_lines,
    "object": json_object,
    "parquet": parquet_rows,
}
BROKEN = {
    "no rows, csv": ("csv", b"a,b\n", "f: no rows in it"),
    "nothing, csv": ("csv", b"", "f: no rows in it"),
    "nothing, jsonl": ("jsonl", b"\n \n", "f: no rows in it"),
    "no rows, json": ("json", b"[]", "f: no rows in it"),
    "encoding, csv": ("csv", b"a\nx\n\xffy\n", "f, line 3: not UTF-8"),
    "encoding, jsonl": ("jsonl", b'{"a": "\xe9"}\n', "f, line 1: not UTF-8"),
    "more fields": ("csv", b'a,b\n1,2\n"x\ny",2,3\n', "f, line 4: expected 2 fields"),
    "fewer fields": ("csv", b"a,b\n1\n", "f, line 2: expected 2 fields"),
    "open quote": ("csv", b'a,b\n1,"2\n', "f, line 2: not CSV"),
    "broken line": ("jsonl", b'{"a": 1}\n\n{"a": \n', "f, line 3: not JSON"),
    "no object on a line": ("jsonl", b'{"a": 1}\n[1]\n', "f, line 2: expected an object"),
    "broken json": ("json", b'[\n{"a": 1},\n{"a" 2}]', "f, line 3: not JSON"),
    "no list": ("json", b'{"a": 1}', "f: no list"),
    "no object in a list": ("json", b'[{"a": 1}, 3]', "f, row 2: expected an object"),
    "a list for an object": ("object", b"[1]", "f: expected an object"),
    "no parquet": ("parquet", b"a,b\n1,2\n", "f: cannot be read as parquet"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_said_with_its_line(case, tmp_path):
    kind, content, message = BROKEN[case]
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        READERS[kind](path)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize("kind", READERS)
def test_a_file_that_cannot_be_opened_is_said(kind, tmp_path):
    with pytest.raises(InputError, match="nothing: cannot be read"):
        READERS[kind](tmp_path / "nothing")


def test_a_list_under_a_key(tmp_path):
    path = tmp_path / "f"
    path.write_text('{"rows": [{"a": 1}, {"a": 2}], "b": 1}')
    assert [(row.number, row.get("a")) for row in json_list(path, "rows")] == [(1, 1), (2, 2)]
    with pytest.raises(InputError, match=r"f: the column 'row' is missing.*'rows'.*there are rows"):
        json_list(path, "row")
    with pytest.raises(InputError, match="f: `b` is no list"):
        json_list(path, "b")


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    (row,) = csv_rows(path)
    assert row.values == {"a": "1", "b": "2"}
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xe2\x80\xa8x\xc2\x85"}\r\n')
    (row,) = json_lines(path)  # the line separators within are part of the text
    assert row.text("a") == "\u2028x\x85"
    path.write_bytes(b"\xef\xbb\xbf3")
    assert json_file(path) == 3


def test_lines_are_those_of_an_editor(tmp_path):
    path = tmp_path / "f"
    path.write_text('a,b\n"x\ny",1\nz,2\n')
    assert [(row.text("a"), row.number) for row in csv_rows(path)] == [("x\ny", 3), ("z", 4)]
    path.write_text('\n{"a": 1}\n\n{"a": 2}')
    assert [row.number for row in json_lines(path)] == [2, 4]


def test_lines_above_the_header_are_passed_over_and_counted(tmp_path):
    path = tmp_path / "f"
    path.write_text('"mind, please",\r\n,\r\na,b\r\n"x\ny",1\r\nz,2\r\n', newline="")
    rows = csv_rows(path, before=2)
    assert [(row.text("a"), row.number) for row in rows] == [("x\ny", 5), ("z", 6)]
    path.write_text("above\na,b\n1\n")
    with pytest.raises(InputError, match="f, line 3: expected 2 fields"):
        csv_rows(path, before=1)
    path.write_text('above\na,b\n1,"2\n')
    with pytest.raises(InputError, match="f, line 3: not CSV"):
        csv_rows(path, before=1)


def test_objects_within_a_row_know_their_places(tmp_path):
    path = tmp_path / "f"
    path.write_text('{"a": {"b": [{"c": "x"}, {"c": 1}]}, "d": [3]}')
    (row,) = json_lines(path)
    first, second = row.object("a").objects("b")
    assert (first.text("c"), first.number, second.number) == ("x", 1, 2)
    with pytest.raises(InputError, match=r"f, line 1, a, b 2: `c` is 1; expected a text"):
        second.text("c")
    with pytest.raises(InputError, match=r"f, line 1, d 1: expected an object"):
        row.objects("d")


def test_packed_lines_are_unpacked(tmp_path):
    path = tmp_path / "f.bz2"
    path.write_bytes(bz2.compress(b'{"a": 1}\n{"a": 2}\n'))
    assert [row.get("a") for row in json_lines(path)] == [1, 2]
    for broken in (b"no archive", path.read_bytes()[:-9]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"f\.bz2: cannot be read"):
            json_lines(path)


def test_a_tab_may_part_the_fields(tmp_path):
    (tmp_path / "f").write_text("a\tb\n1,2\t3\n")
    (row,) = csv_rows(tmp_path / "f", delimiter="\t")
    assert row.values == {"a": "1,2", "b": "3"}


def test_parquet_gives_lists_and_none(tmp_path):
    pd.DataFrame({"a": [["x", "y"], []], "b": [None, "z"]}).to_parquet(tmp_path / "f")
    first, second = parquet_rows(tmp_path / "f")
    assert (first.texts("a"), first.get("b"), second.texts("a")) == (["x", "y"], None, [])
    assert second.where == f"{tmp_path}/f, row 2"


def test_values_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "f"
    path.write_text(f'{{"a": "{"x" * 99}", "b": [1], "c": true, "d": 1}}')
    (row,) = json_lines(path)
    for get, column, expected in (
        (row.flag, "a", "true or false"),
        (row.flag, "d", "true or false"),
        (row.texts, "b", "a list of texts"),
        (row.integer, "c", "a whole number"),
        (row.text, "d", "a text that is not empty"),
        (row.object, "b", "an object"),
        (row.objects, "a", "a list of objects"),
        (row.whole, "a", "a whole number"),
    ):
        with pytest.raises(InputError, match=f"f, line 1: `{column}` is .*; expected {expected}"):
            get(column)
    with pytest.raises(InputError, match=r"`a` is 'xx.*\.\.\.; expected one of p, q"):
        row.one_of("a", ("p", "q"))
