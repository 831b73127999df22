"""Stage: the layer claim and what it is made of, for abstention and for strategies of chains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
from scipy.special import expit

from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.pairing import TransferSettings
from interp.stages.questions import N_CHAINED, WorldPrompts
from interp.stages.reading import Cells
from interp.stages.readout import organism_readouts
from interp.stages.transfer import Transfer
from interp.stages.written import ANSWERING, first_words
from interp.verdict.layer_curves import ABSTENTION

if TYPE_CHECKING:
    from interp.behavior import FirstTokenReader
    from interp.checkpoints import LoadedModel

POINT = Cells(positions=("last_prompt",))
"""Where a sentence of a chain is about to begin."""


class Layering(Stage):
    """What a child lost, what moved in it, and what its blocks do, layer by layer.

    Attributes:
        child: the model under test.
        parent: whose descendant it is.
        transfer: both read for abstention, at the end of the name among other positions.
        settings: of the read-out of strategies.
    """

    child: ModelRef
    parent: ModelRef
    transfer: Transfer
    settings: TransferSettings = TransferSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"layers of {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `layer_information`, `_change`, `_movement`, `_grafts` and `layer_effects`.

        The claim itself is decided over the tables (`interp.verdict.layer_claim`), and change
        points over all seeds.
        """
        from interp.checkpoints import weight_changes

        abstention = self.transfer.result()
        read = [abstention["preservation"], self._of_strategies()]
        changes = weight_changes(self.parent.checkpoint(), self.child.checkpoint())
        grafts, effects = self._grafts()
        keys = {"seed": self.seed, "member": self.child.name}
        pair = keys | {"parent": self.parent.name}
        return {
            "layer_information": pd.concat(read, ignore_index=True),
            "layer_movement": abstention["transfer"],
            "layer_change": keyed(changes, pair),
            "layer_grafts": keyed(grafts, pair),
            "layer_effects": keyed(effects, pair),
        }

    def _of_strategies(self) -> pd.DataFrame:
        """What the end of a sentence tells of what the next one will do, in either model."""
        tables = Transfer(
            seed=self.seed,
            device=self.device,
            child=self.child,
            parent=self.parent,
            world_size=self.world_size,
            prompts=WorldPrompts(world=self.seed, what="chains", size=self.world_size),
            column="meta.next",
            cells=POINT,
            settings=self.settings,
            infra=self.transfer.infra,
        ).result()
        return _renamed(tables["preservation"])

    def _grafts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """J of every graft, of abstaining and of each strategy, and the effects of either half."""
        from interp.interventions import graft
        from interp.verdict.layer_effects import paired_effects

        child, parent = self.child.load(self.device), self.parent.load(self.device)
        scores, items = self._scores(parent)
        half = child.n_layers // 2
        values: dict[tuple[str, int], Mapping[str, np.ndarray]] = {}
        for part in ("lower", "upper"):
            for n_layers in range(child.n_layers + 1):
                grafted = graft(parent, child, n_layers, child_part=part)
                values[part, n_layers] = {name: score(grafted) for name, score in scores.items()}
        rows, effects = [], []
        for target, frame in items.items():
            due_N = frame[ABSTENTION].to_numpy(bool)
            for (part, n_layers), found in values.items():
                value_N = found[target]
                j = float(value_N[due_N].mean() - value_N[~due_N].mean())
                rows.append({"target": target, "part": part, "n_layers": n_layers, "estimate": j})
            halves = frame.assign(
                parent=values["lower", 0][target],
                lower=values["lower", half][target],
                upper=values["upper", half][target],
            )
            place = {"target": target, "n_layers": child.n_layers, "n_blocks": half}
            for effect, value in paired_effects(halves, unit="entity", seed=self.seed).items():
                effects.append(place | {"effect": effect} | value.columns())
        return pd.DataFrame(rows), pd.DataFrame(effects)

    def _scores(self, parent: LoadedModel) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
        """How each target is read off a model's next words, and of which items."""
        from interp.behavior import Continuations, FirstTokenReader
        from interp.organism import point_prompts

        _, test = organism_readouts(self.world(), parent.tokenizer)
        scores: dict[str, Callable[[LoadedModel], np.ndarray]] = {ABSTENTION: test.probability}
        items = {ABSTENTION: test.prompts.frame[["entity"]].assign(should_abstain=test.unknown_N)}
        points = point_prompts(self.world(), "test", N_CHAINED)
        begins = first_words(self.world_size)
        coming = np.array([meta["next"] for meta in points.frame["meta"]])
        for strategy in sorted(set(begins) - {ANSWERING}):
            others = tuple(words[0] for name, words in begins.items() if name != strategy)
            said = Continuations("any", tuple(begins[strategy]), others, source=strategy)

            reader = FirstTokenReader.of(parent.tokenizer, points, said, kinds=("abstain",))
            scores[strategy] = partial(_begins, reader)
            items[strategy] = points.frame[["entity"]].assign(should_abstain=coming == strategy)
        return scores, items


def _begins(reader: FirstTokenReader, loaded: LoadedModel) -> np.ndarray:
    """Probability that the next word begins a sentence of the strategy."""
    return expit(reader.score(loaded))


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    """Targets by the strategy alone; where a chain ends is none."""
    named = table.assign(target=table["target"].str.removeprefix("meta.next="))
    return named[named["target"] != ANSWERING]
