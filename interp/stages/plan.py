"""Which stages a study consists of, and what each of them needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interp.checkpoints.lineage import Lineage
from interp.organism.recipes import RECIPES, ModelShape
from interp.stages.behave import Ask, Behave
from interp.stages.common import ModelRef, Stage
from interp.stages.graph import Node, Results
from interp.stages.intervene import Intervene
from interp.stages.probe import Probe
from interp.stages.questions import WorldPrompts
from interp.stages.reading import Cells
from interp.stages.relearn import Relearn
from interp.stages.train import Train
from interp.stages.transfer import Transfer

POSITIONS = ("entity_last", "question_last", "last_prompt")
CELLS = Cells(positions=POSITIONS)
"""Where the lineage is read: the end of the name, of the question, and of the template."""


def _probe(seed: int, child: ModelRef, parent: ModelRef, **common: Any) -> Stage:
    del parent  # a read-out is of one model
    prompts = WorldPrompts(world=seed, what="test")
    return Probe(seed=seed, model=child, prompts=prompts, cells=CELLS, **common)


def _transfer(seed: int, child: ModelRef, parent: ModelRef, **common: Any) -> Stage:
    return Transfer(
        seed=seed,
        child=child,
        parent=parent,
        prompts=WorldPrompts(world=seed, what="test"),
        dev=WorldPrompts(world=seed, what="dev"),
        neutral=WorldPrompts(world=seed, what="neutral"),
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

LONGEST_FIRST = ("base", "never", "reason_rl", "scrubbed", "scrubbed_mid", "scrubbed_low")
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
        settings: stage -> its settings.
        common: passed to every stage (device, infra).
    """

    lineage: Lineage
    seeds: Sequence[int]
    members: Sequence[str]
    examined: Sequence[str]
    stages: Sequence[str]
    shape: ModelShape
    budget: float
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

        def build(results: Results) -> Stage:
            return Train(
                seed=seed,
                recipe=RECIPES[member].scaled(self.budget),
                shape=self.shape,
                start=results[_name("train", start, seed)] if start else None,
                **self.common,
            )

        needs = (_name("train", start, seed),) if start else ()
        return Node(_name("train", member, seed), needs, build)

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

        asked = (_name("ask", member, seed), _name("ask", reference, seed))
        # Relearning what was never lost says nothing.
        kinds = [kind for kind in self.stages if member != reference or kind != "relearn"]
        return [
            Node(_name("behave", member, seed), asked, compare),
            *(self._pair(kind, seed, member, reference) for kind in kinds),
        ]

    def _pair(self, kind: str, seed: int, member: str, reference: str) -> Node:
        trained = (_name("train", member, seed), _name("train", reference, seed))

        def build(results: Results) -> Stage:
            child, parent = (results[name] for name in trained)
            return EVIDENCE[kind](
                seed=seed, child=child, parent=parent, settings=self.settings[kind], **self.common
            )

        return Node(_name(kind, member, seed), trained, build)

    def _ask(self, results: Results, seed: int, member: str) -> Ask:
        model: ModelRef = results[_name("train", member, seed)]
        return Ask(seed=seed, model=model, **self.common)

    def reference(self, member: str) -> str:
        """Whom a member is compared with: its parent, or for a root the lineage's first root."""
        return self.lineage.members[member].parent or self.lineage.roots[0]


def _name(kind: str, member: str | None, seed: int) -> str:
    return f"{kind}/{member}/{seed}"
