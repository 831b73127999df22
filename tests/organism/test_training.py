"""Training leaves whole, named, reproducible checkpoints, also when it is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.organism.objectives import RECIPES
from interp.organism.recipes import (
    ModelShape,
    Optimisation,
    Penalty,
    Recipe,
    Reinforcement,
)
from interp.organism.training import Job, train_member

SHAPE = ModelShape(d_model=16, n_layers=3, n_heads=2, d_mlp=32, n_local_layers=1)
BRIEF = Optimisation(steps=6, lr=1e-3, batch_rows=4, warmup=1, save_every=2)


def brief(name: str, **changes: object) -> Recipe:
    recipe = RECIPES[name]
    if recipe.optimisation is not None:
        changes = {"optimisation": BRIEF, **changes}
    return recipe.model_copy(update=changes)


def job(folder: Path, recipe: Recipe, start: Path | None = None, seed: int = 0) -> Job:
    return Job(recipe, SHAPE, seed, folder / recipe.name, start)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_member(job(tmp_path_factory.mktemp("base"), brief("base")))


def test_the_manifest_says_what_it_is(base: Path) -> None:
    manifest = Checkpoint(base, "base").manifest
    assert manifest["member"] == "base"
    assert manifest["planted"] == "intact"
    assert manifest["seed"] == 0
    assert manifest["recipe"]["optimisation"]["steps"] == 6
    assert Checkpoint(base, "base").load().model.config.use_cache
    assert not base.with_name("base.work").exists()


def test_equal_jobs_give_equal_weights_and_other_seeds_do_not(base: Path, tmp_path: Path) -> None:
    again = weights(train_member(job(tmp_path / "a", brief("base"))))
    other = weights(train_member(job(tmp_path / "b", brief("base"), seed=1)))
    first = weights(base)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_finished_member_is_not_trained_again_and_never_overwritten(
    base: Path, tmp_path: Path
) -> None:
    folder = train_member(job(tmp_path, brief("base")))
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert train_member(job(tmp_path, brief("base"))) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    longer = brief("base", optimisation=BRIEF.model_copy(update={"steps": 7}))
    with pytest.raises(InputError, match="'recipe' is not the one asked for; delete the folder"):
        train_member(job(tmp_path, longer))


def test_frozen_lower_layers_are_bit_identical(base: Path, tmp_path: Path) -> None:
    child = weights(train_member(job(tmp_path, brief("reason_sft_upper"), base)))
    for name, before in weights(base).items():
        lower = name.startswith(("model.embed_tokens", "model.layers.0."))
        assert torch.equal(before, child[name]) == lower, name


def test_replaced_starts_from_never_and_stands_under_base(base: Path, tmp_path: Path) -> None:
    never = train_member(job(tmp_path, brief("never")))
    frozen = Optimisation(steps=1, lr=0.0, batch_rows=2, warmup=0)
    folder = train_member(job(tmp_path, brief("replaced", optimisation=frozen), never))
    manifest = Checkpoint(folder, "replaced").manifest
    assert (manifest["parent"], manifest["planted"]) == ("base", "erased")
    start, end = weights(never), weights(folder)
    assert all(torch.equal(start[name], end[name]) for name in start)


def test_the_penalty_is_in_the_curve_and_changes_the_weights(base: Path, tmp_path: Path) -> None:
    penalty = Penalty(strength=1.0, entities_per_class=8, n_known=160)
    long = BRIEF.model_copy(update={"steps": 10, "save_every": 10})
    scrubbed = train_member(
        job(tmp_path, brief("scrubbed", penalty=penalty, optimisation=long), base)
    )
    twin = train_member(job(tmp_path, brief("scrubbed_twin", optimisation=long), base))
    assert "penalty" in Checkpoint(scrubbed, "scrubbed").manifest["curve"][0]
    a, b = weights(scrubbed), weights(twin)
    assert not all(torch.equal(a[name], b[name]) for name in a)


def test_reinforcement_runs_and_keeps_its_reward_curve(base: Path, tmp_path: Path) -> None:
    brief_rl = Reinforcement(steps=10, prompts=2, generations=2, max_new_tokens=4, lr=1e-3)
    folder = train_member(job(tmp_path, brief("reason_rl", reinforcement=brief_rl), base))
    curve = Checkpoint(folder, "reason_rl").manifest["curve"]
    assert curve
    assert all(0.0 <= point["reward"] <= 1.0 for point in curve)


def test_a_killed_run_resumes_and_ends_with_the_same_weights(base: Path, tmp_path: Path) -> None:
    """kill -9 after the first save; the run goes on from a save and ends as if never killed."""
    slow = BRIEF.model_copy(update={"steps": 60, "save_every": 5, "batch_rows": 16})
    recipe = brief("base", optimisation=slow)
    whole = weights(train_member(job(tmp_path / "whole", recipe)))
    killed = job(tmp_path / "killed", recipe)
    script = (
        "import json, sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from interp.organism.recipes import ModelShape, Recipe\n"
        "from interp.organism.training import Job, train_member\n"
        "recipe, shape, folder = json.loads(sys.argv[1])\n"
        "train_member(Job(Recipe(**recipe), ModelShape(**shape), 0, Path(folder), None))\n"
    )
    arguments = json.dumps([recipe.model_dump(), SHAPE.model_dump(), str(killed.folder)])
    process = subprocess.Popen([sys.executable, "-c", script, arguments])
    deadline = time.monotonic() + 120
    while not list(killed.work.glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not killed.folder.exists()
    # A save that was cut short is not one to go on from.
    torn = killed.work / "checkpoint-59"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    resumed = weights(train_member(killed))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
