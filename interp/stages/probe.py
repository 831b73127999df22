"""Stage: what linear and nonlinear read-outs find in one model, beside all that they must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exca
import pandas as pd
import pydantic

from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.questions import Questions
from interp.stages.reading import Cell, Cells, Readings, Reported, layer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interp.checkpoints import LoadedModel
    from interp.probes import Baseline
    from interp.prompts import PromptSet, Target


BESIDE = ("selectivity", "mlp", "embedding", "random", "tokens", "length")
"""What stands beside each AUROC with an interval of its own; NaN where there is none."""
COLUMNS = (
    *("estimate", "lo", "hi", "ridge", "null_lo", "null_hi", "p_adjusted", "control"),
    *(f"{name}{end}" for name in BESIDE for end in ("", "_lo", "_hi")),
    *("c", "certified", "n", "n_true"),
)
"""Of a cell, after where it is."""


class ProbeSettings(pydantic.BaseModel):
    """Folds, nulls and baselines of the probe stage."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    levels: tuple[str, ...] = ("scenario", "dataset", "pair")
    """Nested units that are resampled; the last one is what folds keep together."""
    hold_out: str | None = None
    """A level to hold out whole, one unit a fold ("scenario": leave one scenario out)."""
    n_splits: int = 5
    n_shuffles: int = 500
    """Label shuffles behind the test over all layers and positions at once."""
    n_control_tasks: int = 5
    """Deals of random labels to tokens (Hewitt & Liang)."""
    n_boot: int = 1000
    """Resamples behind each interval."""
    mlp: bool = True
    """Whether to fit a nonlinear read-out beside each linear one."""
    random_init: bool = True
    """Whether to probe the same model at its initialisation."""


class Probe(Stage):
    """Probes every cell of a model for each target of a column.

    Attributes:
        model: the model under test.
        prompts: what it is asked.
        column: of the prompts: "should_abstain", "scenario", "meta.KEY"; see `targets_of`.
        cells: where to read.
        settings: folds, nulls and baselines.
    """

    model: ModelRef
    prompts: Questions
    column: str = "should_abstain"
    cells: Cells = Cells()
    settings: ProbeSettings = ProbeSettings()
    infra: exca.TaskInfra = task_infra("2")

    def label(self) -> str:
        """What a progress display calls it."""
        what = "" if self.column == "should_abstain" else f" for {self.column}"
        return f"probe {self.model.name}{what} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `probes`, one row a cell, and `probes_selected`, one row a target."""
        from interp.probes import random_init
        from interp.prompts import targets_of

        prompts = self.prompts.load()
        targets = targets_of(prompts, [self.column])
        loaded = self.model.load(self.device)
        own = self.cells.read(loaded, prompts)
        untrained = None
        if self.settings.random_init:
            at_step_0 = random_init(loaded.checkpoint, self.seed).load(self.device)
            untrained = self.cells.read(at_step_0, prompts, own)
        swept = [self._target(target, prompts, loaded, own, untrained) for target in targets]
        keys = {"seed": self.seed, "member": self.model.name}
        return {
            name: keyed(pd.concat([tables[name] for tables in swept], ignore_index=True), keys)
            for name in ("probes", "probes_selected")
        }

    def _target(
        self,
        target: Target,
        prompts: PromptSet,
        loaded: LoadedModel,
        own: Readings,
        untrained: Readings | None,
    ) -> Tables:
        from interp.probes import SweepSettings, sweep
        from interp.prompts import levels_of

        chosen = self.settings
        levels = levels_of(prompts, chosen.levels)
        acts = own.at(target.rows_M)
        types = acts.types()
        # The nested fits and the null read every cell, the MLP and a control task once more.
        reads = 2 + chosen.mlp + bool(types)
        table = sweep(
            Reported(acts, self.label(), reads),
            target.labels_M,
            {name: unit_N[target.rows_M] for name, unit_N in levels.items()},
            SweepSettings(
                seed=self.seed,
                hold_out=chosen.hold_out,
                n_splits=chosen.n_splits,
                n_shuffles=chosen.n_shuffles,
                n_control_tasks=chosen.n_control_tasks,
                n_boot=chosen.n_boot,
                mlp=chosen.mlp,
            ),
            types=types,
            baselines=_baselines(acts, untrained, prompts, loaded),
        ).rename(columns={"auroc": "estimate"})
        where = pd.DataFrame(
            [
                {"site": cell[0].kind, "layer": layer_of(cell[0]), "position": cell[1]}
                for cell in table["cell"][:-1]
            ]
        )
        cells = pd.concat([where, table.iloc[:-1]], axis=1).reindex(columns=[*where, *COLUMNS])
        last = ["estimate", "lo", "hi", "p_adjusted", "certified", "n", "n_true"]
        name = {"target": target.name}
        return {
            "probes": keyed(cells, name),
            "probes_selected": keyed(table.iloc[[-1]][last].reset_index(drop=True), name),
        }


def _baselines(
    acts: Readings, untrained: Readings | None, prompts: PromptSet, loaded: LoadedModel
) -> Mapping[str, Baseline[Cell]]:
    """Length, words, the token alone, and the model before training."""
    from interp.activations import Site
    from interp.probes import Baseline, surface_features
    from interp.prompts import encode, render

    rows = acts.rows_M
    surface = surface_features(encode(render(prompts, loaded.tokenizer), loaded.tokenizer))
    found = {
        name: Baseline({"all": surface[feature][rows]}, lambda _: "all")
        for name, feature in (("length", "length"), ("tokens", "bag_of_tokens"))
    }
    embedding = Site("resid_pre", 0)
    at = {position: (embedding, position) for _, position in acts.cells}
    present = [cell for cell in at.values() if cell in acts.cells]
    if present:
        found["embedding"] = Baseline(acts.at(rows, present), lambda cell: at[cell[1]])
    if untrained is not None:
        found["random"] = Baseline(untrained.at(rows, acts.cells), lambda cell: cell)
    return found
