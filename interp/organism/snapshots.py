"""Checkpoints along a training run: which steps, how they are saved, and what stands in a folder.

Where training takes something away, the order in which it goes tells how: a read-out that falls
while the representation still stands is another matter than one that falls with it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from interp.checkpoints import save_manifest
from interp.errors import InputError

FOLDER = "snapshots"
"""Where a member's snapshots stand, in the folder of its checkpoint."""

_NAME = re.compile(r"step-(\d{6,})")
_EARLIEST = 100
"""The first step after the start is this part of the run: before it, warm-up moves nothing."""


def snapshot_steps(n_steps: int, n: int) -> tuple[int, ...]:
    """Steps to keep: 0, then at ever longer intervals, and the last.

    From a hundredth of the run on, each step is by about the same factor further than the one
    before it. Where that would name a step twice it names the next one.

    Args:
        n_steps: steps of the run.
        n: how many to keep, the first and the last included; at most all.

    Returns:
        `n` ascending steps, or all of a run that has fewer.

    Raises:
        InputError: a run without steps, or fewer than two to keep.
    """
    if n_steps < 1 or n < 2:
        raise InputError(
            f"snapshots: {n} of a run of {n_steps} steps; expected at least 2 (its start and its "
            "end) of a run of at least 1 step"
        )
    n_later = min(n - 1, n_steps)
    first = max(1, round(n_steps / _EARLIEST))
    steps = [0]
    for place in range(n_later):
        exponent = place / (n_later - 1) if n_later > 1 else 1.0
        wanted = round(first * (n_steps / first) ** exponent)
        still_free = n_steps - (n_later - 1 - place)
        steps.append(min(max(wanted, steps[-1] + 1), still_free))
    return tuple(steps)


def snapshots_of(folder: Path) -> list[tuple[int, Path]]:
    """The snapshots in a folder, by step; what a killed run left half-written is passed over.

    Args:
        folder: as `Snapshots` was given, with subfolders such as `step-000012`.

    Raises:
        InputError: no snapshots there.
    """
    named = [(_NAME.fullmatch(path.name), path) for path in folder.glob("step-*")]
    found = sorted((int(match[1]), path) for match, path in named if match)
    if not found:
        raise InputError(
            f"{folder}: no snapshots of a training run there, so there is no trajectory; delete "
            f"{folder.parent} and run the study again: the member is trained anew and leaves them"
        )
    return found


class Snapshots(TrainerCallback):
    """Saves a model at given steps of its training, each as an ordinary checkpoint.

    A snapshot appears whole (written beside, then renamed) and is never written twice. Training
    draws no random number for it, so it ends as without snapshots. Of a run that is killed, what
    comes after its last save is done again with the same result, and skipped where it is there.

    Args:
        folder: of the snapshots; it must outlive a kill with the run's own saves.
        steps: after which to save; 0 is what training starts from.
        tokenizer: saved with the weights.
    """

    def __init__(
        self, folder: Path, steps: Collection[int], tokenizer: PreTrainedTokenizerFast
    ) -> None:
        self._folder = folder
        self._steps = frozenset(steps)
        self._tokenizer = tokenizer

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Saves the start; in a run that is resumed, makes sure that none is missing.

        Raises:
            InputError: a step lies beyond the run, or before where it is resumed and is not there.
        """
        if max(self._steps, default=0) > state.max_steps:
            raise InputError(
                f"snapshots: one after step {max(self._steps)} of a run of {state.max_steps}; "
                "give steps of this run"
            )
        self._save(state, kwargs["model"])
        passed = sorted(step for step in self._steps if step <= state.global_step)
        missing = [step for step in passed if not self._path(step).is_dir()]
        if missing:
            raise InputError(
                f"{self._folder}: the run is resumed at step {state.global_step}, but the snapshot "
                f"of step {missing[0]} is not there; delete {args.output_dir} to train from the "
                "start"
            )

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Saves the step if it is one of them, before the trainer's own save of it."""
        self._save(state, kwargs["model"])

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:06d}"

    def _save(self, state: TrainerState, model: Any) -> None:
        step = state.global_step
        path = self._path(step)
        if step not in self._steps or path.is_dir():
            return
        partial = path.with_name(path.name + ".partial")
        if partial.exists():
            shutil.rmtree(partial)
        plain = _merged(model)
        cached = plain.config.use_cache
        plain.config.use_cache = True  # off while training, on in any checkpoint
        plain.save_pretrained(partial)
        plain.config.use_cache = cached
        self._tokenizer.save_pretrained(partial)
        n_parameters = sum(parameter.numel() for parameter in plain.parameters())
        save_manifest(
            partial,
            {
                "step": step,
                "n_steps": state.max_steps,
                "n_parameters": n_parameters,
                "torch": torch.__version__,
            },
        )
        partial.rename(path)


def _merged(model: Any) -> Any:
    """The model, or a copy in which a PEFT adapter is put into the weights."""
    return deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model
