"""Stage: what steering, ablation and grafting do to a child's abstention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exca
import pandas as pd
import pydantic

from interp.stages.asked import Asked, readouts
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.dosing import Response, choose, mean_differences, rates_of, rows_of
from interp.stages.readout import Readout

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.directions import Direction


class InterventionSettings(pydantic.BaseModel):
    """Strengths and nulls of the intervention stage."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    alphas: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Strengths, in units of the norm of the parent's mean difference."""
    n_random: int = 20
    """Random directions of the same norm, each at every strength."""
    max_known: float = 0.05
    """A strength may be chosen on dev only if it adds at most this much abstention on known."""


class Intervene(Stage):
    """Steers, ablates and grafts a child against its parent.

    Attributes:
        child: the model under test.
        parent: gives the direction and the other half of each graft.
        asked: questions; None asks about people of the embedded world.
        settings: strengths and nulls.
    """

    child: ModelRef
    parent: ModelRef
    asked: Asked | None = None
    settings: InterventionSettings = InterventionSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"steer and graft {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `steering`, `ablation`, `graft` and `measures`."""
        child, parent = self.child.load(self.device), self.parent.load(self.device)
        dev, test = readouts(self, self.asked, child.tokenizer)
        directions = mean_differences(parent, dev)
        steering, steering_measures = self._steer(child, dev, test, directions)
        graft, graft_measures = self._graft(child, parent, test)
        tables = {
            "steering": steering,
            "ablation": self._ablate(child, test, directions),
            "graft": graft,
            "measures": pd.DataFrame([*steering_measures, *graft_measures]),
        }
        keys = {"seed": self.seed, "member": self.child.name}
        return {name: keyed(table, keys) for name, table in tables.items()}

    def _steer(
        self, child: LoadedModel, dev: Readout, test: Readout, directions: list[Direction]
    ) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """Dose-response at the layer chosen on dev, with random directions of the same norm."""
        from interp.directions import random_directions

        direction, alpha = choose(
            child, dev, directions, self.settings.alphas, self.settings.max_known
        )
        response = Response.of(
            child,
            test,
            direction,
            self.settings.alphas,
            random_directions(self.settings.n_random, child.d_model, self.seed),
        )
        net = response.net(alpha)
        measures: list[dict[str, Any]] = [{"line": "steering"} | net.columns()]
        return pd.DataFrame(response.rows).assign(layer=direction.site.layer), measures

    def _ablate(
        self, child: LoadedModel, test: Readout, directions: list[Direction]
    ) -> pd.DataFrame:
        """The parent's direction taken out of every block, against random directions."""
        from interp.directions import random_directions
        from interp.interventions import Ablate

        rows = rows_of(test, test.probability(child), direction="none", draw=0)
        own = [Ablate(direction.site, direction.vector_D) for direction in directions]
        rows += rows_of(test, test.probability(child, own), direction="parent", draw=0)
        for draw, null_D in enumerate(
            random_directions(self.settings.n_random, child.d_model, self.seed)
        ):
            edits = [Ablate(direction.site, null_D) for direction in directions]
            rows += rates_of(test, test.probability(child, edits), direction="random", draw=draw)
        return pd.DataFrame(rows)

    def _graft(
        self, child: LoadedModel, parent: LoadedModel, test: Readout
    ) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """J of parent and child composed at every depth, both ways."""
        from interp.interventions import graft

        reference = test.probability(parent)
        rows, measures = [], []
        for part in ("lower", "upper"):
            for n_layers in range(child.n_layers + 1):
                grafted = graft(parent, child, n_layers, child_part=part)
                probability = test.probability(grafted)
                value = test.interval(probability)
                rows.append({"part": part, "n_layers": n_layers} | value.columns())
                if part == "lower" and n_layers == child.n_layers // 2:
                    share = test.share(probability, reference)
                    measures.append({"line": "graft"} | share.columns())
        return pd.DataFrame(rows), measures
