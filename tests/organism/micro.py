"""A micro lineage: the real recipes on a small decoder with few steps, trained in seconds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from interp.organism.objectives import RECIPES
from interp.organism.recipes import ModelShape, Optimisation, Recipe
from interp.organism.training import Job, train_member

SEED = 3
SHAPE = ModelShape(d_model=48, n_layers=4, n_heads=4, d_mlp=96, n_local_layers=2)


def micro_recipe(name: str) -> Recipe:
    """The member's recipe with a tenth of the steps, or fewer."""
    steps = 110 if RECIPES[name].starts_from is None else 12
    brief = Optimisation(steps=steps, lr=4e-3 if steps > 50 else 5e-4, batch_rows=32, save_every=50)
    return RECIPES[name].model_copy(update={"optimisation": brief})


def shared_pair(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The micro pair, trained once for all processes of a test run."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder = root / "micro-pair"
    with FileLock(root / "micro-pair.lock"):
        done = folder / "done"
        if not done.exists():
            done.write_text("\n".join(map(str, micro_pair(folder))), encoding="utf-8")
    parent, child = map(Path, done.read_text(encoding="utf-8").splitlines())
    return parent, child


def micro_pair(folder: Path) -> tuple[Path, Path]:
    """A parent (base) and a child (reason_sft_upper) in `folder`; about 15 s on one core."""
    parent = train_member(Job(micro_recipe("base"), SHAPE, SEED, folder / "base", None))
    child = train_member(
        Job(micro_recipe("reason_sft_upper"), SHAPE, SEED, folder / "reason_sft_upper", parent)
    )
    return parent, child
