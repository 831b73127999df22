"""Snapshots are the weights a run has at a step, whole, and the same whether it was killed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.organism import World, build_tokenizer
from interp.organism.documents import DocumentWriter
from interp.organism.language import build_model
from interp.organism.objectives import RECIPES
from interp.organism.packing import PackedRows
from interp.organism.recipes import ModelShape
from interp.organism.snapshots import Snapshots, snapshot_steps, snapshots_of

SHAPE = ModelShape(d_model=16, n_layers=3, n_heads=2, d_mlp=32, n_local_layers=1)
N_STEPS = 8
STEPS = (0, 1, 3, 8)


class Killed(BaseException):
    """As sudden as a signal: nothing of ours catches it."""


class KillAfter(TrainerCallback):
    """Ends the run without any of the trainer's own leave-taking."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self._step:
            raise Killed


def train(
    work: Path, *callbacks: TrainerCallback, stop_at: int | None = None, resume: str | None = None
) -> dict[str, torch.Tensor]:
    """Trains a micro model at a constant rate, so that a shorter run is the beginning of a longer.

    Returns:
        The weights that the run ends with.
    """
    set_seed(0)
    tokenizer = build_tokenizer()
    model = build_model(SHAPE, tokenizer)
    model.config.use_cache = False
    recipe = RECIPES["base"]
    documents = DocumentWriter(World(0), recipe.mix, seed=1)
    rows = PackedRows(
        documents, tokenizer, n_rows=4 * N_STEPS, row_tokens=32, loss_on=recipe.loss_on
    )
    arguments = TrainingArguments(
        output_dir=str(work), max_steps=stop_at or N_STEPS, per_device_train_batch_size=4,
        learning_rate=1e-2, lr_scheduler_type="constant", save_steps=2, use_cpu=True, seed=0,
        report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
        remove_unused_columns=False, logging_steps=100,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[*callbacks])
    trainer.train(resume_from_checkpoint=resume)
    assert not trainer.model.config.use_cache  # the snapshots' own setting is not the run's
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def snapshots(folder: Path, steps: tuple[int, ...] = STEPS) -> Snapshots:
    return Snapshots(folder, steps, build_tokenizer())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    shared = one.keys() & other.keys()
    return bool(shared) and all(torch.equal(one[name], other[name]) for name in shared)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(folder / "work", snapshots(folder / "snapshots"))
    return folder / "snapshots"


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def test_each_is_the_checkpoint_of_a_run_that_stopped_there(whole: Path, tmp_path: Path) -> None:
    found = snapshots_of(whole)
    assert [step for step, _ in found] == list(STEPS)
    for step, path in found[1:]:
        loaded = Checkpoint(path, "snapshot").load()
        stopped = train(tmp_path / str(step), stop_at=step)
        assert same(stopped, loaded.model.state_dict())
        assert loaded.model.config.use_cache
        assert loaded.checkpoint.manifest["step"] == step
    start = build_start()
    assert same(start, weights(found[0][1]))
    assert not same(start, weights(found[1][1]))


def build_start() -> dict[str, torch.Tensor]:
    set_seed(0)
    return build_model(SHAPE, build_tokenizer()).state_dict()


def test_training_ends_as_without_them(whole: Path, tmp_path: Path) -> None:
    assert same(train(tmp_path / "work"), weights(snapshots_of(whole)[-1][1]))


@pytest.mark.parametrize("killed_after", [3, 5])
def test_a_killed_run_leaves_the_same_files(whole: Path, tmp_path: Path, killed_after: int) -> None:
    folder, work = tmp_path / "snapshots", tmp_path / "work"
    with pytest.raises(Killed):
        train(work, snapshots(folder), KillAfter(killed_after))
    assert [step for step, _ in snapshots_of(folder)] == [0, 1, 3]
    torn = folder / "step-000008.partial"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    written = (folder / "step-000003" / "model.safetensors").stat().st_mtime_ns
    train(work, snapshots(folder), resume=str(work / f"checkpoint-{killed_after - 1}"))
    assert (folder / "step-000003" / "model.safetensors").stat().st_mtime_ns == written
    files = {path.relative_to(whole) for path in whole.rglob("*") if path.is_file()}
    assert files == {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert all((whole / name).read_bytes() == (folder / name).read_bytes() for name in files)


def test_a_resumed_run_whose_earlier_snapshots_are_gone_says_so(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(Killed):
        train(work, snapshots(tmp_path / "first"), KillAfter(5))
    with pytest.raises(InputError, match="resumed at step 4, but the snapshot of step 0 is not"):
        train(work, snapshots(tmp_path / "second"), resume=str(work / "checkpoint-4"))


def test_a_step_beyond_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="after step 9 of a run of 8"):
        train(tmp_path / "work", snapshots(tmp_path / "snapshots", (0, 9)))


def test_without_snapshots_there_is_one_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "step-000001.partial").mkdir(parents=True)
    for folder in (tmp_path / "snapshots", tmp_path / "nothing"):
        with pytest.raises(InputError, match=f"no snapshots .* delete {tmp_path} and run"):
            snapshots_of(folder)


@pytest.mark.parametrize("n_steps", [1, 2, 7, 8, 50, 300, 12_345])
@pytest.mark.parametrize("n", [2, 3, 9])
def test_steps_go_from_start_to_end_in_growing_strides(n_steps: int, n: int) -> None:
    steps = snapshot_steps(n_steps, n)
    assert (steps[0], steps[-1]) == (0, n_steps)
    assert len(steps) == min(n, n_steps + 1)
    strides = [after - before for before, after in pairwise(steps)]
    assert min(strides) >= 1
    if n_steps >= 50:
        assert strides[1:] == sorted(strides[1:])


def test_steps_are_a_geometric_sequence_where_there_is_room() -> None:
    assert snapshot_steps(100_000, 5) == (0, 1000, 4642, 21544, 100_000)


@pytest.mark.parametrize(("n_steps", "n"), [(0, 9), (10, 1)])
def test_a_run_without_steps_or_a_single_snapshot_is_refused(n_steps: int, n: int) -> None:
    with pytest.raises(InputError, match=f"{n} of a run of {n_steps} steps; expected at least 2"):
        snapshot_steps(n_steps, n)
