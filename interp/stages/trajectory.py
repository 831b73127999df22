"""Stage: what training takes away first, read from checkpoints along a child's run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import exca
import pandas as pd

from interp.errors import InputError
from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.tracing import Reference, TrajectorySettings

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel


class Trajectory(Stage):
    """Follows abstention, its read-out and its representation along a child's training.

    Attributes:
        child: whose training is followed; its folder holds the snapshots.
        parent: whose probes and directions are carried over, and what gains are shares of.
        settings: places, folds and resamples.
    """

    child: ModelRef
    parent: ModelRef
    settings: TrajectorySettings = TrajectorySettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"follow the training of {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `trajectory`: a row for each snapshot and measure.

        Raises:
            InputError: the child's folder holds no snapshots, or not those of this child.
        """
        from interp.checkpoints import Checkpoint
        from interp.organism.snapshots import FOLDER, snapshots_of

        folder = Path(self.child.folder) / FOLDER
        snapshots = snapshots_of(folder)
        parent = self.parent.load(self.device)
        reference = Reference.of(parent, self.world(), self.settings)
        rows: list[dict[str, Any]] = []
        n_steps, _ = snapshots[-1]
        for number, (step, path) in enumerate(snapshots):
            report(Progress(self.label(), number, len(snapshots)))
            loaded = Checkpoint(path, f"{self.child.name} at step {step}").load(
                device=self.device, dtype=self.child.dtype
            )
            if step == n_steps:
                _require_end(loaded, self.child.load(self.device), folder)
            rows += [{"step": step, "n_steps": n_steps} | row for row in reference.measured(loaded)]
        keys = {"seed": self.seed, "member": self.child.name, "parent": self.parent.name}
        return {"trajectory": keyed(pd.DataFrame(rows), keys)}


def _require_end(last: LoadedModel, child: LoadedModel, folder: Path) -> None:
    """Refuses snapshots of another run: the last of them is the child.

    Raises:
        InputError: says which folder to delete.
    """
    from torch import equal

    ours, theirs = last.model.state_dict(), child.model.state_dict()
    if ours.keys() != theirs.keys() or not all(equal(ours[name], theirs[name]) for name in ours):
        raise InputError(
            f"{folder}: the last snapshot is not the checkpoint that training ended with, so these "
            f"are of another run; delete {folder.parent} and run the study again"
        )
