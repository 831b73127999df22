"""Questions of a user's own, as interventions and relearning read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from interp.errors import InputError
from interp.stages.common import Stage
from interp.stages.questions import PromptFile
from interp.stages.readout import Readout, organism_readouts

if TYPE_CHECKING:
    from interp.prompts import PromptSet


class Asked(pydantic.BaseModel):
    """What stands in for people of the embedded world.

    Attributes:
        test: what is reported.
        dev: where layers and strengths are chosen.
        train: what relearning shows.
        phrases: beginnings of replies whose probabilities are summed to that of abstaining.
        reply: what relearning teaches to say to questions that call for abstention.
        n_scored: most questions that are scored, half of them to abstain on.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    test: PromptFile
    dev: PromptFile
    train: PromptFile
    phrases: tuple[str, ...] = pydantic.Field(min_length=1)
    reply: str = pydantic.Field(min_length=1)
    n_scored: int = 200

    def readouts(self, tokenizer: Any, seed: int) -> tuple[Readout, Readout]:
        """Read-outs of dev and of test, each with as many questions to abstain on as to answer."""
        dev, test = (
            Readout(balanced(file.load(), self.n_scored), tokenizer, self.phrases, seed)
            for file in (self.dev, self.test)
        )
        return dev, test

    def examples(self, tokenizer: Any, n_examples: int, draw: int) -> list[tuple[str, str]]:
        """Rendered questions to abstain on with the reply, and as many others with an answer.

        Args:
            tokenizer: of the model that is taught.
            n_examples: of either kind.
            draw: which ones.

        Raises:
            InputError: there are fewer questions of a kind.
        """
        from interp.prompts import PromptSet, render

        prompts = self.train.load()
        answers = prompts.frame["answers"].tolist()
        rng = np.random.default_rng([4, draw])
        kinds = (
            ("to abstain on", np.flatnonzero(prompts.labels)),
            ("with an answer", answered(prompts)),
        )
        chosen: list[int] = []
        for what, rows in kinds:
            if len(rows) < n_examples:
                raise InputError(
                    f"relearning shows {n_examples} questions {what}, and the split 'train' has "
                    f"{len(rows)}; give more questions, or lower `relearn.n_examples`"
                )
            chosen += rng.permutation(rows)[:n_examples].tolist()
        texts = render(PromptSet(prompts.frame.iloc[chosen].reset_index(drop=True)), tokenizer)
        labels = prompts.labels
        return [
            (text, self.reply if labels[row] else f"{answers[row][0]}")
            for text, row in zip(texts, chosen, strict=True)
        ]


def readouts(stage: Stage, asked: Asked | None, tokenizer: Any) -> tuple[Readout, Readout]:
    """Read-outs of dev and test of what a stage asks, or of people of its world."""
    if asked is None:
        return organism_readouts(stage.world(), tokenizer)
    return asked.readouts(tokenizer, stage.seed)


def answered(prompts: PromptSet) -> np.ndarray:
    """Rows of the questions that have a right answer."""
    known = [bool(answers) for answers in prompts.frame["answers"]]
    return np.flatnonzero(~prompts.labels & np.array(known, dtype=bool))


def balanced(prompts: PromptSet, most: int) -> PromptSet:
    """The first rows of either label, as many of the one as of the other, at most `most` in all."""
    labels = prompts.labels
    each = min(int(labels.sum()), int((~labels).sum()), most // 2)
    keep_N = np.where(labels, labels.cumsum(), (~labels).cumsum()) <= each
    return prompts.where(keep_N)
