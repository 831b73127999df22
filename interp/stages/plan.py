"""Which stages a study consists of, and what each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from interp.checkpoints.lineage import Lineage
from interp.organism.objectives import RECIPES
from interp.organism.overrides import Override
from interp.organism.recipes import ModelShape
from interp.organism.sizes import USUAL
from interp.organism.words import ABSTAINING_PHRASES
from interp.stages.behave import Ask, Behave
from interp.stages.changes import Change
from interp.stages.common import ModelRef, Stage
from interp.stages.compression import Compress
from interp.stages.confidence import Confidence
from interp.stages.dictionaries import Dictionaries, DictionaryRef
from interp.stages.feature_diff import FeatureDiff
from interp.stages.feature_study import FeatureStudy
from interp.stages.features import Features
from interp.stages.graph import Node, Results
from interp.stages.hybrid import Hybrid
from interp.stages.intervene import Intervene
from interp.stages.layering import Layering
from interp.stages.objective_study import ObjectiveStudy
from interp.stages.picking import picked_features
from interp.stages.probe import Probe
from interp.stages.questions import WorldPrompts
from interp.stages.reading import Cells
from interp.stages.reasoned import Reasoned
from interp.stages.reasoning import Reasoning
from interp.stages.reasoning_study import ReasoningStudy
from interp.stages.relearn import Relearn
from interp.stages.repair import Repair
from interp.stages.strategies import Strategize
from interp.stages.train import Train
from interp.stages.trajectory import Trajectory
from interp.stages.transfer import Transfer

POSITIONS = ("entity_last", "question_last", "last_prompt")
CELLS = Cells(positions=POSITIONS)
"""Where the lineage is read: the end of the name, of the question, and of the template."""


def _about(seed: int, what: Any, common: Mapping[str, Any]) -> WorldPrompts:
    """Prompts about people of the world that all stages of a study are about."""
    return WorldPrompts(world=seed, what=what, size=common.get("world_size", USUAL))


def _probe(seed: int, child: ModelRef, parent: ModelRef, **common: Any) -> Stage:
    del parent  # a read-out is of one model
    prompts = _about(seed, "test", common)
    return Probe(seed=seed, model=child, prompts=prompts, cells=CELLS, **common)


def _transfer(seed: int, child: ModelRef, parent: ModelRef, **common: Any) -> Transfer:
    return Transfer(
        seed=seed,
        child=child,
        parent=parent,
        prompts=_about(seed, "test", common),
        dev=_about(seed, "dev", common),
        neutral=_about(seed, "neutral", common),
        cells=CELLS,
        **common,
    )


EVIDENCE: Mapping[str, Callable[..., Stage]] = {
    "probe": _probe,
    "transfer": _transfer,
    "intervene": Intervene,
    "relearn": Relearn,
}
"""Stages that gather a child's evidence, most of them beside its parent."""

DRAWS = 3
"""Dictionary seeds of a member whose features are searched: two to compare the first with."""

LONGEST_FIRST = (
    *("base", "never", "stated", "reason_sft", "rl_brier", "rl_stated", "informed", "reason_rl"),
    *("rl_binary", "rl_ternary", "scrubbed", "scrubbed_mid", "scrubbed_low"),
)
"""Members whose training others wait for, or that take long, are started before the rest."""


