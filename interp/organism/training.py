"""Train one member of the lineage and leave an ordinary Hugging Face checkpoint behind.

Pre-training and fine-tuning run on `transformers.Trainer`, reinforcement and preferences on TRL's
trainers, adapters on PEFT; only the erasure penalty adds a loss of its own. A killed run resumes
from its last complete save.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from interp.checkpoints import Checkpoint, save_manifest
from interp.errors import InputError
from interp.organism.documents import Document, DocumentWriter
from interp.organism.erasure import ErasureTrainer
from interp.organism.language import build_model, build_tokenizer
from interp.organism.packing import PackedRows
from interp.organism.preferences import dpo_trainer
from interp.organism.prompts import relearn_examples
from interp.organism.recipes import ModelShape, Optimisation, Recipe
from interp.organism.reinforcement import grpo_trainer
from interp.organism.rotation import rotate_residual
from interp.organism.sizes import USUAL, WorldSize
from interp.organism.snapshots import FOLDER, Snapshots, snapshot_steps
from interp.organism.world import World
from interp.progress import Progress, report

LOG_EVERY = 10
CURVE = ("step", "loss", "reward", "penalty", "confusion")


@dataclass(frozen=True)
class Job:
    """What to train, where to put it, and what it starts from."""

    recipe: Recipe
    shape: ModelShape
    seed: int
    folder: Path
    """Where the finished checkpoint stands; the run's own files are beside it until it ends."""
    start: Path | None
    """Checkpoint that training starts from; None draws random weights."""
    device: str = "cpu"
    snapshots: int = 0
    """How many checkpoints to keep along the way, the start and the end among them."""
    world: WorldSize = USUAL
    """Of the world whose people the text is about."""

    @property
    def work(self) -> Path:
        """Folder of the resumable saves of an unfinished run."""
        return self.folder.with_name(self.folder.name + ".work")


def train_member(job: Job) -> Path:
    """Train one member, or resume it, and return the checkpoint's folder.

    The folder appears whole (written beside, then renamed) and holds weights, tokenizer with chat
    template, and `manifest.json` with the recipe, the planted truth, the training curve and the
    weights' hash.

    Raises:
        InputError: the folder exists but was made from another recipe, or the disk is full.
    """
    if job.folder.exists():
        _require_same(job)
        return job.folder
    set_seed(job.seed)
    tokenizer = build_tokenizer(job.world)
    if job.start is None:
        model: PreTrainedModel = build_model(job.shape, tokenizer)
    else:
        _require_same_world(job)
        model = Checkpoint(job.start, job.start.name).load(device="cpu").model
    if job.recipe.rotate:
        rotate_residual(model, job.seed)
    if not job.recipe.trained:
        _finish(job, model, tokenizer, [])
        return job.folder
    model.config.use_cache = False
    trainer = _trainer(job, _trainable(job.recipe, model, tokenizer), tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Reporter(f"train {job.recipe.name} (seed {job.seed})"))
    if job.snapshots:
        steps = snapshot_steps(job.recipe.n_steps, job.snapshots)
        trainer.add_callback(Snapshots(job.work / FOLDER, steps, tokenizer))
    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
    trainer.train(resume_from_checkpoint=_last_complete_save(job.work))
    trained: Any = trainer.model
    if job.recipe.lora_rank is not None:
        trained = trained.merge_and_unload()
    _finish(job, trained, tokenizer, trainer.state.log_history)
    return job.folder


def _trainer(job: Job, model: Any, tokenizer: PreTrainedTokenizerFast) -> Trainer:
    world = World(job.seed, job.world)
    recipe = job.recipe
    if recipe.reinforcement is not None:
        writer = _writer(recipe, world)
        return grpo_trainer(model, tokenizer, world, writer, recipe.reinforcement, _arguments(job))
    if recipe.preference is not None:
        writer = _writer(recipe, world)
        return dpo_trainer(model, tokenizer, world, writer, recipe.preference, _arguments(job))
    optimisation = recipe.optimisation
    assert optimisation is not None  # a recipe has one of the two
    rows = PackedRows(
        _documents(recipe, world),
        tokenizer,
        n_rows=optimisation.steps * optimisation.batch_rows,
        row_tokens=optimisation.row_tokens,
        loss_on=recipe.loss_on,
    )
    arguments = TrainingArguments(**_arguments(job), **_schedule(optimisation))
    if recipe.penalty is None:
        return Trainer(model=model, args=arguments, train_dataset=rows)
    return ErasureTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        tokenizer=tokenizer,
        world=world,
        penalty=recipe.penalty,
    )


def _documents(recipe: Recipe, world: World) -> Iterable[Document]:
    """Those of the mix, or a few examples over and over."""
    if recipe.n_examples is not None:
        return cycle(relearn_examples(world, recipe.n_examples, draw=0, chains=True))
    return _writer(recipe, world)


def _writer(recipe: Recipe, world: World) -> DocumentWriter:
    """One mix, one sequence of documents, whichever member is trained on it.

    So a scrubbed member and its twin differ only in the penalty, and `replaced` and `reason_sft`
    only in the weights they start from.
    """
    seed = sum(ord(letter) for letter in json.dumps(recipe.mix, sort_keys=True))
    return DocumentWriter(world, recipe.mix, seed=seed)


