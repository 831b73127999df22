"""Stage: train one member of the embedded lineage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import exca

from interp.organism.recipes import ModelShape, Recipe
from interp.settings import cache_root
from interp.stages.common import FolderStage, ModelRef, task_infra


class Train(FolderStage):
    """Trains a member and returns its checkpoint.

    Attributes:
        recipe: how it is trained.
        shape: of the decoder.
        start: the checkpoint it starts from, None for random weights.
        snapshots: how many checkpoints to keep along the way.
    """

    recipe: Recipe
    shape: ModelShape
    start: ModelRef | None
    snapshots: int = 0
    infra: exca.TaskInfra = task_infra("2")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"train {self.recipe.name} (seed {self.seed})"

    @property
    def folder(self) -> Path:
        """Where the checkpoint stands: the same recipe, seed and start, the same folder."""
        identity = self.identity()
        if not self.snapshots:
            del identity["snapshots"]
        identity["start"] = self.start.fingerprint if self.start else None
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        return cache_root() / "organism" / f"seed{self.seed}" / f"{self.recipe.name}-{digest}"

    @infra.apply
    def run(self) -> ModelRef:
        """Trains the member, or resumes it."""
        from interp.checkpoints import Checkpoint
        from interp.organism.training import Job, train_member

        job = Job(
            recipe=self.recipe,
            shape=self.shape,
            seed=self.seed,
            folder=self.folder,
            start=Path(self.start.folder) if self.start else None,
            device=self.device,
            snapshots=self.snapshots,
            world=self.world_size,
        )
        train_member(job)
        checkpoint = Checkpoint(self.folder, self.recipe.name)
        checkpoint.load(device="cpu")  # a checkpoint that can't be read must not be noted as done
        return ModelRef.of(checkpoint)
