"""A comparison: what post-training did to each child's abstention, on a user's own questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from interp.comparing.config import CompareConfig
from interp.comparing.lines import behaviour_measures, unmeasured
from interp.comparing.questions import Questionnaire, read_questions
from interp.comparing.ways import chosen_way, misfit, tokenizers_of
from interp.errors import InputError
from interp.runs.config import RunConfig
from interp.runs.run import Run, gathered, sourced_by_way
from interp.settings import figures_root
from interp.stages.answering import Answering, AnsweringSettings
from interp.stages.asked import Asked, answered
from interp.stages.common import Stage
from interp.stages.graph import Node, Results
from interp.stages.intervene import Intervene
from interp.stages.probe import Probe
from interp.stages.project import Project
from interp.stages.reading import Cells
from interp.stages.relearn import Relearn
from interp.stages.transfer import Transfer
from interp.verdict.controls import read_controls
from interp.verdict.pairs import judge_children
from interp.verdict.rule import load_rule, rule_text


@dataclass
class Comparison(Run[CompareConfig]):
    """A comparison ready to run; everything that can be checked before work has been.

    Args:
        config: what to do.
        home: folder that the config's paths are from.
        device: "auto", "cpu", "cuda" or "cuda:N".
        cluster: in place of the config's.
        workers: stages at a time; by default one per core here, and all on a cluster.
    """

    kind: ClassVar[str] = "comparison"
    config_type: ClassVar[type[RunConfig]] = CompareConfig
    figures: ClassVar[tuple[str, ...]] = (
        *("verdict", "evidence", "support", "kinds", "reliability", "risk_coverage", "probes"),
        *("transfer", "preservation", "steering", "ablation", "graft", "relearn"),
    )

    questionnaire: Questionnaire = field(init=False)
    skipped: dict[tuple[str, str], str] = field(init=False, default_factory=dict)
    """(member, stage) -> why it is left out, of those with a parent."""
    _settings: AnsweringSettings = field(init=False)
    _asked: Asked = field(init=False)
    _longest: int = field(init=False)
    """Tokens of the longest question as it is put, to any of the models."""

    def __post_init__(self) -> None:
        """Reads questions, phrases and tokenizers, and sees which models can be compared how."""
        from interp.behavior import Lexicon, read_continuations
        from interp.behavior.grading.replies import check_answers
        from interp.behavior.scores.continuations import check_readable
        from interp.prompts import levels_of, render
        from interp.prompts.encoding import tokenize

        super().__post_init__()
        config = self.config
        file = Path(config.path(config.questions))
        questions = read_questions(file, config.columns, config.splits, config.seed)
        check_answers(questions)
        levels_of(questions, config.answering.levels)
        tokenizers = tokenizers_of(self.refs)
        way = chosen_way(config.elicitation, questions, tokenizers)
        self.questionnaire = Questionnaire(questions, way)
        self._settings = config.answering.found_from(self.home)
        Lexicon.load(self._settings.lexicon)
        if self._settings.continuations is None:
            raise InputError(
                f"{config.name}: `answering.continuations` is null; interventions score abstention "
                "by them, so name a language or a file"
            )
        continuations = read_continuations(self._settings.continuations)
        for tokenizer in tokenizers.values():
            check_readable(continuations, tokenizer)
        self._asked = Asked(
            test=self.questionnaire.file("test"),
            dev=self.questionnaire.file("dev"),
            train=self.questionnaire.file("train"),
            phrases=continuations.abstain,
            # With no full stop: to a tokenizer of words a stop without a space is another word.
            reply=continuations.abstain[0],
            n_scored=config.n_scored,
        )
        put = self.questionnaire.put("train")
        self._longest = max(
            len(ids)
            for tokenizer in tokenizers.values()
            for chunk in tokenize(render(put, tokenizer), tokenizer)
            for ids in chunk
        )
        self._find_misfits(tokenizers)

    @classmethod
    def of_sources(
        cls,
        *,
        parent: str,
        child: str,
        questions: Path,
        base: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Comparison:
        """A child beside its parent, with a base above it if there is one, and all stages.

        Args:
            parent: folder or Hugging Face id of what the child was trained from.
            child: of the model under test.
            questions: as `CompareConfig.questions`; paths are from the current folder.
            base: of the model that the parent was trained from.
            name: of the run; by default the child's last part.
            kwargs: as for the class: `device`, `cluster`, `workers`.

        Raises:
            InputError: a model or a file is not there, or does not fit.
        """
        models: dict[str, Any] = {"base": {"source": base}} if base else {}
        models["parent"] = {"source": parent, "parent": "base" if base else None}
        models["child"] = {"source": child, "parent": "parent"}
        config = CompareConfig.model_validate(
            {
                "name": name or Path(child).name,
                "description": f"{child} beside {parent}, on {questions.name}.",
                "models": models,
                "questions": str(questions),
            }
        )
        return cls(config, home=Path.cwd(), **kwargs)

    @property
    def folder(self) -> Path:
        """Where figures, tables and report stand."""
        return figures_root() / self.config.name

    @property
    def inputs(self) -> dict[str, Any]:
        """Fingerprints of models, questions and phrases, how they are asked, and the rule."""
        return super().inputs | {
            "questions": self.questionnaire.questions.fingerprint,
            "phrases": self._settings.phrases_hash(),
            "elicitation": self.questionnaire.elicitation.model_dump(mode="json"),
        }

    @property
    def works(self) -> dict[str, int]:
        """What is done with the models, and the most tokens of its batches."""
        settings = self.config.relearn
        found = {**super().works, "generate": self._settings.token_budget}
        if "relearn" in self.config.stages:
            found["relearn"] = settings.batch_size * self._longest
        return found

    @property
    def stamp(self) -> dict[str, Any]:
        """What stands in `run.json` beside the config: the text of the rule."""
        return {"rule": rule_text()}

    def nodes(self) -> list[Node]:
        """Replies of every model, then what is read, steered and relearned; none waits."""
        return [
            *self._answerings(),
            *(node for name in self.refs for node in self._evidence(name)),
        ]

    def tables(self, nodes: list[Node], results: Results) -> dict[str, pd.DataFrame]:
        """Tables of the stages, the lines of evidence, and the verdicts with their reasons."""
        tables = sourced_by_way(gathered(results[node.name] for node in nodes))
        measured = [tables["measures"]] if "measures" in tables else []
        said = behaviour_measures(
            tables["items"],
            self.questionnaire.bare("test"),
            self._parents,
            self._units,
            self.config.seed,
        )
        measures = pd.concat([said, *measured], ignore_index=True)
        measures.insert(2, "parent", measures["member"].map(self._parents))
        tables["measures"] = measures
        tables["evidence"], tables["verdict"], tables["reasons"] = judge_children(
            measures,
            {name: self.config.ancestors(name) for name in self._parents},
            load_rule(),
            read_controls(figures_root() / self.config.controls, load_rule()),
            unmeasured(self.skipped, self._parents, self._cells.positions),
        )
        if self.skipped:
            tables["skipped"] = pd.DataFrame(
                [
                    {"member": name, "parent": self._parents[name], "stage": stage, "reason": why}
                    for (name, stage), why in self.skipped.items()
                ]
            )
        return tables

    @property
    def _parents(self) -> dict[str, str]:
        """The parent of each model; "" for a root."""
        return {name: source.parent or "" for name, source in self.config.sources.items()}

    @property
    def _units(self) -> np.ndarray:
        """What is resampled, of each reply to a question of the split "test"."""
        from interp.prompts import levels_of

        levels = levels_of(self.questionnaire.bare("test"), self.config.answering.levels)
        return np.repeat(list(levels.values())[-1], self._settings.decoding.samples)

    def _find_misfits(self, tokenizers: Mapping[str, Any]) -> None:
        """Which stages of which pairs are left out, and why."""
        test = self.questionnaire.put("test")
        train = self.questionnaire.bare("train")
        needed = max(self.config.relearn.n_examples)
        short = min(int(train.labels.sum()), len(answered(train)))
        for name, source in self.config.sources.items():
            if source.parent is None:
                continue
            both = (tokenizers[name], tokenizers[source.parent])
            why = misfit(self.refs[name], self.refs[source.parent], test, both)
            for stage in ("transfer", "intervene"):
                if why is not None and stage in self.config.stages:
                    self.skipped[name, stage] = why
            if "relearn" in self.config.stages and short < needed:
                self.skipped[name, "relearn"] = (
                    f"the split 'train' has {short} questions of one kind (to abstain on, or with "
                    f"an answer), and {needed} of each are shown"
                )

    @property
    def _cells(self) -> Cells:
        return self.config.cells or Cells(positions=self.questionnaire.positions())

    def _answerings(self) -> Iterator[Node]:
        """All models, asked alike."""
        way = self.questionnaire.elicitation.model_copy(update={"seed": self.config.seed})
        shown = way.how == "few_shot"
        shared: dict[str, Any] = {
            **self.common,
            "prompts": self.questionnaire.file("test", put=False),
            "elicitation": way,
            "examples": self.questionnaire.examples_file() if shown else None,
            "settings": self._settings,
            "phrases": self._settings.phrases_hash(),
        }
        for name, ref in self.refs.items():
            yield _node(f"answering/{name}", Answering, shared | {"model": ref})

    def _evidence(self, name: str) -> Iterator[Node]:
        """Stages of a model and, where it has a parent, of the pair."""
        config, refs = self.config, self.refs
        parent = config.sources[name].parent
        read = {"prompts": self._asked.test, "cells": self._cells}
        if "probe" in config.stages:
            settings = {"model": refs[name], "settings": config.probe}
            yield _node(f"probe/{name}", Probe, {**self.common, **read, **settings})
        if (name, "transfer") not in self.skipped:
            above = {"model": refs[name], "parent": refs[parent or name], "asked": self._asked}
            yield _node(f"project/{name}", Project, {**self.common, **above})
        if parent is None:
            return
        pair = {**self.common, "child": refs[name], "parent": refs[parent]}
        stages: dict[str, tuple[type[Stage], dict[str, Any]]] = {
            "transfer": (Transfer, {**read, "dev": self._asked.dev, "settings": config.transfer}),
            "intervene": (Intervene, {"asked": self._asked, "settings": config.intervention}),
            "relearn": (Relearn, {"asked": self._asked, "settings": config.relearn}),
        }
        for stage, (kind, fields) in stages.items():
            if stage in config.stages and (name, stage) not in self.skipped:
                yield _node(f"{stage}/{name}", kind, pair | fields)


def _node(name: str, kind: type[Stage], fields: Mapping[str, Any]) -> Node:
    def build(_: Results) -> Stage:
        return kind(**fields)

    return Node(name, (), build)
