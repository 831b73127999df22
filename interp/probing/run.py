"""A probe run: models x targets x sites x positions from one YAML file, one row a cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from interp.probing.config import ProbeConfig
from interp.runs.config import RunConfig, Source
from interp.runs.run import Run, gathered
from interp.stages.common import Stage
from interp.stages.graph import Node, Results
from interp.stages.probe import Probe
from interp.stages.questions import PromptFile
from interp.stages.transfer import Transfer

ANCESTORS = "from_ancestors"
"""Ending of tables about a child and the ancestors beyond its parent; nothing is drawn of them."""


@dataclass
class ProbeRun(Run[ProbeConfig]):
    """A probe run ready to start; everything that can be checked before work has been.

    Args:
        config: what to do.
        home: folder that the config's paths are from.
        device: "auto", "cpu", "cuda" or "cuda:N".
        cluster: in place of the config's `infra.cluster`; "none" computes here.
        workers: stages at a time; by default one per core here, and 64 of each job array on Slurm.
    """

    kind: ClassVar[str] = "probe"
    config_type: ClassVar[type[RunConfig]] = ProbeConfig
    figures: ClassVar[tuple[str, ...]] = ("probes", "transfer", "preservation")

    sources: dict[str, Source] = field(init=False)
    _prompts: dict[str, PromptFile] = field(init=False)

    def __post_init__(self) -> None:
        """Reads prompts and names of models."""
        from interp.prompts import levels_of, targets_of

        super().__post_init__()
        self.sources = self.config.sources
        self._prompts = {
            name: PromptFile.of(self.home / path)
            for name in ("prompts", "dev", "neutral")
            if (path := getattr(self.config, name)) is not None
        }
        prompts = self._prompts["prompts"].load()
        targets_of(prompts, self.config.targets)
        levels_of(prompts, self.config.probe.levels)

    @property
    def inputs(self) -> dict[str, Any]:
        """Fingerprints of models and prompts."""
        prompts = {name: file.fingerprint for name, file in self._prompts.items()}
        return super().inputs | prompts

    def tables(self, nodes: list[Node], results: Results) -> dict[str, pd.DataFrame]:
        """Tables of the stages; those about ancestors beyond parents apart.

        Args:
            nodes: the stages, as `nodes` gave them.
            results: key of a stage -> its tables.
        """
        return gathered(
            {
                f"{name}_{ANCESTORS}" if node.name.startswith(ANCESTORS) else name: frame
                for name, frame in results[node.name].items()
                if not name.startswith("measures")  # lines of evidence are for a study to judge
            }
            for node in nodes
        )

    def nodes(self) -> list[Node]:
        """Every model and target, then every pair and target; none waits for another."""
        refs = self.refs
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
            **self.common,
            "prompts": self._prompts["prompts"],
            "column": column,
            "cells": config.cells,
            "settings": settings[kind],
        }

        def build(_: Results) -> Stage:
            return kind(**shared, **models)

        return Node(name, (), build)
