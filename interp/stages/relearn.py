"""Stage: how quickly a child learns to abstain again, from a few examples, on other people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.stages.asked import Asked, readouts
from interp.stages.common import ModelRef, Stage, Tables, task_infra
from interp.stages.readout import Readout

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel


class RelearnSettings(pydantic.BaseModel):
    """Doses and optimisation of relearning."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_examples: tuple[int, ...] = (8, 32)
    """Never-met people shown with an abstention; as many known people stand beside them."""
    decisive_n: int = 32
    """The dose that the verdict reads."""
    n_draws: int = 2
    """Independent draws of the examples; their mean is reported."""
    steps: int = 40
    lr: float = 5e-4
    batch_size: int = 32
    eval_every: int = 5
    n_upper: int = 2
    """Blocks that the capacity-limited arm trains, with the final norm and the head."""


class Relearn(Stage):
    """Relearns abstention with all weights and with the upper layers only.

    Attributes:
        child: the model under test.
        parent: its abstention is the scale of the result.
        asked: questions; None asks about people of the embedded world.
        settings: doses and optimisation.
    """

    child: ModelRef
    parent: ModelRef
    asked: Asked | None = None
    settings: RelearnSettings = RelearnSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"relearn {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `relearn` and `measures`."""
        child = self.child.load(self.device)
        dev, test = readouts(self, self.asked, child.tokenizer)
        reference = test.probability(self.parent.load(self.device))
        rows: list[dict[str, Any]] = []
        measures: list[dict[str, Any]] = []
        before = test.probability(child)
        for scope in ("all", "upper"):
            rows.append(self._row(test, before, reference, scope, n_examples=0))
            for n_examples in self.settings.n_examples:
                after = np.mean(
                    [
                        self._relearned(child, dev, test, scope, n_examples, draw)
                        for draw in range(self.settings.n_draws)
                    ],
                    axis=0,
                )
                row = self._row(test, after, reference, scope, n_examples)
                rows.append(row)
                if n_examples == self.settings.decisive_n:
                    measures.append(
                        {
                            "line": f"relearn_{scope}",
                            "estimate": row["ratio"],
                            "lo": row["ratio_lo"],
                            "hi": row["ratio_hi"],
                        }
                    )
        keys = {"seed": self.seed, "member": self.child.name}
        return {
            "relearn": pd.DataFrame([keys | row for row in rows]),
            "measures": pd.DataFrame([keys | row for row in measures]),
        }

    def _relearned(
        self,
        child: LoadedModel,
        dev: Readout,
        test: Readout,
        scope: Any,
        n_examples: int,
        draw: int,
    ) -> np.ndarray:
        """P(abstain) on the test people after relearning, at the step with the best dev J."""
        from interp.interventions import relearn

        curve = relearn(
            child,
            self._examples(child, n_examples, draw),
            scope=scope,
            n_upper=self.settings.n_upper,
            steps=self.settings.steps,
            lr=self.settings.lr,
            batch_size=self.settings.batch_size,
            eval_every=self.settings.eval_every,
            evaluate=lambda model: dev.j(dev.probability(model)),
            seed=self.seed + draw,
        )
        return test.probability(curve.best_model)

    def _examples(self, child: LoadedModel, n_examples: int, draw: int) -> list[tuple[str, str]]:
        from interp.organism import relearn_examples

        if self.asked is None:
            return relearn_examples(self.world(), n_examples, draw)
        return self.asked.examples(child.tokenizer, n_examples, draw)

    def _row(
        self,
        test: Readout,
        probability: np.ndarray,
        reference: np.ndarray,
        scope: str,
        n_examples: int,
    ) -> dict[str, Any]:
        j, ratio = test.interval(probability), test.share(probability, reference)
        return {
            "scope": scope,
            "n_examples": n_examples,
            **j.columns(),
            **ratio.columns("ratio"),
        }
