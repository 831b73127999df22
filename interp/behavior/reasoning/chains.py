"""Chains of thought: steps between a prompt and an answer, as they are read from replies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.prompts import CHAIN_END, PromptSet

Splitter = Callable[[str], Sequence[str]]
"""Cuts a chain into the texts of its steps, in their order; white space between them may go."""


@dataclass(frozen=True)
class Chain:
    """A chain of thought between a prompt and its answer.

    Attributes:
        prompt_id: of the prompt.
        steps: texts that make the chain when they are put together, white space included.
        answer: what the reply answers behind it.
        sample: number of the reply among those of its prompt.
        opening: what the reply has before its first step, such as an opening tag.
    """

    prompt_id: str
    steps: tuple[str, ...]
    answer: str
    sample: int = 0
    opening: str = ""

    def __post_init__(self) -> None:
        if not self.steps or not all(step.strip() for step in self.steps):
            what = "an empty step" if self.steps else "no steps"
            raise InputError(f"chain of prompt {self.prompt_id}: {what}; leave it out")

    @classmethod
    def of(cls, prompt_id: str, texts: Sequence[str], answer: str, sample: int = 0) -> Chain:
        """A chain of texts without the white space between them: one space each.

        Args:
            prompt_id: of the question.
            texts: the sentences.
            answer: what the chain ends in.
            sample: number of the reply.
        """
        return cls(prompt_id, spaced(texts), answer, sample)


def spaced(steps: Sequence[str]) -> tuple[str, ...]:
    """The steps with a space behind each that ends without white space, so that any may follow."""
    return tuple(step if step[-1:].isspace() else f"{step} " for step in steps)


def prefix(chain: Chain, n_steps: int) -> str:
    """What the chain says up to and with its n-th step."""
    return chain.opening + "".join(chain.steps[:n_steps])


def records_of(prompts: PromptSet, chains: Sequence[Chain]) -> dict[str, dict[str, Any]]:
    """The prompts' rows by their ids, once it is known that the chains are theirs.

    Raises:
        InputError: no chains, two of one prompt and sample, or one of a prompt that is not there.
    """
    records = {row["prompt_id"]: row for row in prompts.frame.to_dict("records")}
    if not chains:
        raise InputError("chains: none; give at least one chain with steps")
    seen: set[tuple[str, int]] = set()
    for chain in chains:
        if chain.prompt_id not in records:
            raise InputError(f"chain of prompt {chain.prompt_id}: no such prompt in the set")
        if (chain.prompt_id, chain.sample) in seen:
            raise InputError(
                f"chain of prompt {chain.prompt_id}: two of sample {chain.sample}; number them"
            )
        seen.add((chain.prompt_id, chain.sample))
    return records


def read_chains(
    replies: pd.DataFrame, split: Splitter, *, end: str = CHAIN_END
) -> tuple[list[Chain], pd.DataFrame]:
    """The chains of replies, cut into steps, and which replies have none.

    A step keeps the white space behind it, so that steps put together are the chain to the letter
    and a chain that is cut between two of them is the beginning of what was said.

    Args:
        replies: one row a reply: prompt_id, sample, text, answer, as from `reply_frame`.
        split: cuts a chain into steps; whatever it leaves out between two goes to the first.
        end: what ends a chain; the last one in the reply that is not part of a word counts.

    Returns:
        The chains in the order of the replies; and the replies that are left out: prompt_id,
        sample, why ("no end of thinking", "empty chain", "no answer", "no steps").

    Raises:
        InputError: no rows, a missing column, an empty end, or steps that do not stand in the chain
            in order.
    """
    if not end.strip():
        raise InputError(f"chains: their end is {end!r}; name what stands between chain and answer")
    check_columns("replies", replies, ("prompt_id", "sample", "text", "answer"), ("prompt_id",))
    # A tag may touch words; a marker that is a word must not be found inside of one.
    # ASCII only: in scripts without spaces any neighbour is a letter.
    edges = [r"\b" if re.match(r"\w", letter, re.ASCII) else "" for letter in (end[0], end[-1])]
    mark = re.compile(edges[0] + re.escape(end) + edges[1], re.ASCII)
    chains: list[Chain] = []
    left_out: list[dict[str, Any]] = []
    for row in replies.to_dict("records"):
        text, answer = row["text"], row["answer"]
        # Where the end is a special token it is not in the text, but the answer was told apart.
        told_apart = 0 < len(answer) < len(text) and text.endswith(answer)
        found = list(mark.finditer(text))
        if found:
            said, answer = text[: found[-1].start()], text[found[-1].end() :]
        else:
            said = text[: len(text) - len(answer)] if told_apart else ""
        opening = _opening(said, end)
        steps = () if not said.strip() else _steps(said[len(opening) :], split, row["prompt_id"])
        why = (
            "no end of thinking" if not found and not told_apart
            else "empty chain" if not said[len(opening) :].strip()
            else "no answer" if not answer.strip()
            else "no steps" if not steps else ""
        )  # fmt: skip
        if why:
            left_out.append({"prompt_id": row["prompt_id"], "sample": row["sample"], "why": why})
        else:
            chain = Chain(row["prompt_id"], steps, answer.strip(), int(row["sample"]), opening)
            chains.append(chain)
    return chains, excluded_rows(left_out)


def excluded_rows(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table of what is left out, which may be nothing: prompt_id, sample, why."""
    return pd.DataFrame(list(rows), columns=["prompt_id", "sample", "why"])


def _opening(said: str, end: str) -> str:
    """White space and the tag that a closing tag closes, if the chain begins with it."""
    tag = re.escape(end.replace("</", "<", 1)) if end.startswith("</") else ""
    found = re.match(rf"\s*(?:{tag}\s*)?", said)
    return found[0] if found else ""


def _steps(said: str, split: Splitter, prompt_id: object) -> tuple[str, ...]:
    starts, place = [], 0
    for step in split(said):
        place = said.find(step.strip(), place)
        if place < 0 or not step.strip():
            raise InputError(
                f"chain of prompt {prompt_id}: the step {step!r} does not stand in it, or not in "
                "order; a splitter cuts a text and changes nothing in it"
            )
        starts.append(place)
        place += len(step.strip())
    # What stands before the first step found is part of it.
    edges = [0, *starts[1:], len(said)] if starts else []
    return tuple(said[a:b] for a, b in pairwise(edges))
