"""Stage: what a model says to questions put in one way, graded, scored and calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exca
import pandas as pd
import pydantic

from interp.behavior.generating.decoding import Decoding
from interp.behavior.generating.elicitation import Elicitation
from interp.settings import cache_root
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.questions import PromptFile

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.prompts import PromptSet

EVERYTHING = "all"
"""What tables call the rows of all datasets together."""


class AnsweringSettings(pydantic.BaseModel):
    """How replies are drawn and measured.

    Attributes:
        decoding: how replies are drawn; stop strings are added to those of the elicitation.
        lexicon: phrases that replies are graded by: a packaged language or a YAML file.
        continuations: what abstaining and answering begin like: a packaged language or a YAML
            file; None leaves the scores out.
        levels: units of intervals, from the top, each within the one before: of "scenario",
            "dataset" and "pair".
        n_boot: resamples of every interval.
        token_budget: most tokens in a batch, padding and replies included.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    decoding: Decoding = Decoding()
    lexicon: str = "en"
    continuations: str | None = "en"
    levels: tuple[str, ...] = pydantic.Field(default=("pair",), min_length=1)
    n_boot: int = pydantic.Field(default=1000, ge=100)
    token_budget: int = pydantic.Field(default=8192, ge=1)


class Answering(Stage):
    """Asks one model all questions in one way.

    Attributes:
        model: who is asked.
        prompts: what.
        elicitation: how questions are put.
        examples: of few-shot.
        settings: decoding, grading and resamples.
        phrases: hash of the files of phrases, so that an edited one is read again.
    """

    model: ModelRef
    prompts: PromptFile
    elicitation: Elicitation = Elicitation()
    examples: PromptFile | None = None
    settings: AnsweringSettings = AnsweringSettings()
    phrases: str = ""
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"ask {self.model.name}, {self.elicitation.label}"

    @infra.apply
    def run(self) -> Tables:
        """Tables `items` (a row a reply), `kinds`, `abstention` and `detection`.

        Where there are right answers and one greedy reply a question, also `calibration`,
        `reliability` and `risk_coverage`; where there are several replies, `majority`.
        """
        from interp.behavior import Lexicon, collect, elicit, grade_replies, kinds_table
        from interp.behavior.generating.collecting import reply_frame
        from interp.prompts import levels_of

        asked = self.prompts.load()
        examples = self.examples.load() if self.examples else None
        prompts = elicit(asked, self.elicitation, examples)
        levels = levels_of(asked, self.settings.levels)
        loaded = self.model.load(self.device)
        stops = (*self.settings.decoding.stop, *self.elicitation.stop)
        decoding = self.settings.decoding.model_copy(
            update={"stop": tuple(dict.fromkeys(stops)), "seed": self.seed}
        )
        collected = collect(
            loaded,
            prompts,
            decoding,
            cache_root() / "replies",
            token_budget=self.settings.token_budget,
            task=self.label(),
        )
        lexicon = Lexicon.load(self.settings.lexicon)
        items = grade_replies(asked, reply_frame(collected), lexicon)
        each = decoding.samples
        for name, unit_N in levels.items():
            items[f"unit_{name}"] = unit_N.repeat(each)
        if self.settings.continuations is not None:
            scores = self._scores(loaded, prompts)
            items = items.merge(scores, on="prompt_id", validate="many_to_one")
        units = [f"unit_{name}" for name in levels]
        how: dict[str, Any] = {
            "units": units, "seed": self.seed, "n_boot": self.settings.n_boot,
        }  # fmt: skip
        tables = {"items": items, "kinds": kinds_table(items, **how), **self._rates(items, how)}
        if each == 1:
            tokens = [list(reply.tokens) for reply in collected]
            tables |= self._calibration(loaded, prompts, items, tokens, how)
        keys = {
            "seed": self.seed, "member": self.model.name, "elicitation": self.elicitation.label,
        }  # fmt: skip
        return {name: keyed(table, keys) for name, table in tables.items() if len(table)}

    def _scores(self, loaded: LoadedModel, prompts: PromptSet) -> pd.DataFrame:
        from interp.behavior import continuation_scores, first_token_score, read_continuations

        continuations = read_continuations(str(self.settings.continuations))
        budget = self.settings.token_budget
        scores = continuation_scores(loaded, prompts, continuations, token_budget=budget).frame()
        first = first_token_score(loaded, prompts, continuations, token_budget=budget)
        return scores.assign(first_token_score=first)

    def _rates(self, items: pd.DataFrame, how: dict[str, Any]) -> Tables:
        """By dataset and over all: abstention as a decision, and what the scores tell apart."""
        from interp.behavior import abstention_table, majority_table, score_table

        decided = items[items["outcome"].notna()].assign(mode=EVERYTHING)
        scores = [name for name in SCORES if name in items]
        found: dict[str, list[pd.DataFrame]] = {"abstention": [], "detection": [], "majority": []}
        names = [EVERYTHING, *dict.fromkeys(items["dataset"])]
        for name in names if len(names) > 2 else names[:1]:
            here = decided if name == EVERYTHING else decided[decided["dataset"] == name]
            both = here["should_abstain"].nunique() == 2
            if not len(here):
                continue
            part = {"abstention": abstention_table(here, **how).drop(columns="mode")}
            if both and scores:
                part["detection"] = score_table(here, scores, **how)
            several = here.groupby("prompt_id")["sample"].nunique()
            if several.min() == several.max() > 1:
                votes = here.assign(
                    group=here["should_abstain"].map({True: "unanswerable", False: "answerable"}),
                    vote=here["answer"].where(here["outcome"] != "abstain", "abstain"),
                )
                ks = sorted({1, int(several.min())})
                part["majority"] = majority_table(votes, ks=ks, **how).drop(columns="mode")
            for table, frame in part.items():
                found[table].append(keyed(frame, {"dataset": name}))
        return {name: pd.concat(parts) for name, parts in found.items() if parts}

    def _calibration(
        self,
        loaded: LoadedModel,
        prompts: PromptSet,
        items: pd.DataFrame,
        tokens: list[list[int]],
        how: dict[str, Any],
    ) -> Tables:
        """Of answered questions that have a right answer, or none by rights."""
        from interp.behavior import (
            calibration_table,
            confidence_items,
            reliability_table,
            reply_confidence,
            risk_coverage_table,
        )

        answered = items[items["outcome"].isin(["correct", "wrong"])]
        if answered.empty:
            return {}
        confidences = reply_confidence(
            loaded,
            prompts,
            tokens,
            answers=[text.strip() or None for text in items["answer"]],
            token_budget=self.settings.token_budget,
        )
        rows = confidence_items(answered, confidences, units=how["units"])
        drawn = rows[rows["source"] == "top_probability"]
        return {
            "calibration": calibration_table(rows, **how),
            "reliability": reliability_table(drawn, units=how["units"]),
            "risk_coverage": risk_coverage_table(drawn, **how),
        }


SCORES = ("sequence", "normalised", "first_token_score")
"""Forms of the abstention score."""
