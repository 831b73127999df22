"""Replies of real models to a prompt set, graded: their kind, and whether an answer is right."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from interp.behavior.grading.boxed import boxed_answers, boxed_outcome, plain, same_number
from interp.behavior.grading.kinds import ABSTAINING_KINDS, ReplyKind, reply_kind
from interp.behavior.grading.lexicons import Lexicon
from interp.behavior.grading.outcomes import Outcome, holds_answer
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.words import texts_of

Numbers = Literal["last", "anywhere"]
"""Where a right number stands: the last one in a reply, as of a calculation, or any."""

_THOUGHT = "</think>"
# A hyphen behind a digit is a range and no sign; a digit behind a caret is an exponent.
_NUMBER = re.compile(r"(?<![\w.^])-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")


def grade_replies(
    prompts: PromptSet, replies: pd.DataFrame, lexicon: Lexicon, *, numbers: Numbers = "last"
) -> pd.DataFrame:
    """One row a reply: what it is, and what it amounts to.

    Graded is what follows a chain of thought: `answer` where the chain's end was watched for, else
    what stands behind "</think>". Of a chain that never ended only a box counts.

    Abstaining are the kinds `ABSTAINING_KINDS`. A refusal (policy, no doubt) and a reply that was
    cut off have no outcome: they are counted by their kind, and are part of no rate. A base model
    that runs on after its reply needs a stop string, or all of its replies are cut off. Where a
    question calls for abstention every answer is wrong. An answer is right by its last box if it
    has one; else if it holds a right answer as whole words, where for one that is a number the
    number has to stand where `numbers` says. To a question without a known answer an answer has
    no outcome either: rates of abstention go by the kind.

    Args:
        prompts: what was asked.
        replies: as from `reply_frame`: prompt_id, sample, text, answer, thought, truncated.
        lexicon: phrases of the replies' language.
        numbers: "last" for questions that are calculated, "anywhere" for those that are looked up.

    Returns:
        The replies with the prompt's pair_id, entity, dataset, scenario, should_abstain,
        has_answer (a right answer is known) and question, and with kind and outcome (None where
        there is none), in their order.

    Raises:
        InputError: a missing column, a reply to no prompt of the set, or as `check_answers`.
    """
    needed = ("prompt_id", "sample", "text", "answer", "thought", "truncated")
    if missing := [column for column in needed if column not in replies.columns]:
        raise InputError(f"replies lack the column {', '.join(missing)}; see `reply_frame`.")
    check_answers(prompts)
    asked = {
        row["prompt_id"]: row | {"question": question}
        for row, question in zip(prompts.frame.to_dict("records"), texts_of(prompts), strict=True)
    }
    graded = []
    for reply in replies.to_dict("records"):
        row = asked.get(reply["prompt_id"])
        if row is None:
            raise InputError(f"reply to {reply['prompt_id']}: no such prompt in the set")
        said, cut_off = _conclusion(reply)
        kind = reply_kind(said, lexicon, question=row["question"], truncated=cut_off)
        graded.append(
            {
                **{key: row[key] for key in ("pair_id", "entity", "dataset", "scenario")},
                "should_abstain": row["should_abstain"],
                "has_answer": not row["should_abstain"] and bool(row["answers"]),
                "question": row["question"],
                "kind": kind,
                "outcome": _outcome(kind, said, row, numbers),
            }
        )
    columns = pd.DataFrame(graded, index=replies.index)
    return pd.concat([replies, columns.astype({"outcome": object})], axis=1)


def check_answers(prompts: PromptSet) -> None:
    """Refuses right answers that hold no word to look for.

    Raises:
        InputError: names the prompt.
    """
    rows = zip(prompts.frame["prompt_id"], prompts.frame["answers"], strict=True)
    for prompt_id, answers in rows:
        for answer in answers:
            if not any(letter.isalnum() for letter in answer):
                raise InputError(
                    f"prompt {prompt_id}: the answer {answer!r} has no word to look for; correct it"
                )


def _conclusion(reply: Mapping[str, Any]) -> tuple[str, bool]:
    """What is graded, and whether it was cut off before it came to anything."""
    chained = reply["thought"] is not None and not pd.isna(reply["thought"])
    if chained and not reply["answer"]:
        return reply["text"], True
    said = reply["answer"] if chained else reply["text"].rpartition(_THOUGHT)[2]
    return said, bool(reply["truncated"])


def _outcome(
    kind: ReplyKind, said: str, row: Mapping[str, Any], numbers: Numbers
) -> Outcome | None:
    if kind in ABSTAINING_KINDS:
        return "abstain"
    if kind != "answer":
        return None
    if row["should_abstain"]:
        return "wrong"
    if not row["answers"]:
        return None
    return "correct" if _right(said, row["answers"], numbers) else "wrong"


def _right(said: str, answers: Sequence[str], numbers: Numbers) -> bool:
    if any(plain(box) for box in boxed_answers(said)):
        return boxed_outcome(said, answers) == "correct"
    said = unicodedata.normalize("NFKC", said).replace("\N{MINUS SIGN}", "-")
    found = _NUMBER.findall(said)
    looked_at = found[-1:] if numbers == "last" else found
    numeric = [plain(answer) for answer in answers if _NUMBER.fullmatch(plain(answer))]
    words = [answer for answer in answers if plain(answer) not in numeric]
    return holds_answer(said, words) or any(
        same_number(plain(number), answer) for number in looked_at for answer in numeric
    )
