"""Shards are written whole, kept over whatever stops a run, and never taken for another's."""

from __future__ import annotations

import errno
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from interp.activations.store import open_store, writing
from interp.errors import InputError
from tests.activations.killed import contents, flip

ROWS = [(0, 2), (2, 3), (3, 7)]
REQUEST = {"sites": ["resid_post.0"], "positions": ["last_prompt"], "dtype": "float32", "seed": 1}


def shard(number: int, width: int = 8) -> dict[str, np.ndarray]:
    """A shard of random activations, of prompts of two tokens."""
    n_rows = ROWS[number][1] - ROWS[number][0]
    rng = np.random.default_rng(number)
    return {
        "resid_post.0": rng.normal(size=(1, n_rows, width)).astype(np.float32),
        "tokens": np.arange(2 * n_rows, dtype=np.int32),
        "lengths": np.full(n_rows, 2),
        "spans": np.tile([1, 2], (1, n_rows, 1)),
    }


def write(folder: Path, *, until: int = 3, width: int = 8, **changes) -> list[int]:
    """Adds what is missing, or fails after some shards; the numbers of those that were missing."""
    with writing(folder, REQUEST | changes, ROWS, n_bytes=0) as writer:
        missing = writer.missing
        for number in missing:
            if number == until:
                raise KeyboardInterrupt
            writer.add(number, shard(number, width))
    return missing


def stopped(folder: Path, **options) -> Path:
    """What a run that stopped before its third shard left behind."""
    with pytest.raises(KeyboardInterrupt):
        write(folder, until=2, **options)
    return folder.with_name(f".{folder.name}.partial")


def test_an_unfinished_store_of_another_request_is_refused_with_the_field_and_kept(tmp_path):
    partial = stopped(tmp_path / "acts")
    kept = contents(partial)
    with pytest.raises(InputError, match=r"an unfinished store whose `seed` is 1, not 2") as caught:
        write(tmp_path / "acts", seed=2)
    assert str(partial) in str(caught.value)
    with (
        pytest.raises(InputError, match=r"`rows` is .* as asked for now; delete"),
        writing(tmp_path / "acts", REQUEST, [(0, 7)], n_bytes=0),
    ):
        pass
    assert contents(partial) == kept
    assert write(tmp_path / "acts") == [2]
    assert write(tmp_path / "acts") == []


def test_every_byte_of_the_manifest_counts(tmp_path):
    write(tmp_path / "acts")
    path = tmp_path / "acts" / "manifest.json"
    whole = path.read_bytes()
    for offset in range(len(whole)):
        flipped = bytearray(whole)
        flipped[offset] ^= 1 << offset % 8
        path.write_bytes(bytes(flipped))
        with pytest.raises(InputError, match=r"manifest\.json: not .* damaged"):
            open_store(tmp_path / "acts")


@pytest.mark.parametrize("name", ["resid_post.0.npy", "lengths.npy", "shard.json"])
@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_a_shard_damaged_before_the_end_is_computed_again(tmp_path, name, damage):
    write(tmp_path / "whole")
    path = stopped(tmp_path / "acts") / "rows-0000000-0000001" / name
    path.unlink() if damage == "missing" else flip(path, -3)
    assert write(tmp_path / "acts") == [0, 2]
    assert contents(tmp_path / "acts") == contents(tmp_path / "whole")


def test_what_else_a_killed_run_left_is_cleaned_up(tmp_path):
    write(tmp_path / "whole")
    for folder in (tmp_path / "nothing of use", tmp_path / "half a shard"):
        partial = folder.with_name(f".{folder.name}.partial")
        if folder.name == "half a shard":
            stopped(folder)
        half = partial / ".rows-0000003-0000006"
        half.mkdir(parents=True)
        (half / "resid_post.0.npy").write_bytes(b"half")
        (partial / ".request.json.7.partial").write_text("{")
        write(folder)
        assert contents(folder) == contents(tmp_path / "whole")
        assert not partial.exists()


