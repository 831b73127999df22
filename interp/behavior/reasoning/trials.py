"""Trials that change a chain of thought, and the answers that a model gives to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.generating.collecting import collect, reply_frame
from interp.behavior.generating.decoding import Decoding, Reply, Thinking
from interp.behavior.generating.generation import replies
from interp.behavior.grading.boxed import boxed_answers, plain
from interp.behavior.reasoning.chains import Chain, excluded_rows
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, render
from interp.prompts.encoding import join
from interp.prompts.words import words_of

Grade = Callable[[PromptSet, pd.DataFrame], pd.DataFrame]
"""Prompts and replies (as from `reply_frame`) -> the replies with an outcome: "abstain", "correct",
"wrong", or None) and, where it tells, a kind, as `grade_replies` has them."""

SUFFIX = Thinking().force
"""What stands between a chain that was cut or changed and its answer, if nothing else is asked
for: the end of thinking alone, which hints at no answer."""
UNCHANGED = "unchanged"
"""The arm of a trial that changes nothing, and is asked as those that do."""
OF_PROMPT = ("pair_id", "entity", "dataset", "scenario", "should_abstain")
# As grading reads them: a hyphen behind a digit is a range and no sign.
_NUMBER = re.compile(r"(?<![\w.^])-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


@dataclass(frozen=True, eq=False)
class Trials:
    """Prompts with changed chains behind them, each to be continued.

    Attributes:
        prompts: one row a trial; its `prompt_id` is the trial's id, its `text` is what is read.
        questions: the same rows as they were asked before, which answers are graded by.
        frame: one row a trial, in the same order: trial_id; prompt_id and sample of the chain; the
            columns `OF_PROMPT` of the prompt; and what was done, such as arm and place.
        excluded: chains that some or all trials leave out: prompt_id, sample, why.
    """

    prompts: PromptSet
    questions: PromptSet
    frame: pd.DataFrame
    excluded: pd.DataFrame


def trials(
    prompts: PromptSet,
    tokenizer: Any,
    rows: Iterable[tuple[Chain, str, Mapping[str, Any]]],
    *,
    suffix: str = "",
    excluded: Sequence[Mapping[str, Any]] = (),
) -> Trials:
    """Prompts with texts behind them.

    Args:
        prompts: of the chains.
        tokenizer: with the chat template that the prompts are rendered by.
        rows: the chain, what stands behind its prompt instead, and what the trial is; white space
            at the end of the text goes, as the model says it itself.
        suffix: stands behind all of these texts.
        excluded: what was left out beforehand.

    Raises:
        InputError: a chain of a prompt that is not in the set, or no trials at all.
    """
    rendered = dict(zip(prompts.frame["prompt_id"], render(prompts, tokenizer), strict=True))
    records = {row["prompt_id"]: row for row in prompts.frame.to_dict("records")}
    made, questions, texts, behinds = [], [], [], []
    for number, (chain, behind, what) in enumerate(rows):
        if chain.prompt_id not in records:
            raise InputError(f"chain of prompt {chain.prompt_id}: no such prompt in the set")
        record = records[chain.prompt_id]
        trial = f"{chain.prompt_id}/{chain.sample}/{number}"
        place = {"trial_id": trial, "prompt_id": chain.prompt_id, "sample": chain.sample}
        made.append(place | {name: record[name] for name in OF_PROMPT} | dict(what))
        questions.append(record | {"prompt_id": trial})
        texts.append(rendered[chain.prompt_id])
        behinds.append(behind.rstrip())
    if not made:
        raise InputError("trials: none is left; give chains that can be changed in this way")
    for parts in (behinds, [suffix] * len(texts)):
        joined = join(texts, parts, tokenizer)
        texts = [
            both if part else text for text, part, both in zip(texts, parts, joined, strict=True)
        ]
    as_asked = PromptSet.from_records(questions)
    changed = PromptSet(as_asked.frame.assign(text=texts, messages=None))
    return Trials(changed, as_asked, pd.DataFrame(made), excluded_rows(excluded))


def told(
    loaded: LoadedModel,
    asked: Trials,
    decoding: Decoding,
    *,
    token_budget: int = 8192,
    root: Path | None = None,
) -> list[Reply]:
    """The model's reply to each trial, in their order; kept in `root` as by `collect`.

    Raises:
        InputError: several samples a trial, or as `interp.behavior.replies`: a trial that does not
            fit into the model's context with its new tokens is named before anything is said.
    """
    if decoding.samples != 1:
        raise InputError(
            f"trials: {decoding.samples} samples of each; expected 1, as samples are of chains"
        )
    if root is not None:
        return collect(loaded, asked.prompts, decoding, root, token_budget=token_budget)
    found: dict[int, Reply] = {}
    for _, rows, batch in replies(loaded, asked.prompts, decoding, token_budget=token_budget):
        found |= dict(zip(rows, batch, strict=True))
    return [found[row] for row in range(len(asked.prompts))]


def trial_answers(asked: Trials, said: Sequence[Reply], grade: Grade) -> pd.DataFrame:
    """The trials with what was answered: answer, outcome, says (`answer_key`), in their order.

    An answer that is cut off is not read: answers need room, and a base model a stop string.

    Raises:
        InputError: not one reply a trial, or as `grade`.
    """
    ids = asked.frame["trial_id"].tolist()
    if [reply.prompt_id for reply in said] != ids:
        raise InputError(f"trials: {len(said)} replies for {len(ids)} trials; give one each")
    graded = grade(asked.questions, reply_frame(list(said)))
    outcomes = [one if isinstance(one, str) else None for one in graded["outcome"]]
    # Without a known answer there is no outcome, yet two answers may be the same.
    unread = graded["kind"] != "answer" if "kind" in graded else graded["outcome"].isna()
    keys = [
        None if outcome is None and none else answer_key(reply.answer, outcome, right)
        for reply, outcome, none, right in zip(
            said, outcomes, unread, asked.questions.frame["answers"], strict=True
        )
    ]
    return asked.frame.assign(
        answer=[reply.answer for reply in said],
        outcome=np.array(outcomes, dtype=object),
        says=np.array(keys, dtype=object),
    )


def answer_key(answer: str, outcome: str | None, right: Sequence[str] = ()) -> str:
    """What an answer comes to, equal for two that are the same.

    All abstentions are the same, and so are all right answers. Any other is its last box; else,
    where the right answer is a number, its last number; else its words.
    """
    if outcome in ("abstain", "correct"):
        return str(outcome)
    boxes = [shown for box in boxed_answers(answer) if (shown := plain(box))]
    if boxes:
        return f"says {boxes[-1]}"
    numbers = [plain(number) for number in _NUMBER.findall(answer)]
    if numbers and any(_NUMBER.fullmatch(plain(text)) for text in right):
        return f"says {numbers[-1]}"
    return f"says {' '.join(words_of(answer))}"
