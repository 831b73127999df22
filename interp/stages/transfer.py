"""Stage: whether a child still holds what its parent's probes read, and in the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exca
import pandas as pd

from interp.errors import InputError
from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.pairing import (
    Pair,
    TransferSettings,
    control_scores,
    preserved,
    transferred,
)
from interp.stages.questions import Questions
from interp.stages.reading import Cell, Cells, Readings, layer_of
from interp.stats import auroc

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.probes import Alignment
    from interp.prompts import Target

LINE_OF_POSITION = {"entity_last": "transfer", "last_prompt": "transfer_last"}
"""The line of evidence that a position's retention is; the name is where it is decisive."""


class Transfer(Stage):
    """Reads a child with its parent's probes, and compares what each holds by itself.

    Attributes:
        child: the model under test.
        parent: whose probes are carried over.
        prompts: what is reported.
        dev: where the layer of each position is chosen, in the parent; None chooses none.
        neutral: prompts to align the two models on; None leaves alignment out.
        column: of the prompts.
        cells: where to read.
        settings: folds, nulls and margins.
    """

    child: ModelRef
    parent: ModelRef
    prompts: Questions
    dev: Questions | None = None
    neutral: Questions | None = None
    column: str = "should_abstain"
    cells: Cells = Cells()
    settings: TransferSettings = TransferSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        what = "" if self.column == "should_abstain" else f" of {self.column}"
        return f"transfer to {self.child.name}{what} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `transfer`, `preservation` and, with `dev`, `measures`."""
        from interp.probes import random_init, surface_features
        from interp.prompts import encode, render, targets_of

        prompts = self.prompts.load()
        child, parent = self.child.load(self.device), self.parent.load(self.device)
        of_parent = self.cells.read(parent, prompts)
        of_child = self.cells.read(child, prompts, of_parent)
        at_step_0 = random_init(parent.checkpoint, self.seed).load(self.device)
        untrained = self.cells.read(at_step_0, prompts, of_parent)
        surface = surface_features(encode(render(prompts, parent.tokenizer), parent.tokenizer))
        aligned = self._alignments(parent, child, of_parent)
        tables: dict[str, list[pd.DataFrame]] = {}
        for target in targets_of(prompts, [self.column]):
            pair = Pair.of(target, prompts, of_parent, of_child, self.settings, self.seed)
            chosen = self._chosen(parent, of_parent, target.name)
            controls = control_scores(pair, surface, untrained)
            for number, cell in enumerate(of_parent.cells):
                report(Progress(self.label(), number, len(of_parent.cells)))
                where = self._where(target, cell, chosen)
                for name, part in (
                    ("transfer", transferred(pair, cell, aligned)),
                    ("preservation", preserved(pair, cell, controls[cell])),
                ):
                    tables.setdefault(name, []).append(keyed(part, where))
            if chosen:
                tables.setdefault("measures", []).append(_measures(pair, chosen))
        keys = {"seed": self.seed, "member": self.child.name}
        return {
            name: keyed(pd.concat(parts, ignore_index=True), keys) for name, parts in tables.items()
        }

    def _alignments(
        self, parent: LoadedModel, child: LoadedModel, of_parent: Readings
    ) -> dict[tuple[str, Cell], Alignment]:
        """Maps from the child to the parent where neutral prompts differ, by kind and cell."""
        from interp.probes import align

        if self.neutral is None:
            return {}
        prompts = self.neutral.load()
        parents = self.cells.read(parent, prompts)
        children = self.cells.read(child, prompts, parents)
        ids = prompts.frame["prompt_id"].tolist()
        return {
            (kind, cell): align(parents[cell], children[cell], kind=kind, neutral_ids=ids)
            for cell in parents.cells
            if cell in of_parent.cells
            for kind in ("orthogonal", "affine")
        }

    def _chosen(self, parent: LoadedModel, of_parent: Readings, target: str) -> dict[str, Cell]:
        """The cell of each position that reads best in the parent, on dev."""
        from interp.probes import grouped_folds, out_of_fold_scores
        from interp.prompts import targets_of

        if self.dev is None:
            return {}
        prompts = self.dev.load()
        found = {one.name: one for one in targets_of(prompts, [self.column])}
        if target not in found:
            raise InputError(f"transfer: the dev prompts have no target '{target}'")
        rows_M, label_M = found[target].rows_M, found[target].labels_M
        folds = grouped_folds(prompts.groups[rows_M], label_M, self.settings.n_splits, self.seed)
        acts = self.cells.read(parent, prompts, of_parent).at(rows_M)
        read = {
            cell: auroc(out_of_fold_scores(acts[cell], label_M, folds), label_M)
            for cell in of_parent.cells
        }
        return {
            position: max((cell for cell in read if cell[1] == position), key=read.__getitem__)
            for position in dict.fromkeys(position for _, position in read)
        }

    def _where(self, target: Target, cell: Cell, chosen: dict[str, Cell]) -> dict[str, object]:
        site, position = cell
        return {
            "parent": self.parent.name,
            "target": target.name,
            "site": site.kind,
            "layer": layer_of(site),
            "position": position,
            "selected": chosen.get(position) == cell,
        }


def _measures(pair: Pair, chosen: dict[str, Cell]) -> pd.DataFrame:
    """Lines of evidence at the layer chosen on dev: zero-shot, nonlinear and refitted."""
    from interp.probes import out_of_fold_scores, transfer_scores

    lines = {
        line: transfer_scores(*pair.acts(chosen[position]), pair.label_M, pair.folds)
        for position, line in LINE_OF_POSITION.items()
        if position in chosen
    }
    if "entity_last" in chosen:
        both = pair.acts(chosen["entity_last"])
        for line, kind in (("refit", "linear"), ("nonlinear", "mlp")):
            lines[line] = tuple(
                out_of_fold_scores(acts, pair.label_M, pair.folds, kind=kind) for acts in both
            )
    return pd.DataFrame(
        [{"line": line, **pair.retained(*scores).columns()} for line, scores in lines.items()]
    )