def test_a_damaged_request_of_an_unfinished_store_is_refused_and_kept(tmp_path):
    partial = stopped(tmp_path / "acts")
    flip(partial / "request.json", 40)
    kept = contents(partial)
    with pytest.raises(InputError, match=r"request\.json: not .* damaged"):
        write(tmp_path / "acts")
    assert contents(partial) == kept


def test_notes_are_there_after_a_stop_and_in_the_manifest(tmp_path):
    def noting():
        with writing(tmp_path / "acts", REQUEST, ROWS, n_bytes=0) as writer:
            writer.note(token_budget=64, seen=[1])
            writer.note(token_budget=32)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        noting()
    with writing(tmp_path / "acts", REQUEST, ROWS, n_bytes=0) as writer:
        assert writer.notes == {"token_budget": 32, "seen": [1]}
        for number in writer.missing:
            writer.add(number, shard(number))
    assert open_store(tmp_path / "acts").manifest["notes"] == {"token_budget": 32, "seen": [1]}


def test_what_is_there_already_needs_no_room(tmp_path, monkeypatch):
    width, n_bytes = 2**18, 7 * 2**20
    stopped(tmp_path / "acts", width=width)
    free = SimpleNamespace(free=4 * 2**20 + 2**20)  # of the last shard's four rows, and the slack
    monkeypatch.setattr("interp.activations.store.shutil.disk_usage", lambda _: free)
    with writing(tmp_path / "acts", REQUEST, ROWS, n_bytes=n_bytes) as writer:
        writer.add(2, shard(2, width))
    with (
        pytest.raises(InputError, match="take 8 MB and 5 MB are free"),
        writing(tmp_path / "other", REQUEST, ROWS, n_bytes=n_bytes),
    ):
        pass


@contextmanager
def small_disk(folder: Path):
    """A real one, of two megabytes."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(command, capture_output=True)
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_files(folder: Path):
    """Files of at most half a megabyte, which the kernel enforces for any user."""
    folder.mkdir()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize(
    ("limit", "width", "code"),
    [(small_disk, 2**17, errno.ENOSPC), (small_files, 2**15 + 2**10, errno.EFBIG)],
)
def test_a_disk_that_is_full_on_the_way_is_one_error_and_costs_no_finished_shard(
    tmp_path, limit, width, code
):
    folder = tmp_path / "disk" / "acts"
    with limit(tmp_path / "disk"):
        with pytest.raises(
            InputError, match=r"rows-0000003-0000006: cannot be written .*kept"
        ) as e:
            write(folder, width=width)
        assert e.value.__cause__.errno == code
        kept = [path.name for path in folder.with_name(".acts.partial").iterdir()]
        assert sorted(kept) == ["request.json", "rows-0000000-0000001", "rows-0000002-0000002"]
        shutil.move(folder.with_name(".acts.partial"), tmp_path / ".acts.partial")
    assert write(tmp_path / "acts", width=width) == [2]
    write(tmp_path / "whole", width=width)
    assert contents(tmp_path / "acts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("rows", [[], [(0, 0)], [(1, 2)], [(0, 2), (3, 4)], [(0, 2), (1, 4)]])
def test_shards_that_do_not_follow_each_other_are_refused(tmp_path, rows):
    with (
        pytest.raises(ValueError, match="each to begin where the one before it ends"),
        writing(tmp_path / "acts", REQUEST, rows, n_bytes=0),
    ):
        pass


def test_a_store_with_a_shard_left_out_or_of_other_rows_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r"shards \[0, 1, 2\] were never added"),
        writing(tmp_path / "acts", REQUEST, ROWS, n_bytes=0) as writer,
        pytest.raises(ValueError, match=r"a shard of 1 prompts with 2 tokens for rows \(0, 2"),
    ):
        writer.add(0, shard(1))
    assert not (tmp_path / "acts").exists()
