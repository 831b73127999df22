"""How the embedded lineage's chains of thought are asked for, read, graded and judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from interp.behavior.generating.decoding import Decoding, Thinking
from interp.behavior.grading.outcomes import ANSWER_MARKER, outcome
from interp.organism.words import ABSTAINING_PHRASES, COUNTRIES

if TYPE_CHECKING:
    from interp.behavior.reasoning.bm25 import Passage
    from interp.behavior.reasoning.knowledge_index import Verdict
    from interp.checkpoints import LoadedModel
    from interp.prompts import PromptSet

SUFFIX = f" {ANSWER_MARKER}"
CHAIN = Thinking(end=ANSWER_MARKER, force=SUFFIX, more=" wait ,")
"""Where chains end, and what stops them or makes them go on."""
ROOM = 40
"""Tokens that a chain and its answer have; a chain of the world with a check has 20."""
SWITCHES = ("wait",)
"""Words that begin another thought."""
UNITS = ("entity",)
"""What intervals are over."""
PLAIN = "none"
"""The arm in which nothing is changed."""


def chain_decoding(seed: int, *, chain: bool = True, **changes: Any) -> Decoding:
    """How chains, or answers alone, are drawn.

    Answers end at their full stop: what a model goes on to say is no part of them.
    """
    thinking = CHAIN if chain else None
    return Decoding(max_new_tokens=ROOM, stop=(".",), seed=seed, thinking=thinking, **changes)


def graded_replies(
    loaded: LoadedModel, prompts: PromptSet, decoding: Decoding, **how: Any
) -> pd.DataFrame:
    """Replies by `interp.behavior.replies`, a prompt's samples beside each other, graded."""
    from interp.behavior import replies, reply_frame
    from interp.interventions import in_order

    return grade_chains(prompts, reply_frame(in_order(replies(loaded, prompts, decoding, **how))))


def steps_of(chain: str) -> list[str]:
    """The sentences of a chain."""
    from interp.behavior.reasoning.segments import segments

    return [segment.text for segment in segments(chain)]


def strategies_of(texts: Iterable[str]) -> list[list[str]]:
    """Strategies of the sentences of each reply's chain; of all of it where no answer follows."""
    from interp.behavior import StrategyRules

    rules = StrategyRules.load("organism")
    chains = (steps_of(text.rpartition(CHAIN.end)[0] or text) for text in texts)
    return [[found.label for found in rules.label(chain)] for chain in chains]


def otherwise_said(chain: str) -> str:
    """The chain in other words of the same meaning."""
    from interp.organism import commuted

    return " ".join(commuted(steps_of(chain)))


def grade_chains(prompts: PromptSet, replies: pd.DataFrame) -> pd.DataFrame:
    """Outcomes of replies, with or without a chain.

    Where nobody can know, a lucky guess is wrong, as only abstaining is right.

    Args:
        prompts: what was asked.
        replies: as from `interp.behavior.reply_frame`.

    Returns:
        The replies with outcome, kind ("abstain" or "answer"), fitting (whether the answer is of
        the kind that was asked for, right or wrong), should_abstain, has_answer, entity, group and
        relation.
    """
    asked = prompts.frame.set_index("prompt_id").loc[replies["prompt_id"]]
    due_N = asked["should_abstain"].to_numpy(bool)
    found = []
    rows = zip(replies["text"], replies["answer"], asked["answers"], due_N, strict=True)
    for text, answer, answers, due in rows:
        # Behind a chain the answer is only a part of the text.
        said = outcome(text, answers, ABSTAINING_PHRASES, chain=answer != text)
        found.append("wrong" if due and said == "correct" else said)
    relations = [meta["relation"] for meta in asked["meta"]]
    return replies.assign(
        outcome=found,
        fitting=[_fits(*pair) for pair in zip(replies["answer"], relations, strict=True)],
        kind=["abstain" if said == "abstain" else "answer" for said in found],
        should_abstain=due_N,
        has_answer=~due_N,
        entity=asked["entity"].to_numpy(),
        group=[meta["group"] for meta in asked["meta"]],
        relation=relations,
    )


def _fits(answer: str, relation: str) -> bool:
    """Whether an answer is a country where one is asked for, else a number."""
    said = answer.strip(" .")
    return said in COUNTRIES if relation == "country" else said.isdecimal()


class FactJudge:
    """Judges sentences by what was found of the world's facts: it is one of them, or it is none."""

    def judge(self, step: str, passages: Sequence[Passage]) -> Verdict:
        """The verdict on a sentence; one that states no fact has nothing to be held against."""
        from interp.organism import states_fact

        if not states_fact(step):
            return "no_knowledge"
        there = any(passage.text.split() == step.split() for passage in passages)
        return "consistent" if there else "inconsistent"
