"""A probe run: models x targets x sites x positions from one YAML file, one row a cell."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from interp import configs
from interp.errors import InputError
from interp.probing.config import ProbeConfig, Source
from interp.publishing import publish
from interp.settings import cache_root, figures_root, resolve_device
from interp.stages.common import ModelRef, Stage, infra_config
from interp.stages.graph import Graph, Node, Results, Watcher
from interp.stages.probe import Probe
from interp.stages.questions import PromptFile
from interp.stages.space import full_disk_said, require_space
from interp.stages.transfer import Transfer
from interp.study import StudyResult
from interp.tables import run_info, write_table

FIGURES = ("probes", "transfer", "preservation")
"""What is drawn; the last two where there are pairs."""
ANCESTORS = "from_ancestors"
"""Ending of tables about a child and the ancestors beyond its parent; nothing is drawn of them."""


@dataclass
class ProbeRun:
    """A probe run ready to start; everything that can be checked before work has been.

    Args:
        config: what to do.
        home: folder that the config's paths are from.
        device: "auto", "cpu", "cuda" or "cuda:N".
        cluster: in place of the config's.
        workers: stages at a time; by default one per core here, and all on a cluster.
    """

    config: ProbeConfig
    home: Path = Path()
    device: str = "auto"
    cluster: str | None = None
    workers: int | None = None
    sources: dict[str, Source] = field(init=False)
    _prompts: dict[str, PromptFile] = field(init=False)

    def __post_init__(self) -> None:
        """Reads prompts and names of models."""
        from interp.prompts import levels_of, targets_of

        self.device = resolve_device(self.device)
        self.cluster = self.cluster or self.config.cluster
        self.sources = self.config.sources
        self._prompts = {
            name: PromptFile.of(self.home / path)
            for name in ("prompts", "dev", "neutral")
            if (path := getattr(self.config, name)) is not None
        }
        prompts = self._prompts["prompts"].load()
        targets_of(prompts, self.config.targets)
        levels_of(prompts, self.config.probe.levels)

    @classmethod
    def load(cls, path: str, **kwargs: Any) -> ProbeRun:
        """A probe run from a YAML file.

        Raises:
            InputError: no such file, a misspelt key, prompts that cannot be read, a target that
                they lack.
        """
        file = Path(path)
        if not file.is_file():
            raise InputError(f"{path}: no such file; expected the YAML file of a probe run")
        return cls(configs.load(file, ProbeConfig), home=file.parent, **kwargs)

    def run(self, watch: Watcher = lambda _: None) -> StudyResult:
        """Computes what is not cached, and draws.

        Args:
            watch: told of every stage found in the cache, started and done.

        Raises:
            InputError: of any stage; what was computed before it stays in the cache.
        """
        require_space()
        workers = self.workers or (64 if self.cluster else os.cpu_count() or 1)
        with full_disk_said():
            nodes = self._nodes()
            results = Graph(nodes, workers, self.cluster, watch).run()
        pieces: dict[str, list[pd.DataFrame]] = {}
        for node in nodes:
            beyond = f"_{ANCESTORS}" if node.name.startswith(ANCESTORS) else ""
            for name, frame in results[node.name].items():
                pieces.setdefault(name + beyond, []).append(frame)
        tables = {
            name: pd.concat(frames, ignore_index=True)
            for name, frames in pieces.items()
            if not name.startswith("measures")  # lines of evidence are for a study to judge
        }
        drawn = [name for name in FIGURES if name in tables]
        run = run_info(self.config.model_dump(mode="json"), self.config.seed) | {"figures": drawn}
        for name, frame in tables.items():
            write_table(frame, cache_root() / "probes" / self.config.name / f"{name}.parquet", run)
        folder = figures_root() / self.config.name
        publish(tables, folder, run)
        return StudyResult(tables, folder, run)

    def _refs(self) -> dict[str, ModelRef]:
        from interp.checkpoints import Checkpoint

        refs = {}
        for name, source in self.sources.items():
            where = self.home / source.source
            options = source.model_dump(exclude={"source", "parent"})
            found = Checkpoint.find(
                where if where.is_dir() else source.source, name=name, **options
            )
            refs[name] = ModelRef.of(found, self.config.dtype)
        return refs

    def _nodes(self) -> list[Node]:
        """Every model and target, then every pair and target; none waits for another."""
        refs = self._refs()
        singles = [
            self._node(f"probe/{name}/{column}", Probe, column, model=ref)
            for name, ref in refs.items()
            for column in self.config.targets
        ]
        pairs = [
            self._node(
                f"{ANCESTORS if place else 'transfer'}/{ancestor}/{name}/{column}",
                Transfer,
                column,
                child=refs[name],
                parent=refs[ancestor],
                dev=self._prompts.get("dev"),
                neutral=self._prompts.get("neutral"),
            )
            for name in self.sources
            for place, ancestor in enumerate(self.config.ancestors(name))
            for column in self.config.targets
        ]
        return singles + pairs

    def _node(
        self, name: str, kind: type[Probe] | type[Transfer], column: str, **models: Any
    ) -> Node:
        config = self.config

        settings: dict[Any, Any] = {Probe: config.probe, Transfer: config.transfer}
        shared: dict[str, Any] = {
            "seed": config.seed,
            "prompts": self._prompts["prompts"],
            "column": column,
            "cells": config.cells,
            "settings": settings[kind],
            "device": self.device,
            "infra": infra_config(self.cluster, config.infra),
        }

        def build(_: Results) -> Stage:
            return kind(**shared, **models)

        return Node(name, (), build)
