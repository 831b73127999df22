"""Stage: which blocks training changed, and which of the changes carry the child's behaviour."""

from __future__ import annotations

import exca
import pandas as pd

from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.readout import organism_readouts


class Change(Stage):
    """Compares a child with its parent block by block: in weights, and by grafts.

    A large change of weights is no effect; what the changes of the lower blocks do is what the
    parent does once it stands on them.

    Attributes:
        child: the model under test.
        parent: gives the upper blocks of each graft.
    """

    child: ModelRef
    parent: ModelRef
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"compare the blocks of {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `layer_change` (relative weight differences) and `layer_grafts` (J by depth)."""
        from interp.checkpoints import weight_changes

        keys = {"seed": self.seed, "member": self.child.name, "parent": self.parent.name}
        tables = {
            "layer_change": weight_changes(self.parent.checkpoint(), self.child.checkpoint()),
            "layer_grafts": self._grafts(),
        }
        return {name: keyed(table, keys) for name, table in tables.items()}

    def _grafts(self) -> pd.DataFrame:
        """J of the child's lower blocks under the parent's upper ones, and its share of J."""
        from interp.interventions import graft

        child, parent = self.child.load(self.device), self.parent.load(self.device)
        _, test = organism_readouts(self.world(), parent.tokenizer)
        reference = test.probability(parent)
        rows = []
        for n_lower in range(child.n_layers + 1):
            probability = test.probability(graft(parent, child, n_lower, child_part="lower"))
            rows.append(
                {"n_lower": n_lower}
                | test.interval(probability).columns()
                | test.ratio(probability, reference).columns("ratio")
            )
        return pd.DataFrame(rows)
