"""A probe run as its YAML file states it."""

from __future__ import annotations

import pydantic

from interp.runs.config import RunConfig
from interp.stages.pairing import TransferSettings
from interp.stages.probe import ProbeSettings
from interp.stages.reading import Cells


class ProbeConfig(RunConfig):
    """A probe run as its YAML file states it; the models are as in `RunConfig`.

    Attributes:
        prompts: JSONL prompt set that is reported.
        dev: JSONL prompt set on which the layer of each pair is chosen; None chooses none.
        neutral: JSONL prompt set to align pairs on; None leaves alignment out.
        targets: columns of the prompts to read: "should_abstain", "scenario", "meta.KEY".
        cells: sites, layers and positions.
        probe, transfer: settings of the stages.
    """

    prompts: str
    dev: str | None = None
    neutral: str | None = None
    targets: list[str] = pydantic.Field(default=["should_abstain"], min_length=1)
    cells: Cells = Cells()
    probe: ProbeSettings = ProbeSettings()
    transfer: TransferSettings = TransferSettings()
