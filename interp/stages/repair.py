"""Stage: how much abstention a child can be given back without training, and at what cost."""

from __future__ import annotations

import exca
import pandas as pd
import pydantic

from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra

METHODS = (
    "steering",
    "bounded",
    "rule",
    "probe",
    "probe_steering",
    "own_probe",
    "graft",
    "random",
    "shuffled",
)
"""As the table names them; the last two are nulls."""


class RepairSettings(pydantic.BaseModel):
    """Strengths of each method, from the gentlest, and the price that is allowed on dev."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_cost: float = pydantic.Field(default=0.05, ge=0)
    """Most expected accuracy on known people that a strength chosen on dev may cost there."""
    alphas: tuple[float, ...] = (0.125, 0.25, 0.375, 0.5, 1.0, 2.0)
    """Of steering, in units of the norm of the parent's mean difference."""
    budgets: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
    """Of bounded steering: most KL of the next token on known people, in nats."""
    n_neutral: int = pydantic.Field(default=64, ge=1)
    """Known people that the bound is worked out on."""
    nats: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    """Of the rule: what is added to the logit of the abstaining phrase's first token."""
    shares: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)
    """Of the probes' gates: known people of dev on whom they fire."""
    firing_nats: float = 20.0
    """The rule's strength where a gate fires."""
    n_splits: int = pydantic.Field(default=5, ge=2)
    """Folds by person for the probes' scores on dev."""
    n_null: int = pydantic.Field(default=5, ge=1)
    """Random directions, and probes of shuffled labels; the best of them on dev is reported."""


class Repair(Stage):
    """Gives a child abstention back at run time, in several ways and at many strengths.

    Attributes:
        child: the model that is repaired.
        parent: gives directions, probes and upper blocks, and is the scale of what came back.
        settings: strengths and the allowed price.
    """

    child: ModelRef
    parent: ModelRef
    settings: RepairSettings = RepairSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"repair {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `repairs`: one row a strength of each method, and one each of child and parent.

        Columns method (`METHODS`, "none" or "parent"), strength, layer, chosen (of the method's
        strengths the one chosen on dev), allowed (its cost on dev is small enough; where no
        strength's is, the gentlest is chosen), and with limits restored (share of the abstention on
        unknown people that the child lost; NaN where it lost less than .05), cost (expected
        accuracy on known people before minus after), known_abstention, unknown_abstention and
        accuracy. Of a method with several layers or draws, the one chosen on dev is reported.
        """
        from interp.organism import ABSTAINING_PHRASES
        from interp.stages.readout import organism_readouts
        from interp.stages.repair_arms import Arms
        from interp.stages.repairing import Outcomes
        from interp.stages.reply_rates import Replies

        child, parent = self.child.load(self.device), self.parent.load(self.device)
        dev, test = (
            Replies(readout, child.tokenizer, ABSTAINING_PHRASES)
            for readout in organism_readouts(self.world(), child.tokenizer)
        )
        arms = Arms(child, parent, dev, test, self.settings, self.world())
        of_parent = test.rates(parent)
        outcomes = Outcomes(test.readout, arms.before_test, of_parent, self.seed)
        rows = [outcomes.row("none", arms.before_test), outcomes.row("parent", of_parent)]
        for number, method in enumerate(METHODS):
            report(Progress(self.label(), number, len(METHODS)))
            rows += outcomes.rows(arms.chosen(method))
        keys = {"seed": self.seed, "member": self.child.name, "parent": self.parent.name}
        return {"repairs": keyed(pd.DataFrame(rows), keys)}
