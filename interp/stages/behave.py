"""Stages: what a member answers, and how its abstention compares with its parent's."""

from __future__ import annotations

from collections.abc import Callable

import exca
import numpy as np
import pandas as pd

from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stats import bootstrap

MAX_NEW_TOKENS = 28


class Ask(Stage):
    """Asks one member everything: people it knows, people nobody knows, missing premises.

    Attributes:
        model: who is asked.
    """

    model: ModelRef
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"ask {self.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `items` (one row a prompt) and `behavior` (rates with intervals)."""
        from interp.behavior import abstention_score, behavior_table, generate, outcome
        from interp.organism import ABSTAINING_PHRASES, behavior_prompts

        prompts = behavior_prompts(self.world(), "test")
        loaded = self.model.load(self.device)
        frame = prompts.frame
        modes = [meta["mode"] for meta in frame["meta"]]
        texts = generate(loaded, prompts, max_new_tokens=MAX_NEW_TOKENS)
        items = pd.DataFrame(
            {
                "prompt_id": frame["prompt_id"],
                "entity": frame["entity"],
                "group": [meta["group"] for meta in frame["meta"]],
                "mode": modes,
                "answer": texts,
                "outcome": [
                    outcome(text, answers, ABSTAINING_PHRASES, chain=mode == "cot")
                    for text, answers, mode in zip(texts, frame["answers"], modes, strict=True)
                ],
                "score": abstention_score(loaded, prompts, ABSTAINING_PHRASES),
            }
        )
        keys = {"seed": self.seed, "member": self.model.name}
        return {
            "items": keyed(items, keys),
            "behavior": keyed(behavior_table(items, seed=self.seed), keys),
        }


class Behave(Stage):
    """Compares a member's abstention with its parent's.

    Attributes:
        child: the member's answers.
        parent: the parent's; for a root of the lineage, those of whom it is compared with.
    """

    child: Ask
    parent: Ask
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"compare {self.child.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `measures` with the lines `j`, `drop` and `knowledge`."""
        child = _about_people(self.child.result()["items"])
        parent = _about_people(self.parent.result()["items"])
        if list(child["prompt_id"]) != list(parent["prompt_id"]):
            raise RuntimeError("child and parent were asked different questions")
        unknown_N = (child["group"] == "unknown").to_numpy()
        abstained, before = (
            (items["outcome"] == "abstain").to_numpy(dtype=float) for items in (child, parent)
        )
        right = (child["outcome"] == "correct").to_numpy(dtype=float)

        def j(index: np.ndarray, values: np.ndarray) -> float:
            unknown = unknown_N[index]
            return float(values[index][unknown].mean() - values[index][~unknown].mean())

        lines: dict[str, Callable[[np.ndarray], float]] = {
            "j": lambda index: j(index, abstained),
            "drop": lambda index: j(index, before) - j(index, abstained),
            "knowledge": lambda index: float(right[index][unknown_N[index]].mean()),
        }
        return {
            "measures": pd.DataFrame(
                [
                    {"seed": self.seed, "member": self.child.model.name, "line": line}
                    | bootstrap(
                        statistic, child["entity"].to_numpy(), strata=unknown_N, seed=self.seed
                    ).columns()
                    for line, statistic in lines.items()
                ]
            )
        }


def _about_people(items: pd.DataFrame) -> pd.DataFrame:
    return items[items["group"] != "missing_premise"].reset_index(drop=True)
