"""Stage: how well a member knows what it knows, and how its leaning differs from its parent's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.stages.behave import MAX_NEW_TOKENS, Ask
from interp.stages.common import Stage, Tables, keyed, task_infra
from interp.stages.reading import Cells

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.prompts import PromptSet

MODES = {"direct": "direct answer", "cot": "chain of thought"}
DRAWN = ("top_probability",)
"""Of the answer span's confidences, whose diagrams are drawn; tables have all of them."""
P_IK = "P(IK)"
STATED = "stated"
"""The source of a confidence that stands in the reply itself."""


class ConfidenceSettings(pydantic.BaseModel):
    """How confidence is measured.

    Attributes:
        samples: replies a prompt that vote; 0 leaves the votes out, which take most of the time.
        temperature: of these.
        n_splits: outer folds of the P(IK) probe.
        n_boot: resamples of every interval.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    samples: int = pydantic.Field(default=0, ge=0)
    temperature: float = pydantic.Field(default=1.0, gt=0)
    n_splits: int = pydantic.Field(default=5, ge=2)
    n_boot: int = pydantic.Field(default=1000, ge=100)


class Confidence(Stage):
    """Abstention as a decision, calibration of answers, votes, and the signal beside the parent's.

    Attributes:
        child: the member's answers.
        parent: the parent's; for a root of the lineage, those of whom it is compared with.
        settings: samples, folds and resamples.
    """

    child: Ask
    parent: Ask
    settings: ConfidenceSettings = ConfidenceSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"confidence of {self.child.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `abstention`, `calibration`, `reliability`, `risk_coverage`, `signal`, `majority`.

        A root has no `signal`: it has no parent to differ from. There is a `majority` where there
        are samples.
        """
        from interp.behavior import abstention_table, signal_table
        from interp.organism import behavior_prompts

        prompts = behavior_prompts(self.world(), "test")
        items = self.child.result()["items"]
        if prompts.frame["prompt_id"].tolist() != items["prompt_id"].tolist():
            raise RuntimeError("the member was asked other questions than the world has")
        loaded = self.child.model.load(self.device)
        due_N = items["group"] != "known"
        # Where abstention is due no answer is the right thing to say, also not a lucky guess.
        decided = items.assign(
            should_abstain=due_N,
            outcome=items["outcome"].where(~due_N | (items["outcome"] != "correct"), "wrong"),
        )
        how = {"seed": self.seed, "n_boot": self.settings.n_boot}
        tables = {
            "abstention": abstention_table(decided, units=("entity",), **how),
            **({"majority": self._votes(loaded, prompts, items)} if self.settings.samples else {}),
            **self._calibration(loaded, prompts, items),
        }
        if self.child.model.fingerprint != self.parent.model.fingerprint:
            tables["signal"] = signal_table(items, self.parent.result()["items"], **how)
        keys = {"seed": self.seed, "member": self.child.model.name}
        return {name: keyed(table, keys) for name, table in tables.items()}

    def _votes(self, loaded: LoadedModel, prompts: PromptSet, items: pd.DataFrame) -> pd.DataFrame:
        from interp.behavior import Decoding, majority_table, outcome, replies
        from interp.organism import ABSTAINING_PHRASES

        settings = self.settings
        decoding = Decoding(
            max_new_tokens=MAX_NEW_TOKENS,
            samples=settings.samples,
            temperature=settings.temperature,
            seed=self.seed,
        )
        answers = prompts.frame["answers"].tolist()
        places = items[["prompt_id", "entity", "group", "mode"]].to_dict("records")
        rows = []
        for _, of_batch, batch in replies(loaded, prompts, decoding):
            for row, reply in zip(of_batch, batch, strict=True):
                asked = places[row]
                chain = asked["mode"] == "cot"
                said = outcome(reply.text, answers[row], ABSTAINING_PHRASES, chain=chain)
                vote = f"wrong: {_final(reply.text, asked['mode'])}" if said == "wrong" else said
                rows.append((row, reply.sample, asked | {"vote": vote, "outcome": said}))
        samples = pd.DataFrame([fields for *_, fields in sorted(rows, key=lambda r: r[:2])])
        return majority_table(
            samples,
            units=("entity",),
            ks=tuple(sorted({1, min(3, settings.samples), settings.samples})),
            seed=self.seed,
            n_boot=settings.n_boot,
        )

    def _calibration(self, loaded: LoadedModel, prompts: PromptSet, items: pd.DataFrame) -> Tables:
        """Of answers about people, if there are any; a missing premise has no right answer.

        Right is what holds in the world: of people that nobody knows, a lucky guess.
        """
        from interp.behavior import (
            calibration_table,
            confidence_items,
            reliability_table,
            risk_coverage_table,
        )

        sure: list[pd.DataFrame] = []
        for mode, words in MODES.items():
            here_N = ((items["mode"] == mode) & (items["group"] != "missing_premise")).to_numpy()
            of_mode = items[here_N].reset_index(drop=True)
            if (of_mode["outcome"] == "abstain").all():
                continue
            asked = prompts.where(here_N)
            confidences, sources = self._confidences(loaded, asked, of_mode, mode)
            rows = confidence_items(of_mode, confidences, units=("entity",), sources=sources)
            if STATED in confidences:
                rows = pd.concat([rows, _stated_rows(of_mode, confidences)], ignore_index=True)
            named = rows["source"].replace("p_ik", P_IK).str.replace("_", " ")
            sure.append(rows.assign(source=words + ", " + named))
        if not sure:
            return {}
        all_sources = pd.concat(sure, ignore_index=True)
        spoken = tuple(", " + name.replace("_", " ") for name in DRAWN)
        drawn = all_sources[all_sources["source"].str.endswith((*spoken, ", " + P_IK))]
        how = {"seed": self.seed, "n_boot": self.settings.n_boot}
        units = ("entity",)
        return {
            "calibration": calibration_table(all_sources, units=units, **how),
            "reliability": reliability_table(
                drawn[drawn["source"].str.endswith(spoken)], units=units
            ),
            "risk_coverage": risk_coverage_table(drawn, units=units, **how),
        }

    def _confidences(
        self, loaded: LoadedModel, prompts: PromptSet, items: pd.DataFrame, mode: str
    ) -> tuple[pd.DataFrame, list[str]]:
        """Of the answer's tokens, of a P(IK) probe where there is enough to learn from, and stated.

        A confidence is stated by the members that were taught to; it is a column and no source.
        """
        from interp.behavior import ANSWER_MARKER, SOURCES, reply_confidence
        from interp.organism.rewards import stated_confidence
        from interp.probes import grouped_folds, layers_at, p_ik

        chain = mode == "cot"
        confidences = reply_confidence(
            loaded,
            prompts,
            items["answer"].tolist(),
            answers=[_final(text, mode) or None for text in items["answer"]],
            after=ANSWER_MARKER if chain else None,
        )
        stated_N = np.array([stated_confidence(text) for text in items["answer"]], dtype=float)
        if np.isfinite(stated_N).any():
            confidences = confidences.assign(stated=stated_N)
        correct_N = (items["outcome"] == "correct").to_numpy()
        fewest = min(int(correct_N.sum()), int((~correct_N).sum()))
        if fewest < 4 * self.settings.n_splits:
            return confidences, list(SOURCES)
        acts = Cells().read(loaded, prompts).acts
        folds = grouped_folds(items["entity"], correct_N, self.settings.n_splits, self.seed)
        knows = p_ik(layers_at(acts), correct_N, items["entity"].to_numpy(), folds, seed=self.seed)
        of_probe = knows.frame(items["prompt_id"].tolist())[["prompt_id", "p_ik"]]
        return confidences.merge(of_probe, on="prompt_id"), [*SOURCES, "p_ik"]


def _stated_rows(items: pd.DataFrame, confidences: pd.DataFrame) -> pd.DataFrame:
    """Of every reply that states a confidence: one that abstains is not right (RLCR)."""
    from interp.behavior import confidence_items

    said = items.assign(outcome=items["outcome"].replace("abstain", "wrong"))
    return confidence_items(said, confidences, units=("entity",), sources=[STATED])


def _final(text: str, mode: str) -> str:
    """The final answer: what follows a chain's last marker, or all of a direct reply.

    A confidence that is stated behind it is not part of it.
    """
    from interp.behavior import ANSWER_MARKER
    from interp.organism.rewards import without_confidence

    said = without_confidence(text)
    return (said.rpartition(ANSWER_MARKER)[2] if mode == "cot" else said).strip()
