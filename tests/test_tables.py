from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.pandas import column, data_frames

import interp
from interp.errors import InputError
from interp.tables import (
    code_version,
    read_csv,
    read_table,
    run_info,
    write_csv,
    write_table,
)

FRAME = pd.DataFrame(
    {
        "seed": [0, 0, 1],
        "member": ["base", "replaced, in full", "näive"],
        "estimate": [0.5, np.nan, -1e-9],
        "decides": [True, False, True],
    }
)
RUN = run_info({"study": "organism", "layers": (1, 2)}, seed=3)

FRAMES = data_frames(
    [
        column("seed", dtype="int64"),
        column("estimate", elements=st.floats(allow_subnormal=False)),
        column("member", elements=st.text(st.characters(codec="utf-8"), max_size=5), dtype=object),
        column("decides", dtype=bool),
    ]
)


@given(FRAMES)
def test_a_table_comes_back_as_it_was_with_its_run(tmp_path_factory, frame):
    path = tmp_path_factory.mktemp("tables") / "table.parquet"
    back = read_table(write_table(frame, path, RUN))
    assert back.attrs == {"run": RUN}
    pd.testing.assert_frame_equal(back.astype(frame.dtypes), frame.reset_index(drop=True))


def test_equal_tables_are_equal_bytes_whatever_run_they_were_read_from(tmp_path):
    first = write_table(FRAME, tmp_path / "a.parquet", RUN)
    read = read_table(write_table(FRAME, tmp_path / "b.parquet", run_info({}, seed=None)))
    again = write_table(read, tmp_path / "new" / "folder" / "c.parquet", RUN)
    assert first.read_bytes() == again.read_bytes()
    assert read.attrs["run"]["seed"] is None  # writing left the caller's frame alone


def test_run_id_depends_on_config_seed_and_code_and_not_on_the_order_of_keys(monkeypatch):
    config = {"a": 1, "b": {"c": [1, 2], "d": None}}
    run = run_info(config, seed=0)
    assert run == run_info({"b": {"d": None, "c": (1, 2)}, "a": 1}, seed=0)
    assert set(run) == {"run_id", "config", "seed", "code_version"}
    assert len(run["run_id"]) == 12
    others = [run_info({**config, "a": 2}, seed=0), run_info(config, 1), run_info(config, None)]
    monkeypatch.setattr("interp.tables.code_version", lambda: "0.1.0+000000000000")
    others.append(run_info(config, seed=0))
    assert len({run["run_id"], *(other["run_id"] for other in others)}) == 5


def test_code_version_changes_with_any_source(tmp_path, monkeypatch):
    version = code_version()
    assert version == code_version()
    assert version.startswith(f"{interp.__version__}+")
    (tmp_path / "room").mkdir()
    seen = {version}
    for name, source in [("a.py", "x = 1"), ("a.py", "x = 2"), ("room/b.py", ""), ("c.md", "no")]:
        (tmp_path / name).write_text(source)
        monkeypatch.setattr("interp.tables.__file__", str(tmp_path / "tables.py"))
        code_version.cache_clear()
        seen.add(code_version())
    code_version.cache_clear()
    assert len(seen) == 4  # the three sources, and not the page of text


@pytest.mark.parametrize("keep", [0, 7, -9])
def test_a_damaged_table_is_one_error_that_names_it(tmp_path, keep):
    path = write_table(FRAME, tmp_path / "probes.parquet", RUN)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"probes\.parquet: not a readable parquet .* run the"):
        read_table(path)


@pytest.mark.parametrize(("read", "name"), [(read_table, "a.parquet"), (read_csv, "a.csv")])
def test_a_missing_table_is_one_error_that_names_it(tmp_path, read, name):
    for missing in (tmp_path / name, tmp_path / "no folder" / name, tmp_path):
        with pytest.raises(InputError, match=f"{missing}: no such table"):
            read(missing)


