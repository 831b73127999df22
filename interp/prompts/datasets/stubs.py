"""Context removal: a question that stands at the end of its context, and that question alone.

The rule is AbstentionBench's (arXiv 2506.09038): problems that end with a question after a full
stop and a space are kept; the last sentence without what precedes it is the unanswerable twin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from interp.prompts.datasets.dataset import Record

_LAST_QUESTION = re.compile(r"(?<=\. )[^\.\?\!]*\?$")
CAUTION = "the question alone is shorter than the problem: report a length-only baseline with it"


def last_question(problem: str) -> str | None:
    """The question at the problem's end, or None where the rule does not apply."""
    found = _LAST_QUESTION.search(problem)
    return found.group().strip() if found else None


def twins(
    pair_id: str,
    problem: str,
    answers: list[str],
    *,
    dataset: str,
    options: str = "",
    meta: Mapping[str, Any] | None = None,
) -> list[Record]:
    """The two rows of a problem, or none where the rule does not apply.

    Args:
        pair_id: of the two.
        problem: context and question.
        answers: to the whole problem; the question alone has none.
        dataset: that they belong to.
        options: what is added to either, such as the choices.
        meta: of either.
    """
    question = last_question(problem)
    if question is None:
        return []
    common = {
        "pair_id": pair_id,
        "scenario": "underspecified_context",
        "dataset": dataset,
        "split": "test",
    }
    whole = {
        "prompt_id": f"{pair_id}/original",
        "text": problem + options,
        "should_abstain": False,
        "answers": answers,
        "meta": {**(meta or {}), "form": "original"},
    }
    alone = {
        "prompt_id": f"{pair_id}/stub",
        "text": question + options,
        "should_abstain": True,
        "meta": {**(meta or {}), "form": "stub"},
    }
    return [{**common, **whole}, {**common, **alone}]
