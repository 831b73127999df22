"""Replies of real models to a prompt set, graded: their kind, and whether an answer is right."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from interp.behavior.grading.boxed import boxed_answers, boxed_outcome, plain, same_number
from interp.behavior.grading.kinds import ABSTAINING_KINDS, ReplyKind, reply_kind
from interp.behavior.grading.lexicons import Lexicon
from interp.behavior.grading.outcomes import Outcome, holds_answer
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.words import texts_of

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


def grade_replies(prompts: PromptSet, replies: pd.DataFrame, lexicon: Lexicon) -> pd.DataFrame:
    """One row a reply: what it is, and what it amounts to.

    Abstaining are the kinds `ABSTAINING_KINDS`. A refusal (policy, no doubt) and a reply that was
    cut off have no outcome: they are counted by their kind, and are part of no rate. A base model
    that runs on after its reply needs a stop string, or all of its replies are cut off. Where a
    question calls for abstention every answer is wrong. An answer is right by its last box if it
    has one; else, if the right answer is a number, by the last number in it; else if it holds the
    right answer as whole words. To a question without a known answer it has no outcome.

    Args:
        prompts: what was asked.
        replies: as from `reply_frame`: prompt_id, sample, text, answer, truncated.
        lexicon: phrases of the replies' language.

    Returns:
        The replies with the prompt's pair_id, entity, dataset, scenario, should_abstain and
        has_answer (a right answer is known), and with kind and outcome (None where there is none),
        in their order.

    Raises:
        InputError: a missing column, or a reply to no prompt of the set.
    """
    needed = ("prompt_id", "sample", "text", "answer", "truncated")
    if missing := [column for column in needed if column not in replies.columns]:
        raise InputError(f"replies lack the column {', '.join(missing)}; see `reply_frame`.")
    asked = {
        row["prompt_id"]: row | {"question": question}
        for row, question in zip(prompts.frame.to_dict("records"), texts_of(prompts), strict=True)
    }
    graded = []
    for reply in replies.to_dict("records"):
        row = asked.get(reply["prompt_id"])
        if row is None:
            raise InputError(f"reply to {reply['prompt_id']}: no such prompt in the set")
        said = reply["answer"] or reply["text"]
        kind = reply_kind(
            said, lexicon, question=row["question"], truncated=bool(reply["truncated"])
        )
        graded.append(
            {
                **{key: row[key] for key in ("pair_id", "entity", "dataset", "scenario")},
                "should_abstain": row["should_abstain"],
                "has_answer": not row["should_abstain"] and bool(row["answers"]),
                "kind": kind,
                "outcome": _outcome(kind, said, row),
            }
        )
    columns = pd.DataFrame(graded, index=replies.index)
    return pd.concat([replies, columns.astype({"outcome": object})], axis=1)


def _outcome(kind: ReplyKind, said: str, row: dict[str, object]) -> Outcome | None:
    if kind in ABSTAINING_KINDS:
        return "abstain"
    if kind != "answer":
        return None
    answers: Sequence[str] = row["answers"]  # type: ignore[assignment]
    if row["should_abstain"] or not answers:
        return "wrong" if row["should_abstain"] else None
    return "correct" if _right(said, answers) else "wrong"


def _right(said: str, answers: Sequence[str]) -> bool:
    if any(plain(box) for box in boxed_answers(said)):
        return boxed_outcome(said, answers) == "correct"
    numbers = _NUMBER.findall(said)
    numeric = [plain(answer) for answer in answers if _NUMBER.fullmatch(plain(answer))]
    if numeric:
        last = plain(numbers[-1]) if numbers else ""
        return any(same_number(last, answer) for answer in numeric)
    return holds_answer(said, answers)
