"""Stage: what steering, ablation and grafting do to a child's abstention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.stages.common import ModelRef, Stage, Tables, columns, keyed, task_infra
from interp.stages.readout import Readout, organism_readouts
from interp.stats import Interval

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
        settings: strengths and nulls.
    """

    child: ModelRef
    parent: ModelRef
    settings: InterventionSettings = InterventionSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"steer and graft {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `steering`, `ablation`, `graft` and `measures`."""
        child, parent = self.child.load(self.device), self.parent.load(self.device)
        dev, test = organism_readouts(self.seed, child.tokenizer)
        directions = _directions(parent, dev)
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
        from interp.interventions import Add

        direction, chosen_alpha = self._choose(child, dev, directions)
        nulls = random_directions(self.settings.n_random, child.d_model, self.seed)
        baseline = test.probability(child)
        rows = _rows(test, baseline, direction="parent", draw=0, alpha=0.0)
        null_gain, gain = [], None
        for alpha in self.settings.alphas:
            dose = alpha * direction.norm
            steered = test.probability(child, [Add(direction.site, direction.vector_D, dose)])
            rows += _rows(test, steered, direction="parent", draw=0, alpha=alpha)
            if alpha == chosen_alpha:
                gain = test.difference(steered, baseline)
            for draw, null_D in enumerate(nulls):
                probability = test.probability(child, [Add(direction.site, null_D, dose)])
                rows += _rates(test, probability, direction="random", draw=draw, alpha=alpha)
                if alpha == chosen_alpha:
                    null_gain.append(test.j(probability) - test.j(baseline))
        assert gain is not None  # the chosen strength is one of the strengths
        beyond = float(np.quantile(null_gain, 0.95))
        net = Interval(gain.estimate - beyond, gain.lo - beyond, gain.hi - beyond)
        measures: list[dict[str, Any]] = [{"line": "steering"} | columns(net)]
        return pd.DataFrame(rows).assign(layer=direction.site.layer), measures

    def _choose(
        self, child: LoadedModel, dev: Readout, directions: list[Direction]
    ) -> tuple[Direction, float]:
        """Layer and strength with the largest J on dev that leave the known people answered."""
        from interp.interventions import Add

        baseline_known = dev.probability(child)[~dev.unknown_N].mean()
        best: tuple[float, Direction, float] | None = None
        for direction in directions:
            for alpha in self.settings.alphas:
                edit = Add(direction.site, direction.vector_D, alpha * direction.norm)
                probability = dev.probability(child, [edit])
                allowed = (
                    probability[~dev.unknown_N].mean() <= baseline_known + self.settings.max_known
                )
                if allowed and (best is None or dev.j(probability) > best[0]):
                    best = (dev.j(probability), direction, alpha)
        # Where every strength makes the known abstain, the gentlest at the top block stands in.
        return (best[1], best[2]) if best else (directions[-1], self.settings.alphas[0])

    def _ablate(
        self, child: LoadedModel, test: Readout, directions: list[Direction]
    ) -> pd.DataFrame:
        """The parent's direction taken out of every block, against random directions."""
        from interp.directions import random_directions
        from interp.interventions import Ablate

        rows = _rows(test, test.probability(child), direction="none", draw=0)
        own = [Ablate(direction.site, direction.vector_D) for direction in directions]
        rows += _rows(test, test.probability(child, own), direction="parent", draw=0)
        for draw, null_D in enumerate(
            random_directions(self.settings.n_random, child.d_model, self.seed)
        ):
            edits = [Ablate(direction.site, null_D) for direction in directions]
            rows += _rates(test, test.probability(child, edits), direction="random", draw=draw)
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
                rows.append({"part": part, "n_layers": n_layers} | columns(value))
                if part == "lower" and n_layers == child.n_layers // 2:
                    share = test.ratio(probability, reference)
                    measures.append({"line": "graft"} | columns(share))
        return pd.DataFrame(rows), measures


def _directions(parent: LoadedModel, dev: Readout) -> list[Direction]:
    """The parent's mean difference at the end of the prompt, at every full-attention block.

    Only blocks whose last-token state differs between the classes on dev have a direction: below
    the first block that attends to the whole prompt the last token cannot know the name.
    """
    from interp.activations import Site, capture
    from interp.directions import mean_difference

    sites = [Site("resid_post", layer) for layer in range(parent.n_layers)]
    acts = capture(parent, dev.prompts, sites, ["last_prompt"])
    directions = [
        mean_difference(
            acts.read(site, "last_prompt"),
            dev.unknown_N,
            site=site,
            position="last_prompt",
            source=parent.checkpoint.name,
        )
        for site in sites
        if float(acts.read(site, "last_prompt").std(0).max()) > 1e-3
    ]
    return [direction for direction in directions if direction.norm > 1e-3]


def _rows(test: Readout, probability: np.ndarray, **keys: Any) -> list[dict[str, Any]]:
    return [
        {**keys, "group": group} | columns(value)
        for group, value in test.groups(probability).items()
    ]


def _rates(test: Readout, probability: np.ndarray, **keys: Any) -> list[dict[str, Any]]:
    """Like `_rows` without intervals: one draw of a null needs none, the draws are the interval."""
    values = {
        "unknown": probability[test.unknown_N].mean(),
        "known": probability[~test.unknown_N].mean(),
        "J": test.j(probability),
    }
    nan = float("nan")
    return [
        {**keys, "group": group, "estimate": float(value), "lo": nan, "hi": nan}
        for group, value in values.items()
    ]