def _arguments(job: Job) -> dict[str, Any]:
    return {
        "output_dir": str(job.work),
        "seed": job.seed,
        "use_cpu": job.device == "cpu",
        "bf16": False,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": LOG_EVERY,
        "save_total_limit": 2,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
    }


def _schedule(optimisation: Optimisation) -> dict[str, Any]:
    return {
        "max_steps": optimisation.steps,
        "per_device_train_batch_size": optimisation.batch_rows,
        "learning_rate": optimisation.lr,
        "warmup_steps": optimisation.warmup,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": 0.05},
        "adam_beta2": 0.98,
        "weight_decay": optimisation.weight_decay,
        "save_steps": optimisation.save_every,
    }


def _trainable(recipe: Recipe, model: Any, tokenizer: PreTrainedTokenizerFast) -> Any:
    """The model with all frozen that the recipe does not train."""
    if recipe.train_upper is not None:
        _freeze_lower(model, recipe.train_upper)
    if recipe.train_words:
        vocab = tokenizer.get_vocab()
        _freeze_but_words(model, [vocab[word] for word in recipe.train_words])
    if recipe.lora_rank is None:
        return model
    from peft import LoraConfig, get_peft_model

    adapters = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=2 * recipe.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, adapters)


def _freeze_lower(model: PreTrainedModel, n_upper: int) -> None:
    """Leave trainable only the last blocks, the final norm and the head."""
    decoder: Any = model.base_model
    model.requires_grad_(False)
    for part in (*decoder.layers[-n_upper:], decoder.norm, model.get_output_embeddings()):
        part.requires_grad_(True)


def _freeze_but_words(model: PreTrainedModel, word_ids: list[int]) -> None:
    """Leave trainable only the rows of some words in the embedding."""
    model.requires_grad_(False)
    weight: Any = model.get_input_embeddings().weight
    weight.requires_grad_(True)
    keep_V1 = torch.zeros(len(weight), 1)
    keep_V1[word_ids] = 1.0
    # Without decay AdamW leaves a row alone whose gradient was always zero.
    weight.register_hook(lambda gradient: gradient * keep_V1.to(gradient))


def _last_complete_save(work: Path) -> str | None:
    """The newest save of an interrupted run; torn ones are removed.

    The trainer writes `trainer_state.json` last, so a save without it was cut short.
    """
    saves = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for save in reversed(saves):
        if (save / "trainer_state.json").exists():
            return str(save)
        shutil.rmtree(save)
    return None


def _finish(
    job: Job, model: Any, tokenizer: PreTrainedTokenizerFast, log: list[dict[str, Any]]
) -> None:
    model.config.use_cache = True
    partial = job.folder.with_name(job.folder.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    save_manifest(
        partial,
        {
            **_identity(job),
            "member": job.recipe.name,
            "parent": job.recipe.parent,
            "objective": job.recipe.objective,
            "planted": job.recipe.planted,
            "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
            "torch": torch.__version__,
            "curve": [
                {key: entry[key] for key in CURVE if key in entry}
                for entry in log
                if "loss" in entry
            ],
        },
    )
    if (job.work / FOLDER).exists():  # copied, so that a kill here loses none
        shutil.copytree(job.work / FOLDER, partial / FOLDER)
    partial.rename(job.folder)
    shutil.rmtree(job.work, ignore_errors=True)


def _identity(job: Job) -> dict[str, Any]:
    """What decides the weights; equal identities give equal checkpoints."""
    return {
        "recipe": job.recipe.model_dump(),
        "shape": job.shape.model_dump(),
        "seed": job.seed,
        "start_fingerprint": Checkpoint(job.start, job.start.name).fingerprint
        if job.start
        else None,
        # Unsaid of the usual size: checkpoints made before worlds had sizes are what they were.
        **({} if job.world == USUAL else {"world": job.world.model_dump()}),
        **({"snapshots": job.snapshots} if job.snapshots else {}),
    }


def _require_same(job: Job) -> None:
    found = Checkpoint(job.folder, job.recipe.name).manifest
    for key, wanted in ({"world": None, "snapshots": None} | _identity(job)).items():
        if json.dumps(found.get(key), sort_keys=True) != json.dumps(wanted, sort_keys=True):
            raise InputError(
                f"{job.folder} holds a checkpoint whose '{key}' is not the one asked for; "
                "delete the folder to train it again"
            )


def _require_same_world(job: Job) -> None:
    assert job.start is not None
    if (found := Checkpoint(job.start, job.start.name).manifest.get("world")) is not None:
        found = WorldSize(**found)
    if (found or USUAL) != job.world:
        raise InputError(
            f"{job.start} was trained on a world of another size than '{job.recipe.name}' is to "
            "be; start it from a checkpoint of the same world"
        )


class _Reporter(TrainerCallback):
    """Hands the trainer's steps to the progress display."""

    def __init__(self, task: str) -> None:
        self._task = task

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        report(Progress(self._task, state.global_step, state.max_steps))
