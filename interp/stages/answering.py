"""Stage: what a model says to questions put in one way, graded, scored and calibrated."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import exca
import pandas as pd
import pydantic

from interp import configs
from interp.behavior.generating.decoding import Decoding
from interp.behavior.generating.elicitation import Elicitation
from interp.behavior.grading.lexicons import FOLDER as LEXICONS
from interp.behavior.scores.continuations import FOLDER as CONTINUATIONS
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
        decoding: how replies are drawn; stop strings are added to those of the elicitation, and a
            chain of thought is watched for only where the elicitation thinks.
        numbers: where a right number stands in a reply: "last" or "anywhere".
        lexicon: phrases that replies are graded by: a packaged language or a YAML file.
        continuations: what abstaining and answering begin like: a packaged language or a YAML
            file; None leaves the scores out.
        levels: units of intervals, from the top, each within the one before: of "scenario",
            "dataset" and "pair".
        n_boot: resamples of every interval.
        token_budget: most tokens in a batch, padding and replies included.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    # What stands in these files decides, not where they stand: `Answering.phrases`.
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("lexicon", "continuations")

    decoding: Decoding = Decoding()
    numbers: Literal["last", "anywhere"] = "last"
    lexicon: str = "en"
    continuations: str | None = "en"
    levels: tuple[str, ...] = pydantic.Field(default=("pair",), min_length=1)
    n_boot: int = pydantic.Field(default=1000, ge=100)
    token_budget: int = pydantic.Field(default=8192, ge=1)

    @pydantic.field_validator("decoding")
    @classmethod
    def _one_seed(cls, decoding: Decoding) -> Decoding:
        if "seed" in decoding.model_fields_set:
            raise ValueError("the seed is that of the run; leave it out here")
        return decoding

    def found_from(self, home: Path) -> AnsweringSettings:
        """The settings with the files of phrases that stand in a folder."""
        files = {
            name: str(home / given)
            for name in ("lexicon", "continuations")
            if (given := getattr(self, name)) is not None and (home / given).is_file()
        }
        return self.model_copy(update=files)

    def phrases_hash(self) -> str:
        """SHA-256 (hex) of what the phrases are, wherever they stand."""
        digest = hashlib.sha256()
        for given, folder in ((self.lexicon, LEXICONS), (self.continuations, CONTINUATIONS)):
            if given is not None:
                digest.update(configs.locate(given, folder).read_bytes())
        return digest.hexdigest()


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
    infra: exca.TaskInfra = task_infra("2")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"ask {self.model.name}, {self.elicitation.label}"

    @infra.apply
    def run(self) -> Tables:
        """Tables `items` (a row a reply), `kinds`, `abstention` and `detection`.

        Where right answers are known and there is one greedy reply a question, also `calibration`,
        `reliability` and `risk_coverage`; where there are several replies, `majority`.
        """
        from interp.behavior import (
            Lexicon,
            collect,
            elicit,
            grade_replies,
            kinds_table,
            reply_frame,
        )
        from interp.prompts import levels_of

        asked = self.prompts.load()
        examples = self.examples.load() if self.examples else None
        prompts = elicit(asked, self.elicitation, examples)
        levels = levels_of(asked, self.settings.levels)
        loaded = self.model.load(self.device)
        decoding = self._decoding()
        collected = collect(
            loaded,
            prompts,
            decoding,
            cache_root() / "replies",
            token_budget=self.settings.token_budget,
            task=self.label(),
        )
        lexicon = Lexicon.load(self.settings.lexicon)
        items = grade_replies(asked, reply_frame(collected), lexicon, numbers=self.settings.numbers)
        units = [f"unit_{name}" for name in levels]
        for unit, of_prompt in zip(units, levels.values(), strict=True):
            items[unit] = of_prompt.repeat(decoding.samples)
        # Where a chain comes first, an answer does not begin at the end of the prompt.
        if self.settings.continuations is not None and decoding.thinking is None:
            scores = self._scores(loaded, prompts)
            items = items.merge(scores, on="prompt_id", validate="many_to_one")
        how = {"units": units, "seed": self.seed, "n_boot": self.settings.n_boot}
        tables = {"items": items, "kinds": kinds_table(items, **how), **self._rates(items, how)}
        if decoding.samples == 1 and items["has_answer"].any():
            tokens = [list(reply.tokens) for reply in collected]
            tables |= self._calibration(loaded, prompts, items, tokens, how)
        keys = {
            "seed": self.seed, "member": self.model.name, "elicitation": self.elicitation.label,
        }  # fmt: skip
        return {name: keyed(table, keys) for name, table in tables.items() if len(table)}

    def _decoding(self) -> Decoding:
        """As set, with the run's seed and what this way of asking adds and rules out."""
        decoding, elicitation = self.settings.decoding, self.elicitation
        stops = tuple(dict.fromkeys((*decoding.stop, *elicitation.stop)))
        thinking = decoding.thinking if elicitation.thinks else None
        changes = {"stop": stops, "seed": self.seed, "thinking": thinking}
        return decoding.model_copy(update=changes)

    def _scores(self, loaded: LoadedModel, prompts: PromptSet) -> pd.DataFrame:
        from interp.behavior import continuation_scores, first_token_score, read_continuations

        continuations = read_continuations(str(self.settings.continuations))
        budget = self.settings.token_budget
        scores = continuation_scores(loaded, prompts, continuations, token_budget=budget).frame()
        first = first_token_score(loaded, prompts, continuations, token_budget=budget)
        return scores.assign(first_token_score=first)

    def _rates(self, items: pd.DataFrame, how: dict[str, Any]) -> Tables:
        """By dataset and over all: abstention as a decision, and what the scores tell apart."""
        names = [EVERYTHING, *dict.fromkeys(items["dataset"])]
        found: dict[str, list[pd.DataFrame]] = {}
        for name in names if len(names) > 2 else names[:1]:
            here = items if name == EVERYTHING else items[items["dataset"] == name]
            for table, frame in _rates_of(here, how).items():
                found.setdefault(table, []).append(keyed(frame, {"dataset": name}))
        return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}

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
        if not answered["has_answer"].any():
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
OF_DECIDING = ("recall", "over_abstention", "precision", "f1")
"""Measures that ask whether a reply abstains, and not whether its answer is right."""


