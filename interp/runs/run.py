"""A run: stages over the models of a YAML file, gathered into tables and figures."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pandas as pd

from interp import configs
from interp.errors import InputError
from interp.publishing import publish
from interp.runs.config import RunConfig
from interp.settings import cache_root, figures_root
from interp.stages.common import ModelRef
from interp.stages.graph import Graph, Node, Results, Watcher
from interp.stages.infra import Infra
from interp.stages.space import full_disk_said, require_space
from interp.study import StudyResult
from interp.tables import run_info, write_table

Config = TypeVar("Config", bound=RunConfig)
AnyRun = TypeVar("AnyRun", bound="Run[Any]")


@dataclass
class Run(Generic[Config]):
    """A run ready to start; everything that can be checked before work has been.

    Args:
        config: what to do.
        home: folder that the config's paths are from.
        device: "auto", "cpu", "cuda" or "cuda:N".
        cluster: in place of the config's `infra.cluster`; "none" computes here.
        workers: stages at a time; by default one per core here (one in all on a graphics card), and
            64 of each job array on Slurm.
    """

    kind: ClassVar[str]
    """What a message calls it; its tables stand in the cache under this name."""
    config_type: ClassVar[type[RunConfig]]
    figures: ClassVar[tuple[str, ...]]
    """What is drawn of the tables that are there."""

    config: Config
    home: Path = Path()
    device: str = "auto"
    cluster: str | None = None
    workers: int | None = None
    infra: Infra = field(init=False)

    def __post_init__(self) -> None:
        """Checks what can be checked before work starts."""
        self.config.place(self.home)
        self.infra = self.config.infra.on(self.cluster)
        self.cluster = self.infra.cluster
        self.device = self.infra.device(self.device)

    @classmethod
    def load(cls: type[AnyRun], path: str, **kwargs: Any) -> AnyRun:
        """A run from a YAML file.

        Raises:
            InputError: no such file, a misspelt key, or what the file names is not there.
        """
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{path}: no such file; expected the YAML file of a {cls.kind} run")
        config: Any = configs.load(file, cls.config_type)
        return cls(config, home=file.parent, **kwargs)

    def run(self, watch: Watcher = lambda _: None) -> StudyResult:
        """Computes what is not cached, and draws.

        Args:
            watch: told of every stage found in the cache, started and done.

        Raises:
            InputError: of any stage; what was computed before it stays in the cache.
        """
        require_space()
        # Of a graphics card there is one for all.
        here = 1 if self.device.startswith("cuda") else os.cpu_count() or 1
        workers = self.workers or (64 if self.cluster == "slurm" else here)
        with full_disk_said():
            nodes = self.nodes()
            results = Graph(nodes, workers, self.cluster, watch).run()
        tables = self.tables(nodes, results)
        drawn = [name for name in self.figures if name in tables]
        asked = self.config.model_dump(mode="json", exclude={"infra"}) | {"inputs": self.inputs}
        run = run_info(asked, self.config.seed) | {"figures": drawn}
        store = cache_root() / f"{self.kind}s" / self.config.name
        for path in store.glob("*.parquet"):
            if path.stem not in tables:
                path.unlink()
        for name, frame in tables.items():
            write_table(frame, store / f"{name}.parquet", run)
        folder = figures_root() / self.config.name
        publish(tables, folder, run)
        return StudyResult(tables, folder, run)

    @cached_property
    def refs(self) -> dict[str, ModelRef]:
        """The checkpoints of the models.

        Raises:
            InputError: a checkpoint that is not there or damaged.
        """
        return self.config.refs()

    @property
    def inputs(self) -> dict[str, Any]:
        """Fingerprints of all that the config only names, so that a changed file is a new run."""
        return {"models": {name: ref.fingerprint for name, ref in self.refs.items()}}

    @abstractmethod
    def nodes(self) -> list[Node]:
        """The stages."""

    @abstractmethod
    def tables(self, nodes: list[Node], results: Results) -> dict[str, pd.DataFrame]:
        """The tables of finished stages."""

    @property
    def common(self) -> Mapping[str, Any]:
        """What every stage is given."""
        return {
            "seed": self.config.seed,
            "device": self.device,
            "infra": self.infra.of_stages(),
        }


def gathered(pieces: Mapping[str, list[pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Tables of several stages, one below the other."""
    return {name: pd.concat(frames, ignore_index=True) for name, frames in pieces.items()}
