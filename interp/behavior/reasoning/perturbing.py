"""Chains of thought that are disturbed: mistakes, filler and paraphrase, and whether answers move.

Source: Lanham et al., arXiv 2307.13702. A step is replaced by a mistaken one and the rest is said
anew; the whole chain is replaced by filler of 0, 5, 10, ... tokens; the chain's beginning is put
into other words, without sight of the question, and the rest is said anew. Each trial stands beside
one that is not disturbed but asked in the same way (arm "unchanged"): saying the rest anew moves
answers by itself where tokens are drawn, and a chain that is written out again is not always the
tokens that were said.

Direction:
- mistakes: answers that stay the same although a step is mistaken are less faithful to the chain;
- filler: accuracy and answers that filler keeps up are less faithful too: what the chain says does
  not matter. Accuracy that rises with the length of filler would be computing without saying;
- paraphrase: answers that stay the same show nothing by themselves, as what the chain says is the
  same. Only answers that change do: then something was in the wording.
A model that abstains in all of these keeps its answer; abstention stands beside every figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from interp.behavior.reasoning.chains import Chain, prefix, records_of
from interp.behavior.reasoning.rewording import (
    MistakeMaker,
    Paraphraser,
    mistaken_step,
    reworded,
)
from interp.behavior.reasoning.trials import SUFFIX, UNCHANGED, Trials, trials
from interp.behavior.scores.teacher_forcing import token_ids
from interp.errors import InputError
from interp.prompts import PromptSet

FILLER = " ..."


def mistake_trials(
    prompts: PromptSet,
    chains: Sequence[Chain],
    tokenizer: Any,
    *,
    maker: MistakeMaker = mistaken_step,
    most: int | None = None,
    seed: int = 0,
) -> Trials:
    """Chains up to step i, which is mistaken, to be gone on with; and the same with step i as said.

    Args:
        prompts: what was asked.
        chains: of these prompts.
        tokenizer: of the model that is asked.
        maker: makes a step mistaken; a step that it gives None for, or leaves as it is, is left
            out and counted.
        most: steps a chain, drawn by chance; None for all.
        seed: of the steps and mistakes.

    Returns:
        Trials with arm ("mistake", "unchanged"), place (i, from 1) and steps.

    Raises:
        InputError: `most` below 1, no step can be made mistaken, or as `records_of`.
    """

    def changed(chain: Chain, i: int, rng: np.random.Generator) -> str | None:
        step = chain.steps[i - 1]
        wrong = maker(step.strip(), rng)
        same = wrong is None or wrong.split() == step.split()
        return None if same else f"{prefix(chain, i - 1)}{wrong}"

    return _resumed(prompts, chains, tokenizer, "mistake", changed, most, seed)


def paraphrase_trials(
    prompts: PromptSet,
    chains: Sequence[Chain],
    tokenizer: Any,
    *,
    paraphraser: Paraphraser = reworded,
    most: int | None = None,
    seed: int = 0,
) -> Trials:
    """Steps 1 to i in other words, to be gone on with; and the same as they were said.

    Args:
        prompts: what was asked; the paraphraser sees nothing of it.
        chains: of these prompts.
        tokenizer: of the model that is asked.
        paraphraser: puts a text into other words; one that it leaves as it is is left out and
            counted.
        most: beginnings a chain, drawn by chance; None for all.
        seed: of that draw.

    Returns:
        Trials with arm ("paraphrase", "unchanged"), place (i, from 1) and steps.

    Raises:
        InputError: `most` below 1, nothing can be put into other words, or as `records_of`.
    """

    def changed(chain: Chain, i: int, _: np.random.Generator) -> str | None:
        said = "".join(chain.steps[:i])
        other = paraphraser(said)
        return None if other.split() == said.split() else chain.opening + other

    return _resumed(prompts, chains, tokenizer, "paraphrase", changed, most, seed)


def filler_trials(
    prompts: PromptSet,
    chains: Sequence[Chain],
    tokenizer: Any,
    *,
    suffix: str = SUFFIX,
    most: int | None = None,
    step: int = 5,
    filler: str = FILLER,
) -> Trials:
    """Filler in the place of each chain, 0, `step`, 2 `step`, ... times; and the chain itself.

    Args:
        prompts: what was asked.
        chains: of these prompts.
        tokenizer: of the model that is asked.
        suffix: what asks for the answer, the same behind chain and filler; it should end the chain.
        most: most repetitions; None for the tokens of the longest chain.
        step: repetitions from one trial to the next.
        filler: what is repeated.

    Returns:
        Trials with arm ("filler", "unchanged"), place (repetitions; -1 for the chain) and tokens
        (what they come to in this tokenizer, of the chain as well).

    Raises:
        InputError: `most` below 0, `step` below 1, an empty filler, or as `records_of`.
    """
    if step < 1 or (most is not None and most < 0) or not filler.strip():
        raise InputError(
            f"filler {filler!r}, most {most}, step {step}: expected a text, at least 0 and 1"
        )
    records_of(prompts, chains)
    own = [prefix(chain, len(chain.steps)).strip() for chain in chains]
    own_tokens = [len(ids) for ids in token_ids(own, tokenizer)]
    places = list(range(0, 1 + (max(own_tokens) if most is None else most), step))
    filled = [len(ids) for ids in token_ids([filler * n for n in places], tokenizer)]
    rows = []
    for chain, text, tokens in zip(chains, own, own_tokens, strict=True):
        rows.append((chain, text, {"arm": UNCHANGED, "place": -1, "tokens": tokens}))
        for n, length in zip(places, filled, strict=True):
            what = {"arm": "filler", "place": n, "tokens": length}
            rows.append((chain, chain.opening.rstrip() + filler * n, what))
    return trials(prompts, tokenizer, rows, suffix=suffix)


def _resumed(
    prompts: PromptSet,
    chains: Sequence[Chain],
    tokenizer: Any,
    arm: str,
    changed: Callable[[Chain, int, np.random.Generator], str | None],
    most: int | None,
    seed: int,
) -> Trials:
    """Beginnings of chains, changed and as said, to be gone on with."""
    if most is not None and most < 1:
        raise InputError(f"{arm}: most is {most}; expected at least 1 place a chain, or None")
    records_of(prompts, chains)
    rng = np.random.default_rng(seed)
    rows, excluded = [], []
    for chain in chains:
        n = len(chain.steps)
        places = 1 + np.sort(rng.permutation(n)[: most or n])
        for i in places.tolist():
            text = changed(chain, i, rng)
            if text is None:
                of = {"prompt_id": chain.prompt_id, "sample": chain.sample}
                excluded.append(of | {"why": f"{arm} at step {i}: no rule changes it"})
                continue
            for name, behind in ((arm, text), (UNCHANGED, prefix(chain, i))):
                rows.append((chain, behind, {"arm": name, "place": i, "steps": n}))
    return trials(prompts, tokenizer, rows, excluded=excluded)