def _rates_of(items: pd.DataFrame, how: dict[str, Any]) -> Tables:
    """Tables `abstention`, `detection` and `majority`, where there is anything to say."""
    from interp.behavior import abstention_table, score_table

    found: Tables = {}
    # Any answer decides against abstaining, also one that nobody can grade.
    decided = items[items["kind"].isin(["answer", "abstain", "clarify", "false_premise"])]
    decided = decided.assign(mode=EVERYTHING, outcome=decided["outcome"].fillna("wrong"))
    graded = decided[decided["has_answer"] | decided["should_abstain"]]
    parts = []
    for rows, deciding in ((decided, True), (graded, False)):
        if len(rows):
            table = abstention_table(rows, **how).drop(columns="mode")
            parts.append(table[table["measure"].isin(OF_DECIDING) == deciding])
    if parts:
        found["abstention"] = pd.concat(parts, ignore_index=True)
    scores = [name for name in SCORES if name in items]
    both = items["should_abstain"].nunique() == 2 == decided["should_abstain"].nunique()
    if both and scores:
        # A score is of the question: it needs no reply.
        of_replies = score_table(decided, [], **how)
        of_questions = score_table(items.drop_duplicates("prompt_id"), scores, **how)
        found["detection"] = pd.concat(
            [of_replies, of_questions[of_questions["measure"] == "auroc"]], ignore_index=True
        )
    if len(votes := _votes(graded)):
        found["majority"] = _votes_table(votes, how)
    return found


def _votes(graded: pd.DataFrame) -> pd.DataFrame:
    """Replies of questions with several, and what each votes for.

    All right answers are one vote, however they are worded, and all abstentions; wrong ones are one
    where they say the same.
    """
    n_each = graded.groupby("prompt_id")["sample"].transform("size")
    wrong = "wrong: " + graded["answer"].str.casefold().str.split().str.join(" ")
    return graded.assign(
        group=graded["should_abstain"].map({True: "unanswerable", False: "answerable"}),
        vote=graded["outcome"].where(graded["outcome"] != "wrong", wrong),
    )[n_each > 1]


def _votes_table(votes: pd.DataFrame, how: dict[str, Any]) -> pd.DataFrame:
    """Majority@k, with k 1 and as many as at least nine of ten questions have graded replies."""
    from interp.behavior import majority_table

    n_each = votes.groupby("prompt_id")["sample"].transform("size")
    most = int(votes.groupby("prompt_id").size().quantile(0.1, "lower"))
    ks = sorted({1, max(2, most)})
    return majority_table(votes[n_each >= ks[-1]], ks=ks, **how).drop(columns="mode")
