"""A run: stages over the models of a YAML file, gathered into tables and figures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
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
from interp.stages.devices import stage_device, stages_at_a_time, worker_devices
from interp.stages.graph import Graph, Node, Results, Watcher
from interp.stages.infra import Infra
from interp.stages.memory import require_fit
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
        device: "auto", "cpu", "cuda" (all there are), "cuda:N", or a list such as "cuda:0,cuda:2".
        cluster: in place of the config's `infra.cluster`; "none" computes here.
        workers: stages at a time; by default one per core here (one per device on CUDA, one in all
            where a model is spread over them), and 64 of each job array on Slurm.
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

        Args:
            path: of the YAML file; paths inside it are from its folder.
            kwargs: device, cluster and workers, as the class takes them.

        Raises:
            InputError: no such file, a misspelt key, or what the file names is not there.
        """
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{path}: no such file; expected the YAML file of a {cls.kind} run")
        config: Any = configs.load(file, cls.config_type)
        return cls(config, home=file.parent, **kwargs)

    @property
    def n_workers(self) -> int:
        """Stages at a time."""
        return stages_at_a_time(self.workers, self.device, self.cluster, together=self._spread)

    @property
    def _spread(self) -> bool:
        """Whether some model is spread over all devices."""
        return any(source.device_map for source in self.config.sources.values())

    def run(self, watch: Watcher = lambda _: None) -> StudyResult:
        """Computes what is not cached, and draws.

        Args:
            watch: told of every stage found in the cache, started and done.

        Raises:
            InputError: of any stage; what was computed before it stays in the cache.
        """
        from interp.figures.registry import spec_of

        require_space()
        devices = worker_devices(self.device, together=self._spread)
        if self.cluster is None:  # elsewhere other memory is free
            require_fit(
                self.refs.values(),
                self.works,
                self.device,
                at_a_time=self.n_workers,
                together=self._spread,
            )
        with full_disk_said():
            nodes = self.nodes()
            results = Graph(nodes, self.n_workers, self.cluster, watch, devices).run()
        tables = self.tables(nodes, results)
        drawn = [name for name in self.figures if set(spec_of(name).tables) <= set(tables)]
        asked = self.config.model_dump(mode="json", exclude={"infra"}) | {"inputs": self.inputs}
        run = run_info(asked, self.config.seed) | {"figures": drawn} | self.stamp
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

    @property
    def stamp(self) -> dict[str, Any]:
        """What else `run.json` says of the run."""
        return {}

    @property
    def works(self) -> Mapping[str, int]:
        """What is done with the models, and the most tokens of its batches, for `require_fit`."""
        from interp.activations.planning import default_token_budget

        return {"capture": default_token_budget(self.device.partition(":")[0])}

    @abstractmethod
    def nodes(self) -> list[Node]:
        """The stages."""

    @abstractmethod
    def tables(self, nodes: list[Node], results: Results) -> dict[str, pd.DataFrame]:
        """The tables of finished stages.

        Args:
            nodes: the stages, as `nodes` gave them.
            results: key of a stage -> its tables.
        """

    @property
    def common(self) -> Mapping[str, Any]:
        """What every stage is given."""
        return {
            "seed": self.config.seed,
            "device": stage_device(self.device, self.cluster),
            "infra": self.infra.of_stages(),
        }


def gathered(results: Iterable[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Tables of several stages, those of a name one below the other."""
    pieces: dict[str, list[pd.DataFrame]] = {}
    for tables in results:
        for name, frame in tables.items():
            pieces.setdefault(name, []).append(frame)
    return {name: pd.concat(frames, ignore_index=True) for name, frames in pieces.items()}


def sourced_by_way(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables, where a confidence's source is named with the way of asking, as figures show it.

    Args:
        tables: by name; those of `interp.stages.answering` that are drawn by source are changed.
    """
    changed = {
        name: tables[name].assign(
            source=tables[name]["elicitation"] + ", " + tables[name]["source"]
        )
        for name in ("reliability", "risk_coverage")
        if name in tables
    }
    return {**tables, **changed}