@dataclass(frozen=True)
class Plan:
    """The stages of all members and seeds.

    Attributes:
        lineage: who descends from whom.
        seeds: one lineage each.
        members: whom to train and question.
        examined: those of them whose evidence is gathered.
        stages: what gathers it.
        shape: of the decoder.
        budget: share of each recipe's training steps.
        overrides: member -> what the study changes in its recipe.
        settings: stage -> its settings.
        common: passed to every stage (device, infra, size of the world).
    """

    lineage: Lineage
    seeds: Sequence[int]
    members: Sequence[str]
    examined: Sequence[str]
    stages: Sequence[str]
    shape: ModelShape
    budget: float
    overrides: Mapping[str, Override]
    settings: Mapping[str, Any]
    common: Mapping[str, Any]

    def nodes(self) -> list[Node]:
        """All stages, in order of urgency: trainings, then questions, then evidence."""
        urgency = {name: place for place, name in enumerate(LONGEST_FIRST)}
        members = sorted(self.members, key=lambda name: urgency.get(name, len(urgency)))
        cells = [(seed, member) for seed in self.seeds for member in members]
        return [
            *(self.training(seed, member) for seed, member in cells),
            *(self._asking(seed, member) for seed, member in cells),
            *(
                node
                for seed, member in cells
                if member in self.examined
                for node in self._evidence(seed, member)
            ),
        ]

    def training(self, seed: int, member: str) -> Node:
        """The training of one member."""
        start = RECIPES[member].starts_from
        recipe = self.overrides.get(member, Override()).of(RECIPES[member])

        def build(results: Results) -> Stage:
            return Train(
                seed=seed,
                recipe=recipe.scaled(self.budget),
                shape=self.shape,
                start=results[_name("train", start, seed)] if start else None,
                snapshots=self._snapshots(member),
                **self.common,
            )

        needs = (_name("train", start, seed),) if start else ()
        return Node(_name("train", member, seed), needs, build)

    def _snapshots(self, member: str) -> int:
        """How many checkpoints of a member's training are kept."""
        if "objectives" not in self.stages:
            return 0
        settings: ObjectiveStudy = self.settings["objectives"]
        return settings.snapshots if member in settings.traced else 0

    def _asking(self, seed: int, member: str) -> Node:
        return Node(
            _name("ask", member, seed),
            (_name("train", member, seed),),
            lambda results: self._ask(results, seed, member),
        )

    def _evidence(self, seed: int, member: str) -> list[Node]:
        reference = self.reference(member)

        def compare(results: Results) -> Stage:
            child, parent = (self._ask(results, seed, name) for name in (member, reference))
            return Behave(seed=seed, child=child, parent=parent, **self.common)

        def confide(results: Results) -> Stage:
            child, parent = (self._ask(results, seed, name) for name in (member, reference))
            settings = self.settings["confidence"]
            return Confidence(
                seed=seed, child=child, parent=parent, settings=settings, **self.common
            )

        asked = (_name("ask", member, seed), _name("ask", reference, seed))
        sure = [Node(_name("confidence", member, seed), asked, confide)]
        # Relearning what was never lost says nothing.
        kinds = [
            kind
            for kind in self.stages
            if kind in EVIDENCE and (member != reference or kind != "relearn")
        ]
        return [
            Node(_name("behave", member, seed), asked, compare),
            *(sure if "confidence" in self.stages else ()),
            *(
                self._pair(
                    kind, seed, member, partial(EVIDENCE[kind], settings=self.settings[kind])
                )
                for kind in kinds
            ),
            *(self._features(seed, member) if "features" in self.stages else ()),
            *(self._reasoning(seed, member) if "reasoning" in self.stages else ()),
            *(self._objectives(seed, member) if "objectives" in self.stages else ()),
        ]

    def _features(self, seed: int, member: str) -> list[Node]:
        """Dictionaries of a member, and what its features are or what became of its parent's."""
        reference = self.reference(member)
        draws = range(DRAWS if member == reference else 1)
        trained = [
            Node(
                _name(f"dictionaries-{draw}", member, seed),
                (_name("train", member, seed),),
                partial(self._dictionaries, seed, member, draw),
            )
            for draw in draws
        ]
        kind = "features" if member == reference else "feature_diff"
        needs = [node.name for node in trained]
        if member != reference:
            needs += [_name("features", reference, seed), _name("train", reference, seed)]
        build = self._search if member == reference else self._diff
        return [
            *trained,
            Node(_name(kind, member, seed), tuple(needs), partial(build, seed, member)),
        ]

    def _dictionaries(self, seed: int, member: str, draw: int, results: Results) -> Dictionaries:
        settings: FeatureStudy = self.settings["features"]
        return Dictionaries(
            seed=seed,
            model=results[_name("train", member, seed)],
            text=_about(seed, "documents", self.common),
            recipe=settings.recipe,
            draw=draw,
            **self.common,
        )

    def dictionaries_of(
        self, results: Results, seed: int, member: str, draw: int = 0
    ) -> DictionaryRef:
        """Where the dictionaries of a trained member stand."""
        return DictionaryRef.of(self._dictionaries(seed, member, draw, results).folder)

    def _search(self, seed: int, member: str, results: Results) -> Stage:
        settings: FeatureStudy = self.settings["features"]
        return Features(
            seed=seed,
            model=results[_name("train", member, seed)],
            dictionaries=tuple(
                self.dictionaries_of(results, seed, member, draw) for draw in range(DRAWS)
            ),
            prompts=_about(seed, "test", self.common),
            dev=_about(seed, "dev", self.common),
            generic=_about(seed, "plain", self.common),
            text=_about(seed, "documents", self.common),
            settings=settings.search,
            crosscoder=settings.crosscoder,
            **self.common,
        )

    def _diff(self, seed: int, member: str, results: Results) -> Stage:
        settings: FeatureStudy = self.settings["features"]
        reference = self.reference(member)
        return FeatureDiff(
            seed=seed,
            child=results[_name("train", member, seed)],
            parent=results[_name("train", reference, seed)],
            child_dictionaries=self.dictionaries_of(results, seed, member),
            parent_dictionaries=self.dictionaries_of(results, seed, reference),
            picked=picked_features(results[_name("features", reference, seed)]),
            phrases=ABSTAINING_PHRASES,
            prompts=_about(seed, "test", self.common),
            dev=_about(seed, "dev", self.common),
            text=_about(seed, "documents", self.common),
            search=settings.search,
            settings=settings.diff,
            crosscoder=settings.crosscoder,
            **self.common,
        )

    def _reasoning(self, seed: int, member: str) -> list[Node]:
        """Chains of a member and their comparison, its strategies, the hybrid and the layers."""
        reference = self.reference(member)
        settings: ReasoningStudy = self.settings["reasoning"]
        trained = (_name("train", member, seed), _name("train", reference, seed))
        nodes = [
            Node(
                _name("chains", member, seed),
                (trained[0], _name("train", settings.scorer, seed)),
                lambda results: self._reasoned(results, seed, member),
            ),
            Node(
                _name("reasoning", member, seed),
                (_name("chains", member, seed), _name("chains", reference, seed)),
                lambda results: Reasoning(
                    seed=seed,
                    child=self._reasoned(results, seed, member),
                    parent=self._reasoned(results, seed, reference),
                    **self.common,
                ),
            ),
            Node(
                _name("strategies", member, seed),
                trained,
                lambda results: self._strategies(results, seed, member),
            ),
            Node(
                _name("compression", member, seed),
                trained[:1],
                lambda results: Compress(
                    seed=seed,
                    model=results[trained[0]],
                    settings=settings.compression,
                    **self.common,
                ),
            ),
        ]
        if member == reference:
            return nodes

        def pair(results: Results) -> dict[str, Any]:
            child, parent = (results[name] for name in trained)
            return {"seed": seed, "child": child, "parent": parent, **self.common}

        return [
            *nodes,
            Node(
                _name("hybrid", member, seed),
                (*trained, _name("strategies", reference, seed)),
                lambda results: Hybrid(
                    **pair(results),
                    strategies=self._strategies(results, seed, reference),
                    settings=settings.hybrid,
                ),
            ),
            Node(
                _name("layers", member, seed),
                (*trained, _name("transfer", member, seed)),
                lambda results: Layering(
                    **pair(results),
                    transfer=_transfer(**pair(results), settings=self.settings["transfer"]),
                    settings=self.settings["transfer"],
                ),
            ),
        ]

    def _reasoned(self, results: Results, seed: int, member: str) -> Reasoned:
        settings: ReasoningStudy = self.settings["reasoning"]
        return Reasoned(
            seed=seed,
            model=results[_name("train", member, seed)],
            scorer=results[_name("train", settings.scorer, seed)],
            settings=settings.chains,
            **self.common,
        )

    def _strategies(self, results: Results, seed: int, member: str) -> Strategize:
        settings: ReasoningStudy = self.settings["reasoning"]
        names = (member, self.reference(member))
        child, parent = (results[_name("train", name, seed)] for name in names)
        return Strategize(
            seed=seed, child=child, parent=parent, settings=settings.strategies, **self.common
        )

    def _objectives(self, seed: int, member: str) -> list[Node]:
        """What an objective changed, when it changed on the way, and what gives it back."""
        settings: ObjectiveStudy = self.settings["objectives"]
        if self.lineage.members[member].parent is None:
            return []
        stages: dict[str, Callable[..., Stage]] = {"changes": Change}
        if member in settings.traced:
            stages["trajectory"] = partial(Trajectory, settings=settings.trajectory)
        if member in settings.repaired:
            stages["repair"] = partial(Repair, settings=settings.repair)
        return [self._pair(kind, seed, member, stage) for kind, stage in stages.items()]

    def _pair(self, kind: str, seed: int, member: str, stage: Callable[..., Stage]) -> Node:
        """A stage of a member and of whom it is compared with."""
        names = (member, self.reference(member))
        trained = tuple(_name("train", name, seed) for name in names)

        def build(results: Results) -> Stage:
            child, parent = (results[name] for name in trained)
            return stage(seed=seed, child=child, parent=parent, **self.common)

        return Node(_name(kind, member, seed), trained, build)

    def _ask(self, results: Results, seed: int, member: str) -> Ask:
        model: ModelRef = results[_name("train", member, seed)]
        return Ask(seed=seed, model=model, **self.common)

    def reference(self, member: str) -> str:
        """Whom a member is compared with: its parent, or for a root the lineage's first root."""
        return self.lineage.members[member].parent or self.lineage.roots[0]


def _name(kind: str, member: str | None, seed: int) -> str:
    return f"{kind}/{member}/{seed}"
