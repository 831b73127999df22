"""How a question is put to a model: as it stands, after examples, or as a chat turn.

Base models have no chat template and instruct models expect theirs, so how a question is put is a
factor of its own: a difference between two models that were asked differently is a difference of
both. Whoever compares a lineage asks all of its members in one way that all of them can take (raw
or few-shot), and beside it each in its own.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
import pydantic

from interp.errors import InputError
from interp.prompts import PromptSet

How = Literal["as_is", "raw", "few_shot", "chat"]
QUESTION, REPLY = "{question}", "{reply}"


class Elicitation(pydantic.BaseModel):
    """One way to put questions.

    Attributes:
        name: what tables call it; by default how, with "_thinking" where it thinks.
        how: "as_is", the prompts as they are; "raw", the bare question; "few_shot", after examples
            in the `template`; "chat", one turn in the model's own chat template.
        system: of a chat: text of a system turn; None leaves it out.
        think: of a chat: whether the template is asked for a chain of thought.
        template: of few-shot: one example; what follows the question's place, up to the reply's,
            ends the prompt.
        shots: of few-shot: examples a prompt, half of them unanswerable.
        abstention: of few-shot: the reply of an unanswerable example.
        seed: of the choice of examples.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str | None = pydantic.Field(default=None, pattern=r"^[A-Za-z0-9_.-]+$")
    how: How = "as_is"
    system: str | None = None
    think: bool = False
    template: str = "Q: {question}\nA: {reply}\n\n"
    shots: int = pydantic.Field(default=8, ge=2)
    abstention: str = pydantic.Field(default="I don't know.", min_length=1)
    seed: int = 0

    @pydantic.model_validator(mode="after")
    def _sound(self) -> Elicitation:
        question, reply = self.template.find(QUESTION), self.template.find(REPLY)
        if question < 0 or reply < question:
            raise ValueError(f"the template lacks {QUESTION}, and {REPLY} behind it")
        if self.think and self.how != "chat":
            raise ValueError(f"think is of a chat; '{self.how}' has no template to ask by")
        if self.shots % 2:
            raise ValueError(f"shots is {self.shots}; expected an even number, half of each kind")
        return self

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.name or (f"{self.how}_thinking" if self.think else self.how)

    @property
    def thinks(self) -> bool:
        """Whether a chain of thought may stand before the answer."""
        return self.think or self.how == "as_is"

    @property
    def stop(self) -> tuple[str, ...]:
        """What a base model goes on with after its reply: the beginning of a next example."""
        opening = self.template.partition(QUESTION)[0].strip()
        return (f"\n{opening}",) if self.how == "few_shot" and opening else ()


def elicit(
    prompts: PromptSet, elicitation: Elicitation, examples: PromptSet | None = None
) -> PromptSet:
    """The prompts as they are put to a model.

    Examples are drawn for each minimal pair, so that both of its halves have the same ones in the
    same order; among pairs each example, and either kind in the last place, comes as often as
    chance has it. Nothing that shares a pair, an entity or the question with a prompt of the pair
    is one of its examples.

    Args:
        prompts: of one question each: a `text`, or `messages` whose only turn is the user's.
        elicitation: how they are put.
        examples: of few-shot: questions with answers, and unanswerable ones; of another split.

    Returns:
        The same rows; `meta["elicitation"]` says how they are put and `meta["examples"]` after
        which. Those that are put as they are come back as they are.

    Raises:
        InputError: a prompt of several turns, examples that are missing, too few or without an
            answer, or given where none are used.
    """
    if (elicitation.how == "few_shot") != (examples is not None):
        what = "needs examples; give a prompt set of another split" if examples is None else (
            "takes no examples; leave them out"
        )  # fmt: skip
        raise InputError(f"elicitation '{elicitation.how}' {what}")
    if elicitation.how == "as_is":
        return prompts
    drawn = _Examples(examples, elicitation, prompts) if examples is not None else None
    return PromptSet.from_records(
        [_put(row, elicitation, drawn) for row in prompts.frame.to_dict("records")]
    )


def question_of(row: dict[str, Any]) -> str:
    """The question of a row of a prompt set.

    Raises:
        InputError: several turns.
    """
    if row["text"] is not None:
        return row["text"]
    if len(row["messages"]) > 1:
        raise InputError(
            f"prompt {row['prompt_id']}: {len(row['messages'])} turns; expected one question, to "
            "put it in another way"
        )
    return row["messages"][0]["content"]


def _put(row: dict[str, Any], elicitation: Elicitation, drawn: _Examples | None) -> dict[str, Any]:
    question = question_of(row)
    meta = row["meta"] | {"elicitation": elicitation.label}
    if elicitation.how == "chat":
        system = [] if elicitation.system is None else [_turn("system", elicitation.system)]
        mode = "cot" if elicitation.think else "direct"
        messages = [*system, _turn("user", question)]
        return row | {"text": None, "messages": messages, "meta": meta | {"mode": mode}}
    text = question
    if drawn is not None:
        used = drawn.of(row["pair_id"])
        # Replaced one after the other would put a question that holds "{reply}" out of order.
        before, _, rest = elicitation.template.partition(QUESTION)
        between = rest.partition(REPLY)[0].rstrip()
        text = "".join(drawn.shown[number] for number in used) + before + question + between
        meta |= {"examples": [drawn.ids[number] for number in used]}
    return row | {"text": text, "messages": None, "meta": meta}


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


class _Examples:
    """Examples as they are shown, by kind, and what they must not share with a pair."""

    def __init__(self, examples: PromptSet, elicitation: Elicitation, asked: PromptSet) -> None:
        rows = examples.frame.to_dict("records")
        self.ids = [row["prompt_id"] for row in rows]
        self.shown = [_shown(row, elicitation) for row in rows]
        self._traits = [_traits(row) for row in rows]
        self._half = elicitation.shots // 2
        self._seed = elicitation.seed
        unanswerable_E = examples.labels
        self._kinds = [np.flatnonzero(unanswerable_E == kind).tolist() for kind in (False, True)]
        self._of_pair: dict[str, set[tuple[str, str]]] = {}
        for row in asked.frame.to_dict("records"):
            self._of_pair.setdefault(row["pair_id"], set()).update(_traits(row))

    def of(self, pair: str) -> list[int]:
        """Numbers of the examples of a minimal pair, in their order."""
        digest = hashlib.sha256(f"{self._seed}\0{pair}".encode()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
        chosen: list[int] = []
        for kind, numbers in zip(("answerable", "unanswerable"), self._kinds, strict=True):
            mixed = rng.permutation(numbers).tolist()
            free = [int(n) for n in mixed if not self._traits[int(n)] & self._of_pair[pair]]
            if len(free) < self._half:
                raise InputError(
                    f"pair {pair}: {len(free)} {kind} examples that share no pair, entity or "
                    f"question with it; {self._half} are needed"
                )
            chosen += free[: self._half]
        return rng.permutation(chosen).tolist()


def _traits(row: dict[str, Any]) -> set[tuple[str, str]]:
    """What nobody else may share."""
    found = {("pair", row["pair_id"]), ("question", question_of(row))}
    return found if row["entity"] is None else found | {("entity", row["entity"])}


def _shown(row: dict[str, Any], elicitation: Elicitation) -> str:
    if not row["should_abstain"] and not row["answers"]:
        raise InputError(f"example {row['prompt_id']}: no answer to show; leave it out")
    reply = elicitation.abstention if row["should_abstain"] else row["answers"][0]
    before, _, rest = elicitation.template.partition(QUESTION)
    between, _, after = rest.partition(REPLY)
    return before + question_of(row) + between + reply + after
