"""A base model steered, token by token, by what the state of its reasoning descendant says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Site
from interp.behavior import Decoding, Reply, replies
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.interventions.hybrid_steps import (
    ARMS,
    NO_CATEGORY,
    Arm,
    Categorise,
    Stepper,
    Written,
)
from interp.prompts import PromptSet


@dataclass(frozen=True, eq=False)
class HybridReplies:
    """Replies of a hybrid and how they came about.

    Attributes:
        replies: in the order of the prompts, the samples of each beside each other.
        steps: one row a step: prompt_id, sample, step (from 0; the last one may have said the end
            token), differs (the two models' likeliest tokens), category (-1 where nothing was
            written), steered, coefficient (0 where not steered).
    """

    replies: list[Reply]
    steps: pd.DataFrame

    @property
    def share_steered(self) -> float:
        """Of all steps."""
        return float(self.steps["steered"].mean())


def hybrid_replies(
    base: LoadedModel,
    thinker: LoadedModel,
    prompts: PromptSet,
    decoding: Decoding,
    written: Written,
    categorise: Categorise,
    site: Site,
    *,
    arm: Arm = "full",
    share: float | None = None,
    oracle: Mapping[str, Sequence[int]] | None = None,
    seed: int = 0,
    token_budget: int = 8192,
) -> HybridReplies:
    """Replies of the base model, steered at single tokens.

    Source: Venhoff et al. 2025 (arXiv 2510.07364). At each step the thinker reads what the hybrid
    has written so far. Where its likeliest next token is not the base model's, its state chooses a
    category, whose vector is added to the base model at that token; what it changes there stays in
    the cache. (There, several strengths are tried at each token and the thinker's likelihood picks
    one, so that the thinker writes the reply; here nothing is picked.)

    Args:
        base: writes.
        thinker: of the same vocabulary, but for special tokens that only one of them has.
        prompts: rendered with the base model's own chat template, for both.
        decoding: how replies are drawn.
        written: into the base model.
        categorise: category of the thinker's state.
        site: of that state.
        arm: which of the two parts of the thinker's advice are replaced (`ARMS`).
        share: of random_timing: chance of each step to be steered, as a rule `share_steered` of the
            full arm. Where the thinker has no category, one is drawn.
        oracle: of oracle: by prompt id, the category of each step; steps behind its end have none.
        seed: of random timing, which is the same however replies are batched, and of vectors.
        token_budget: as for `replies`.

    Raises:
        InputError: vocabularies that differ, an unknown arm or one that lacks what it needs, a
            category that has no direction, bias_only without a bias, or as `replies`.
    """
    _check(base, thinker, prompts, written, arm, share, oracle)
    used = written.randomised(seed) if arm == "random_vectors" else written
    prompt_ids = prompts.frame["prompt_id"].tolist()
    run = Stepper(base, thinker, used, categorise, site, arm, share, oracle or {}, seed, prompt_ids)
    found: list[tuple[int, Reply, list[dict[str, Any]]]] = []
    batches = replies(base, prompts, decoding, token_budget=token_budget, edits=run.batch)
    for _, rows, batch in batches:
        for row, reply, steps in zip(rows, batch, run.steps, strict=True):
            # A row that has ended goes on, unread, until its batch has.
            said = len(reply.tokens) + (reply.ending == "end")
            found.append((row, reply, steps[:said]))
    found.sort(key=lambda entry: (entry[0], entry[1].sample))
    steps = [
        {"prompt_id": reply.prompt_id, "sample": reply.sample, "step": number} | step
        for _, reply, of_reply in found
        for number, step in enumerate(of_reply)
    ]
    return HybridReplies([reply for _, reply, _ in found], pd.DataFrame(steps))


def by_dictionary(dictionary: Dictionary, latents: Sequence[int]) -> Categorise:
    """Category n where the n-th of the latents fires most; none where none of them fires.

    Args:
        dictionary: read at its own site.
        latents: one a category.
    """

    def categorise(acts_ND: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        most_N, category_N = dictionary.encode(acts_ND)[:, list(latents)].max(1)
        return torch.where(most_N > 0, category_N, NO_CATEGORY)

    return categorise


def _check(
    base: LoadedModel,
    thinker: LoadedModel,
    prompts: PromptSet,
    written: Written,
    arm: str,
    share: float | None,
    oracle: Mapping[str, Sequence[int]] | None,
) -> None:
    if arm not in ARMS:
        raise InputError(f"hybrid: arm '{arm}'; expected one of {', '.join(ARMS)}")
    _check_vocabulary(base, thinker)
    if arm == "bias_only" and written.bias is None:
        raise InputError("hybrid: bias_only without a bias is the base model; give one")
    if arm == "random_timing" and (share is None or not 0 <= share <= 1):
        raise InputError(f"hybrid: random_timing with share {share}; expected one from 0 to 1")
    if arm == "oracle":
        lacking = [name for name in prompts.frame["prompt_id"] if name not in (oracle or {})]
        if lacking:
            raise InputError(f"hybrid: the oracle says nothing of prompt {lacking[0]}")
        highest = max((max(given, default=-1) for given in (oracle or {}).values()), default=-1)
        if highest >= len(written.directions):
            raise InputError(
                f"hybrid: the oracle says category {highest}; expected one below "
                f"{len(written.directions)}, the number of directions"
            )


def _check_vocabulary(base: LoadedModel, thinker: LoadedModel) -> None:
    ours, theirs = base.tokenizer.get_vocab(), thinker.tokenizer.get_vocab()
    added = {
        str(token)
        for loaded in (base, thinker)
        for token in loaded.tokenizer.added_tokens_decoder.values()
    }
    for token in sorted(ours.keys() | theirs.keys()):
        one_lacks_it = token not in ours or token not in theirs
        if ours.get(token) != theirs.get(token) and not (one_lacks_it and token in added):
            raise InputError(
                f"hybrid of {base.checkpoint.name} and {thinker.checkpoint.name}: token {token!r} "
                f"has id {ours.get(token, 'none')} and {theirs.get(token, 'none')}; the thinker "
                "reads what the base model writes, so give two of one vocabulary"
            )
