"""A behaviour run: models x elicitations from one YAML file, one row a reply."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from interp import configs
from interp.behaving.config import BehaveConfig
from interp.behavior.generating.elicitation import Elicitation
from interp.behavior.grading.lexicons import FOLDER as LEXICONS
from interp.behavior.knowledge import K_MIN
from interp.behavior.scores.continuations import FOLDER as CONTINUATIONS
from interp.runs.config import RunConfig
from interp.runs.run import Run, gathered
from interp.stages.answering import Answering, AnsweringSettings
from interp.stages.common import ModelRef, Stage
from interp.stages.graph import Node, Results
from interp.stages.questions import PromptFile


@dataclass
class BehaveRun(Run[BehaveConfig]):
    """A behaviour run ready to start; everything that can be checked before work has been.

    Args:
        config: what to do.
        home: folder that the config's paths are from.
        device: "auto", "cpu", "cuda" or "cuda:N".
        cluster: in place of the config's.
        workers: stages at a time; by default one per core here, and all on a cluster.
    """

    kind: ClassVar[str] = "behaviour"
    config_type: ClassVar[type[RunConfig]] = BehaveConfig
    figures: ClassVar[tuple[str, ...]] = ("kinds", "reliability", "risk_coverage")

    _prompts: PromptFile = field(init=False)
    _examples: PromptFile | None = field(init=False, default=None)
    _settings: AnsweringSettings = field(init=False)

    def __post_init__(self) -> None:
        """Reads prompts, examples and phrases, and puts every question once."""
        from interp.behavior import Lexicon, elicit, read_continuations
        from interp.prompts import levels_of

        super().__post_init__()
        config = self.config
        self._prompts = PromptFile.of(self.home / config.prompts)
        if config.examples is not None:
            self._examples = PromptFile.of(self.home / config.examples)
        prompts = self._prompts.load()
        levels_of(prompts, config.answering.levels)
        for elicitation in config.elicitations:
            shown = self._shown(elicitation)
            elicit(prompts, elicitation, shown.load() if shown else None)
        self._settings = self._found(config.answering)
        Lexicon.load(self._settings.lexicon)
        if self._settings.continuations is not None:
            read_continuations(self._settings.continuations)

    def nodes(self) -> list[Node]:
        """Every model and elicitation; none waits for another."""
        return [
            self._node(name, ref, elicitation)
            for name, ref in self.config.refs(self.home).items()
            for elicitation in self.config.elicitations
        ]

    def tables(self, nodes: list[Node], results: Results) -> dict[str, pd.DataFrame]:
        """Tables of the stages, one below the other."""
        pieces: dict[str, list[pd.DataFrame]] = {}
        for node in nodes:
            for name, frame in results[node.name].items():
                pieces.setdefault(name, []).append(frame)
        tables = gathered(pieces)
        if len(self.config.sources) > 1 and self._settings.decoding.samples >= K_MIN:
            tables["knowledge"] = self._knowledge(tables["items"])
        for name in ("reliability", "risk_coverage"):
            if name in tables:
                frame = tables[name]
                tables[name] = frame.assign(source=frame["elicitation"] + ", " + frame["source"])
        return tables

    def _knowledge(self, items: pd.DataFrame) -> pd.DataFrame:
        """Abstention apart by what the models know, each way of asking by itself."""
        from interp.behavior import abstention_by_knowledge, knowledge_labels

        sources = self.config.sources
        root = next(name for name, source in sources.items() if source.parent is None)
        parts = []
        for way, of_way in items.groupby("elicitation", sort=False):
            asked = of_way[of_way["has_answer"] | of_way["should_abstain"]]
            # Whatever is no right answer, also one that was cut off, shows no knowledge.
            tried = asked[asked["has_answer"]].assign(outcome=asked["outcome"].fillna("wrong"))
            labels = {
                str(name): knowledge_labels(rows)
                for name, rows in tried.groupby("member", sort=False)
            }
            decided = asked[asked["outcome"].notna()].assign(model=asked["member"], mode=way)
            table = abstention_by_knowledge(
                decided,
                labels,
                units=[f"unit_{name}" for name in self._settings.levels],
                against=root,
                seed=self.config.seed,
                n_boot=self._settings.n_boot,
            )
            table = table.rename(columns={"model": "member", "mode": "elicitation"})
            parts.append(table.assign(seed=self.config.seed))
        return pd.concat(parts, ignore_index=True)

    def _found(self, settings: AnsweringSettings) -> AnsweringSettings:
        """The settings with files of phrases where they stand."""
        files = {
            name: str(self.home / given)
            for name in ("lexicon", "continuations")
            if (given := getattr(settings, name)) is not None and (self.home / given).is_file()
        }
        return settings.model_copy(update=files)

    def _phrases(self) -> str:
        """Hash of what the phrases are, wherever they stand."""
        digest = hashlib.sha256()
        for name, folder in (("lexicon", LEXICONS), ("continuations", CONTINUATIONS)):
            given = getattr(self._settings, name)
            if given is not None:
                digest.update(configs.locate(given, folder).read_bytes())
        return digest.hexdigest()

    def _shown(self, elicitation: Elicitation) -> PromptFile | None:
        return self._examples if elicitation.how == "few_shot" else None

    def _node(self, name: str, ref: ModelRef, elicitation: Elicitation) -> Node:
        shared: dict[str, Any] = {
            **self.common,
            "model": ref,
            "prompts": self._prompts,
            "elicitation": elicitation,
            "examples": self._shown(elicitation),
            "settings": self._settings,
            "phrases": self._phrases(),
        }

        def build(_: Results) -> Stage:
            return Answering(**shared)

        return Node(f"answering/{name}/{elicitation.label}", (), build)
