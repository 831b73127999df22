"""What a study of training objectives is set to."""

from __future__ import annotations

import pydantic

from interp.stages.repair import RepairSettings
from interp.stages.tracing import TrajectorySettings


class ObjectiveStudy(pydantic.BaseModel):
    """Settings of the stages about objectives.

    Attributes:
        traced: members whose training is followed.
        snapshots: checkpoints kept along the way, the start and the end among them.
        trajectory: how they are read.
        repaired: members that are given abstention back without training.
        repair: how.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    traced: tuple[str, ...] = ()
    snapshots: int = pydantic.Field(default=9, ge=2)
    trajectory: TrajectorySettings = TrajectorySettings()
    repaired: tuple[str, ...] = ()
    repair: RepairSettings = RepairSettings()