def test_a_parquet_file_of_someone_else_is_refused(tmp_path):
    FRAME.to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(InputError, match=r"foreign\.parquet: does not say which run made it"):
        read_table(tmp_path / "foreign.parquet")


# --- CSV -----------------------------------------------------------------------------------------


def test_csv_has_six_digits_unix_lines_and_no_negative_zero(tmp_path):
    frame = pd.DataFrame(
        {
            "member": ["a", "b, c", "d"],
            "n": [1, 20, 1234567],
            "estimate": [1 / 3, -0.0, np.nan],
            "big": [1234567.0, 1e-12, 2.0],
        }
    )
    path = write_csv(frame, tmp_path / "table.csv")
    assert path.read_bytes() == (
        b'member,n,estimate,big\na,1,0.333333,1.23457e+06\n"b, c",20,0,1e-12\nd,1234567,,2\n'
    )
    assert str(frame["estimate"][1]) == "-0.0"  # the caller's frame is as it was


@given(data_frames([column("x", elements=st.floats()), column("n", dtype="int64")]))
def test_csv_read_and_written_again_is_the_same_bytes(tmp_path_factory, frame):
    folder = tmp_path_factory.mktemp("csv")
    first = write_csv(frame, folder / "a.csv")
    assert write_csv(read_csv(first), folder / "b.csv").read_bytes() == first.read_bytes()


def test_only_an_empty_field_is_missing(tmp_path):
    frame = pd.DataFrame({"planted": ["unknown", None, "null", "NA", "None"]})
    back = read_csv(write_csv(frame, tmp_path / "verdict.csv"))["planted"]
    assert back[back.notna()].tolist() == ["unknown", "null", "NA", "None"]
    assert back.isna().tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n1,2,3\n", b"a\n\xff\xfe\n"])
def test_a_damaged_csv_is_one_error_that_names_it(tmp_path, content):
    (tmp_path / "verdict.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"verdict\.csv: not a readable CSV"):
        read_csv(tmp_path / "verdict.csv")


# --- whole or not at all -------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import pandas as pd
import interp.tables as tables

def half(*args, **kwargs):
    Path(args[-1]).write_bytes(b"PAR1 half a table")
    os.kill(os.getpid(), signal.SIGKILL)

tables.pq.write_table = half
tables.write_table(pd.DataFrame({"a": [1]}), Path(sys.argv[1]), {})
"""


@pytest.mark.parametrize("earlier", [False, True])
def test_a_write_that_is_killed_leaves_what_was_there(tmp_path, earlier):
    path = tmp_path / "probes.parquet"
    before = write_table(FRAME, path, RUN).read_bytes() if earlier else None
    root = Path(interp.__file__).parent.parent
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert killed.returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == before
    # What the kill left behind neither blocks the next run nor looks like a table to it.
    assert {file.name for file in tmp_path.glob("*.parquet")} <= {path.name}
    read_table(write_table(FRAME, path, RUN))


def test_a_write_that_fails_leaves_what_was_there_and_no_rubbish(tmp_path, monkeypatch):
    path = write_csv(FRAME, tmp_path / "table.csv")
    before = path.read_bytes()

    def full_disk(frame: pd.DataFrame, partial: Path, **options: object) -> None:
        partial.write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    with pytest.raises(InputError, match=r"table\.csv: cannot be written \(No space left"):
        write_csv(FRAME, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("write", [write_csv, partial(write_table, run=RUN)])
def test_a_write_that_the_system_cuts_short_leaves_what_was_there(tmp_path, write):
    path = write(FRAME, tmp_path / "table.parquet")
    before = path.read_bytes()
    large = pd.DataFrame({"x": np.random.default_rng(0).normal(size=10_000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"table\.parquet: cannot be written \(.*too large"):
            write(large, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["table.parquet"]


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"table\.parquet: cannot be written"):
        write_table(FRAME, tmp_path / "file" / "table.parquet", RUN)
    assert os.listdir(tmp_path) == ["file"]
