"""A behaviour run: models x elicitations from one YAML file, one row a reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from interp import configs
from interp.behaving.config import Asked, BehaveConfig
from interp.behavior.generating.elicitation import Elicitation
from interp.errors import InputError
from interp.runs.config import RunConfig
from interp.runs.run import Run, gathered, sourced_by_way
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
        cluster: in place of the config's `infra.cluster`; "none" computes here.
        workers: stages at a time; by default one per core here, and 64 of each job array on Slurm.
    """

    kind: ClassVar[str] = "behaviour"
    config_type: ClassVar[type[RunConfig]] = BehaveConfig
    figures: ClassVar[tuple[str, ...]] = ("kinds", "reliability", "risk_coverage")

    _prompts: PromptFile = field(init=False)
    _examples: PromptFile | None = field(init=False, default=None)
    _settings: AnsweringSettings = field(init=False)

    def __post_init__(self) -> None:
        """Reads prompts, examples, phrases and chat templates, and puts every question once."""
        from interp.behavior import Lexicon, elicit, read_continuations
        from interp.behavior.grading.replies import check_answers
        from interp.prompts import levels_of

        super().__post_init__()
        config = self.config
        self._prompts = PromptFile.of(self.home / config.prompts)
        if config.examples is not None:
            self._examples = PromptFile.of(self.home / config.examples)
        prompts = self._prompts.load()
        levels_of(prompts, config.answering.levels)
        check_answers(prompts)
        for asked in config.elicitations:
            shown = self._shown(asked)
            elicit(prompts, asked.elicitation, shown.load() if shown else None)
            self._check_models(asked)
        self._settings = config.answering.found_from(self.home)
        Lexicon.load(self._settings.lexicon)
        if self._settings.continuations is not None:
            read_continuations(self._settings.continuations)

    @property
    def inputs(self) -> dict[str, Any]:
        """Fingerprints of models, prompts, examples and phrases."""
        examples = self._examples.fingerprint if self._examples else None
        prompts = {"prompts": self._prompts.fingerprint, "examples": examples}
        return super().inputs | prompts | {"phrases": self._settings.phrases_hash()}

    @property
    def works(self) -> dict[str, int]:
        """What is done with the models, and the most tokens of its batches."""
        return {"generate": self._settings.token_budget}

    def nodes(self) -> list[Node]:
        """Every model and elicitation; none waits for another.

        Raises:
            InputError: a model that is to chat and has no chat template.
        """
        nodes = []
        for name, ref in self.refs.items():
            for asked in self.config.elicitations:
                if asked.models is None or name in asked.models:
                    if asked.how == "chat":
                        self._check_template(name, ref)
                    nodes.append(self._node(name, ref, asked.elicitation))
        return nodes

    def tables(self, nodes: list[Node], results: Results) -> dict[str, pd.DataFrame]:
        """Tables of the stages, one below the other, and what the models know.

        Args:
            nodes: the stages, as `nodes` gave them.
            results: key of a stage -> its tables.
        """
        tables = sourced_by_way(gathered(results[node.name] for node in nodes))
        if self.config.knowledge_from is not None:
            knowledge = self._knowledge(tables["items"], self.config.knowledge_from)
            tables |= {"knowledge": knowledge} if len(knowledge) else {}
        return tables

    def _knowledge(self, items: pd.DataFrame, labelled_from: str) -> pd.DataFrame:
        """Abstention apart by what the models know, each other way of asking by itself."""
        from interp.behavior import abstention_by_knowledge, knowledge_labels

        tried = items[items["has_answer"] & (items["elicitation"] == labelled_from)]
        # Whatever is no right answer, also one that was cut off, shows no knowledge.
        tried = tried.assign(outcome=tried["outcome"].fillna("wrong"))
        labels = {
            str(name): knowledge_labels(rows) for name, rows in tried.groupby("member", sort=False)
        }
        parts = []
        others = items[items["elicitation"] != labelled_from]
        for way, of_way in others.groupby("elicitation", sort=False):
            asked = of_way[of_way["member"].isin(labels) & of_way["outcome"].notna()]
            asked = asked[asked["has_answer"] | asked["should_abstain"]]
            present = [name for name in labels if (asked["member"] == name).any()]
            if len(present) < 2:
                continue
            table = abstention_by_knowledge(
                asked.assign(model=asked["member"], mode=way),
                {name: labels[name] for name in present},
                units=[f"unit_{name}" for name in self._settings.levels],
                against=present[0],
                seed=self.config.seed,
                n_boot=self._settings.n_boot,
            )
            table = table.rename(columns={"model": "member", "mode": "elicitation"})
            parts.append(table.assign(seed=self.config.seed))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _check_models(self, asked: Asked) -> None:
        sources = self.config.sources
        for name in asked.models or ():
            if name not in sources:
                raise InputError(
                    f"run '{self.config.name}', elicitation '{asked.label}': no model '{name}'"
                    f"{configs.nearest(name, sources)}; there are {', '.join(sources)}"
                )

    def _check_template(self, name: str, ref: ModelRef) -> None:
        from interp.checkpoints.loading import load_tokenizer

        found = ref.checkpoint()
        if load_tokenizer(found.tokenizer_folder, found.chat_template).chat_template is None:
            raise InputError(
                f"run '{self.config.name}': {name} has no chat template and cannot be asked by "
                "'chat'; give it a template, or name the `models` of that elicitation"
            )

    def _shown(self, elicitation: Elicitation) -> PromptFile | None:
        return self._examples if elicitation.how == "few_shot" else None

    def _node(self, name: str, ref: ModelRef, elicitation: Elicitation) -> Node:
        elicitation = elicitation.model_copy(update={"seed": self.config.seed})
        shared: dict[str, Any] = {
            **self.common,
            "model": ref,
            "prompts": self._prompts,
            "elicitation": elicitation,
            "examples": self._shown(elicitation),
            "settings": self._settings,
            "phrases": self._settings.phrases_hash(),
        }

        def build(_: Results) -> Stage:
            return Answering(**shared)

        return Node(f"answering/{name}/{elicitation.label}", (), build)
