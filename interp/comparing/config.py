"""A comparison as its YAML file states it."""

from __future__ import annotations

from typing import Literal

import pydantic

from interp.behavior.generating.elicitation import Elicitation
from interp.prompts.overlap import NGRAM
from interp.prompts.splits import SHARES
from interp.runs.config import RunConfig
from interp.stages.answering import AnsweringSettings
from interp.stages.intervene import InterventionSettings
from interp.stages.pairing import TransferSettings
from interp.stages.probe import ProbeSettings
from interp.stages.reading import Cells
from interp.stages.relearn import RelearnSettings

Gathered = Literal["behaviour", "probe", "transfer", "intervene", "relearn"]


class Splits(pydantic.BaseModel):
    """How questions are dealt to train, dev and test, where the file does not say.

    Attributes:
        shares: of the rows; few-shot examples and relearning draw on "train", layers and strengths
            are chosen on "dev", and "test" is reported.
        disjoint, n, common: what no two splits may share, as for `interp.prompts.split`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    shares: dict[str, float] = dict(SHARES)
    disjoint: Literal["ngram", "exact", "pair"] = "ngram"
    n: int = pydantic.Field(default=NGRAM, ge=1)
    common: int | None = None

    @pydantic.field_validator("shares")
    @classmethod
    def _all_three(cls, shares: dict[str, float]) -> dict[str, float]:
        if set(shares) != set(SHARES):
            raise ValueError(f"expected shares of {', '.join(SHARES)}, each of them")
        return shares


class CompareConfig(RunConfig):
    """A comparison as its YAML file states it; the models are as in `RunConfig`.

    Every model with a parent among the models is judged beside it.

    Attributes:
        questions: CSV, JSONL or parquet, a row a question.
        columns: column of a prompt set -> column of the file; by default those of the same name,
            and "question" or "prompt" for the text.
        splits: how the questions are dealt, where the file has no `split`.
        elicitation: how questions are put to all models alike. "auto": as a chat turn if all of
            them have the same chat template, else after examples (few-shot), else bare.
        stages: what the evidence consists of.
        n_scored: most test questions that interventions score, half of them to abstain on; they
            score a model hundreds of times.
        controls: finished study of the embedded lineage in whose verdicts the planted controls
            must have been read rightly before anything is called there or gone.
        answering, cells, probe, transfer, intervention, relearn: settings of the stages.
    """

    questions: str
    columns: dict[str, str] | None = None
    splits: Splits = Splits()
    elicitation: Literal["auto"] | Elicitation = "auto"
    stages: list[Gathered] = pydantic.Field(
        default=["behaviour", "probe", "transfer", "intervene", "relearn"], min_length=1
    )
    n_scored: int = pydantic.Field(default=200, ge=20)
    controls: str = "organism"
    answering: AnsweringSettings = AnsweringSettings()
    cells: Cells | None = None
    probe: ProbeSettings = ProbeSettings()
    transfer: TransferSettings = TransferSettings()
    intervention: InterventionSettings = InterventionSettings()
    relearn: RelearnSettings = RelearnSettings()

    @pydantic.field_validator("stages")
    @classmethod
    def _behaviour_first(cls, stages: list[Gathered]) -> list[Gathered]:
        if "behaviour" not in stages:
            raise ValueError("`behaviour` is missing; every verdict rests on it")
        return stages
