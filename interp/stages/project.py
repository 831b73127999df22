"""Stage: how far each question's state reaches along the parent's direction, layer by layer."""

from __future__ import annotations

import exca
import pandas as pd

from interp.stages.asked import Asked
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra


class Project(Stage):
    """Projects a model's states at the end of the prompt on the parent's mean difference.

    Attributes:
        model: whose states.
        parent: whose direction, of each layer; a root's is its own.
        asked: the direction is taken on dev, and test is projected.
    """

    model: ModelRef
    parent: ModelRef
    asked: Asked
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"project {self.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `projections`: one row a question and layer.

        `projection` is 1 at the parent's mean over dev questions that call for abstention and 0 at
        that over the others.
        """
        from interp.activations import capture
        from interp.stages.dosing import end_states, mean_differences

        parent, model = self.parent.load(self.device), self.model.load(self.device)
        dev, _ = self.asked.readouts(parent.tokenizer, self.seed)
        before = end_states(parent, dev)
        directions = mean_differences(parent, dev, before)
        sites = [direction.site for direction in directions]
        if not sites:
            return {}
        prompts = self.asked.test.load()
        acts = capture(model, prompts, sites, ["last_prompt"])
        parts = []
        for site, direction in zip(sites, directions, strict=True):
            vector_D = direction.vector_D.double()
            answered_D = before.read(site, "last_prompt")[~dev.unknown_N].double().mean(0)
            states_ND = acts.read(site, "last_prompt").double()
            along_N = (states_ND - answered_D) @ vector_D / direction.norm
            parts.append(
                pd.DataFrame(
                    {
                        "prompt_id": prompts.frame["prompt_id"],
                        "layer": site.layer,
                        "position": "last_prompt",
                        "projection": along_N.numpy(),
                    }
                )
            )
        keys = {"seed": self.seed, "member": self.model.name}
        return {"projections": keyed(pd.concat(parts, ignore_index=True), keys)}
