"""A behaviour run as its YAML file states it."""

from __future__ import annotations

from typing import Any

import pydantic

from interp import configs
from interp.behavior.generating.elicitation import Elicitation
from interp.behavior.knowledge import K_MIN
from interp.runs.config import RunConfig
from interp.stages.answering import AnsweringSettings


class Asked(Elicitation):
    """A way of asking, and who is asked that way.

    Attributes:
        models: whom; None is all. A base model has no template of its own.
    """

    models: tuple[str, ...] | None = pydantic.Field(default=None, min_length=1)

    @property
    def elicitation(self) -> Elicitation:
        """The way of asking alone."""
        return Elicitation(**self.model_dump(exclude={"models"}))


class BehaveConfig(RunConfig):
    """A behaviour run as its YAML file states it; the models are as in `RunConfig`.

    Attributes:
        prompts: JSONL prompt set.
        examples: JSONL prompt set of few-shot examples, of another split.
        elicitations: how questions are put; a name is short for `{how: name}`.
        answering: decoding, grading and resamples.
        knowledge_from: name of an elicitation that asks for an answer in any case: what a model
            knows is taken from its replies, and its abstention in the others told apart by it.
    """

    prompts: str
    examples: str | None = None
    elicitations: list[Asked] = pydantic.Field(default=[Asked()], min_length=1)
    answering: AnsweringSettings = AnsweringSettings()
    knowledge_from: str | None = None

    @pydantic.field_validator("elicitations", mode="before")
    @classmethod
    def _plain_names(cls, entries: Any) -> Any:
        if not isinstance(entries, list):
            return entries
        return [{"how": entry} if isinstance(entry, str) else entry for entry in entries]

    @pydantic.model_validator(mode="after")
    def _fits(self) -> BehaveConfig:
        shown = any(elicitation.how == "few_shot" for elicitation in self.elicitations)
        if shown != (self.examples is not None):
            what = "few_shot needs `examples`" if shown else "`examples` are for few_shot"
            raise ValueError(f"{what}; expected both or neither")
        labels = [elicitation.label for elicitation in self.elicitations]
        if len(set(labels)) < len(labels):
            raise ValueError(f"elicitations are {', '.join(labels)}; give each a `name` of its own")
        if any("seed" in elicitation.model_fields_set for elicitation in self.elicitations):
            raise ValueError("an elicitation's seed is that of the run; leave it out")
        if self.knowledge_from is not None:
            if self.knowledge_from not in labels:
                raise ValueError(
                    f"knowledge_from is '{self.knowledge_from}'"
                    f"{configs.nearest(self.knowledge_from, labels)}; expected one of "
                    f"{', '.join(labels)}"
                )
            if self.answering.decoding.samples < K_MIN:
                raise ValueError(
                    f"knowledge_from needs at least {K_MIN} samples a question; "
                    f"`answering.decoding.samples` is {self.answering.decoding.samples}"
                )
        return self
