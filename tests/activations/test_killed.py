"""Real captures in processes of their own: killed, at once, and of very many prompts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from interp.activations.store import open_store
from interp.checkpoints.anatomy import KINDS
from tests.activations.killed import contents, runner
from tests.checkpoints.tiny import write_checkpoint

USUAL = {"sites": ["resid_post.2", "attn_out.1"], "positions": ["last_prompt"]}
MANY = USUAL | {"n_prompts": 600, "rows_a_shard": 20}
FEW = USUAL | {"n_prompts": 3, "rows_a_shard": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(folder, ...) captures in another process; see `Runner`."""
    checkpoint = write_checkpoint(tmp_path_factory.mktemp("killed") / "checkpoint")
    with runner(checkpoint) as run:
        yield run


def kept_rows(folder: Path) -> int:
    """Prompts in the shards that are finished, by the names of their folders."""
    place = folder if folder.exists() else folder.with_name(f".{folder.name}.partial")
    edges = [path.name.split("-")[1:] for path in place.glob("rows-*")]
    return sum(int(last) - int(first) + 1 for first, last in edges)


def test_ten_kills_at_random_moments_cost_no_finished_shard_and_change_no_byte(run, tmp_path):
    (whole,) = run(tmp_path / "whole", **MANY)
    expected, rng, kept = contents(tmp_path / "whole"), random.Random(0), []
    for number in range(20):
        folder = tmp_path / f"killed{number}"
        (killed,) = run(folder, **MANY, after=rng.uniform(0.05, 0.9) * whole["seconds"])
        if killed["status"] == 0:  # faster than the run that was measured
            continue
        kept.append(kept_rows(folder))
        (resumed,) = run(folder, **MANY)
        assert resumed["status"] == 0
        assert resumed["n_prompts"] == MANY["n_prompts"] - kept[-1]
        assert contents(folder) == expected
        if len(kept) == 10:
            break
    assert len(kept) == 10
    assert sum(0 < n < MANY["n_prompts"] for n in kept) >= 3


def test_a_kill_before_any_operation_on_files_costs_no_finished_shard_and_no_byte(run, tmp_path):
    run(tmp_path / "whole", **FEW)
    expected = contents(tmp_path / "whole")
    kept = []
    while True:
        folder = tmp_path / f"killed{len(kept)}" / "acts"
        (killed,) = run(folder, **FEW, before=len(kept) + 1)
        if killed["status"] == 0:
            break
        assert killed["status"] == -9
        kept.append(kept_rows(folder))
        (resumed,) = run(folder, **FEW)
        assert resumed["n_prompts"] == FEW["n_prompts"] - kept[-1]
        assert contents(folder) == expected
        assert {path.name for path in folder.parent.iterdir()} == {"acts", ".acts.lock"}
    assert len(kept) > 2 * 6  # more than the files of the two shards
    assert kept == sorted(kept)
    assert len(set(kept)) == 3  # none, one of the shards, both


def test_of_two_processes_that_want_one_store_one_computes_it(run, tmp_path):
    answers = run(tmp_path / "acts", **MANY, times=2)
    assert [answer["status"] for answer in answers] == [0, 0]
    assert sorted(answer["n_prompts"] for answer in answers) == [0, MANY["n_prompts"]]


def test_memory_does_not_grow_with_the_number_of_prompts(run, tmp_path):
    peaks = {}
    for n in (1000, 10_000):
        (answer,) = run(tmp_path / str(n), n_prompts=n, sites=list(KINDS), positions=["all"])
        assert answer["n_prompts"] == len(open_store(tmp_path / str(n))) == n
        peaks[n] = answer["peak_mb"]
    stored_mb = sum(path.stat().st_size for path in (tmp_path / "10000").rglob("*.npy")) / 2**20
    # Keeping the activations of all of them would show.
    assert stored_mb > 0.4 * peaks[1000]
    assert peaks[10_000] < 1.1 * peaks[1000]
