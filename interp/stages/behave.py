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
        child, parent = (_about_people(one.result()["items"]) for one in (self.child, self.parent))
        if list(child["prompt_id"]) != list(parent["prompt_id"]):
            raise RuntimeError("child and parent were asked different questions")
        unknown_N = (child["group"] == "unknown").to_numpy()
        abstained, before = (
            (items["outcome"] == "abstain").to_numpy(dtype=float) for items in (child, parent)
        )
        right = (child["outcome"] == "correct").to_numpy(dtype=float)
        unit_N = child["entity"].to_numpy()
        keys = {"seed": self.seed, "member": self.child.model.name}
        lines = behaviour_lines(abstained, before, right, unknown_N, unit_N, seed=self.seed)
        return {"measures": keyed(lines, keys)}


def behaviour_lines(
    abstained_N: np.ndarray,
    before_N: np.ndarray,
    right_N: np.ndarray | None,
    unknown_N: np.ndarray,
    unit_N: np.ndarray,
    *,
    seed: int,
) -> pd.DataFrame:
    """What replies alone say of a child beside its parent.

    Args:
        abstained_N: whether the child abstains, 0 or 1.
        before_N: whether the parent does, on the same questions.
        right_N: whether the child's reply is right; None where nobody knows.
        unknown_N: whether a question calls for abstention.
        unit_N: what is resampled.
        seed: of the bootstrap.

    Returns:
        Columns line, estimate, lo, hi: `j`, abstention where it is due minus where it is not;
        `drop`, the parent's less the child's; `knowledge`, right replies where abstention was due.
    """

    def j(index: np.ndarray, values: np.ndarray) -> float:
        unknown = unknown_N[index]
        return float(values[index][unknown].mean() - values[index][~unknown].mean())

    lines: dict[str, Callable[[np.ndarray], float]] = {
        "j": lambda index: j(index, abstained_N),
        "drop": lambda index: j(index, before_N) - j(index, abstained_N),
    }
    if right_N is not None:
        lines["knowledge"] = lambda index: float(right_N[index][unknown_N[index]].mean())
    return pd.DataFrame(
        [
            {"line": line} | bootstrap(statistic, unit_N, strata=unknown_N, seed=seed).columns()
            for line, statistic in lines.items()
        ]
    )


def _about_people(items: pd.DataFrame) -> pd.DataFrame:
    return items[items["group"] != "missing_premise"].reset_index(drop=True)
