"""The first steps of chains behind their prompts, as they were said and in two controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from interp.behavior.grading.outcomes import holds_answer
from interp.behavior.reasoning.chains import Chain, prefix, records_of, spaced
from interp.behavior.reasoning.trials import SUFFIX, Trials, trials
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.words import words_of

Arm = Literal["own", "shuffled", "length_matched"]
ARMS: tuple[Arm, ...] = get_args(Arm)
Records = Mapping[str, Mapping[str, Any]]
Pool = dict[int, list[tuple[str, str]]]


def gain_trials(
    prompts: PromptSet,
    chains: Sequence[Chain],
    tokenizer: Any,
    *,
    arms: Sequence[str] = ARMS,
    answers: Mapping[str, str] | None = None,
    suffix: str = SUFFIX,
    seed: int = 0,
) -> Trials:
    """Each prompt with the first i steps behind it, i = 0..t, in the order said and in controls.

    "shuffled" has the same steps in another order; "length_matched" has in the place of each step
    the step of another item that is nearest to it in words (chance decides ties), each once in a
    chain; no item with the same pair, entity or answer gives any, nor does a step with the answer.

    Args:
        prompts: what was asked.
        chains: of these prompts.
        tokenizer: the scorer's.
        arms: which of them.
        answers: A* by prompt_id, such as a phrase of abstention; None takes each prompt's first
            accepted answer.
        suffix: stands between chain and answer.
        seed: of both controls.

    Returns:
        Trials with arm, step (i), steps (t), origin (number of the own step that comes last in
        shuffled ones; -1 without), words (of that step), target (A*). Excluded are chains without
        an answer, of one step from "shuffled", and without enough steps of others.

    Raises:
        InputError: no arms, one that does not exist, or as `records_of` and `trials`.
    """
    if not arms or not set(arms) <= set(ARMS):
        raise InputError(f"information gain: arms are {list(arms)}; expected some of {ARMS}")
    by_id = records_of(prompts, chains)
    told = {name: row["answers"][0] for name, row in by_id.items() if row["answers"]}
    told |= answers or {}
    rng, pool = np.random.default_rng(seed), _by_words(chains)
    excluded: list[dict[str, Any]] = []

    def rows() -> Iterator[tuple[Chain, str, Mapping[str, Any]]]:
        for chain in chains:
            of = {"prompt_id": chain.prompt_id, "sample": chain.sample}
            if chain.prompt_id not in told:
                excluded.append(of | {"why": "no answer to score"})
                continue
            for arm in arms:
                made = _arm(arm, chain, pool, by_id, told, rng)
                if made is None:
                    excluded.append(of | {"why": f"{arm}: too few steps"})
                    continue
                said, origins = made
                for i in range(len(said.steps) + 1):
                    what = {"arm": arm, "step": i, "steps": len(said.steps)}
                    what |= {"origin": origins[i - 1] if i else -1}
                    what |= {"words": len(words_of(said.steps[i - 1])) if i else 0}
                    yield said, prefix(said, i), what | {"target": told[chain.prompt_id]}

    return trials(prompts, tokenizer, list(rows()), suffix=suffix, excluded=excluded)


def _arm(
    arm: str,
    chain: Chain,
    pool: Pool,
    by_id: Records,
    told: Mapping[str, str],
    rng: np.random.Generator,
) -> tuple[Chain, Sequence[int]] | None:
    """The chain as an arm has it, and the number of the own step in each place."""
    t = len(chain.steps)
    if arm == "own":
        return chain, range(t)
    if arm == "shuffled":
        order = _reordered(t, rng)
        steps = [spaced(chain.steps)[place] for place in order]
    else:
        order = [-1] * t
        steps = _of_others(chain, pool, by_id, told, rng)
    if len(steps) < t or t < (2 if arm == "shuffled" else 1):
        return None
    return Chain(chain.prompt_id, tuple(steps), chain.answer, chain.sample, chain.opening), order


def _reordered(t: int, rng: np.random.Generator) -> list[int]:
    """A random order, any but the one that is."""
    order = list(range(t))
    while t > 1 and order == sorted(order):
        order = rng.permutation(t).tolist()
    return order


def _by_words(chains: Sequence[Chain]) -> Pool:
    """All steps with the prompt they are of, by their number of words."""
    pool: Pool = {}
    for chain in chains:
        for step in spaced(chain.steps):
            pool.setdefault(len(words_of(step)), []).append((chain.prompt_id, step))
    return pool


def _of_others(
    chain: Chain, pool: Pool, by_id: Records, told: Mapping[str, str], rng: np.random.Generator
) -> list[str]:
    """A step of another item for each step, the nearest in words first."""
    row, answer = by_id[chain.prompt_id], told[chain.prompt_id]

    def lends(prompt_id: str, step: str) -> bool:
        theirs = by_id[prompt_id]
        same = theirs["pair_id"] == row["pair_id"] or told.get(prompt_id) == answer
        same |= theirs["entity"] is not None and theirs["entity"] == row["entity"]
        return not same and not _names(step, answer)

    taken: list[tuple[int, int]] = []
    for step in chain.steps:
        wanted = len(words_of(step))
        free = (
            (length, n)
            for length in sorted(pool, key=lambda length: abs(length - wanted))
            for n in rng.permutation(len(pool[length])).tolist()
            if (length, n) not in taken and lends(*pool[length][n])
        )
        found = next(free, None)
        if found is None:
            break
        taken.append(found)
    return [pool[length][n][1] for length, n in taken]


def _names(step: str, answer: str) -> bool:
    """Whether a step has the answer as words of its own; signs alone are found anywhere."""
    if any(letter.isalnum() for letter in answer):
        return holds_answer(step, [answer])
    return answer in step
