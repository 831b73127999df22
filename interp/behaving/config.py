"""A behaviour run as its YAML file states it."""

from __future__ import annotations

from typing import Any

import pydantic

from interp.behavior.generating.elicitation import Elicitation
from interp.runs.config import RunConfig
from interp.stages.answering import AnsweringSettings


class BehaveConfig(RunConfig):
    """A behaviour run as its YAML file states it; the models are as in `RunConfig`.

    Attributes:
        prompts: JSONL prompt set.
        examples: JSONL prompt set of few-shot examples, of another split.
        elicitations: how questions are put; a name is short for `{how: name}`.
        answering: decoding, grading and resamples.
    """

    prompts: str
    examples: str | None = None
    elicitations: list[Elicitation] = pydantic.Field(default=[Elicitation()], min_length=1)
    answering: AnsweringSettings = AnsweringSettings()

    @pydantic.field_validator("elicitations", mode="before")
    @classmethod
    def _plain_names(cls, entries: Any) -> Any:
        if not isinstance(entries, list):
            return entries
        return [{"how": entry} if isinstance(entry, str) else entry for entry in entries]

    @pydantic.model_validator(mode="after")
    def _examples_where_shown(self) -> BehaveConfig:
        shown = any(elicitation.how == "few_shot" for elicitation in self.elicitations)
        if shown != (self.examples is not None):
            what = "few_shot needs `examples`" if shown else "`examples` are for few_shot"
            raise ValueError(f"{what}; expected both or neither")
        labels = [elicitation.label for elicitation in self.elicitations]
        if len(set(labels)) < len(labels):
            raise ValueError(f"elicitations are {', '.join(labels)}; expected each once")
        return self
