"""Tokens that tell an abstaining reply from an answering one by its very first step."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.behavior.grading.kinds import ABSTAINING_KINDS
from interp.behavior.scores.continuations import Continuations, check_readable
from interp.behavior.scores.scoring import EditBatch
from interp.behavior.scores.teacher_forcing import forward, target_tokens, token_ids
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, render, token_budget_batches
from interp.prompts.encoding import pad


@dataclass(frozen=True)
class FirstTokens:
    """Tokens that continuations begin with after a prompt.

    Attributes:
        begins: continuations by the token that they begin with.
        chosen: tokens that begin an abstaining continuation and none that answers.
    """

    begins: Mapping[int, tuple[str, ...]]
    chosen: tuple[int, ...]


def first_tokens(
    tokenizer: Any,
    continuations: Continuations,
    text: str = "",
    *,
    kinds: Collection[str] = ABSTAINING_KINDS,
) -> FirstTokens:
    """The tokens that replies begin with, for a tokenizer.

    After a prompt that ends in a word or a colon most tokenizers have the space within the token
    (" I"); after a line break or a turn marker they do not ("I").

    Args:
        tokenizer: of the model.
        continuations: in the language of the prompts.
        text: a rendered prompt.
        kinds: those that count as abstaining.

    Raises:
        InputError: the tokenizer lacks words of a continuation, one changes how the text is
            tokenised, or every token that begins an abstaining one begins an answering one too.
    """
    (found,), _ = first_token_sets(tokenizer, ["as given"], [text], continuations, kinds=kinds)
    return found


def first_token_score(
    loaded: LoadedModel,
    prompts: PromptSet,
    continuations: Continuations,
    *,
    kinds: Collection[str] = ABSTAINING_KINDS,
    edits: EditBatch | None = None,
    token_budget: int = 8192,
) -> Float[np.ndarray, " n"]:
    """Log odds that the reply begins with a token of the set: log P(set) - log(1 - P(set)).

    One forward a prompt, and none for the continuations. The set is that of `first_tokens` after
    each prompt. Source: the refusal metric of Arditi et al. 2024 (arXiv 2406.11717), whose set is
    one or two tokens chosen by hand.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template, up to where the answer begins.
        continuations: in the language of the prompts.
        kinds: those that count as abstaining.
        edits: as for `continuation_logprobs`.
        token_budget: most tokens in a forward, padding included.

    Raises:
        InputError: as `first_tokens`; the message names the prompt.
    """
    reader = FirstTokenReader.of(loaded.tokenizer, prompts, continuations, kinds=kinds)
    return reader.score(loaded, edits=edits, token_budget=token_budget)


@dataclass(frozen=True, eq=False)
class FirstTokenReader:
    """`first_token_score` of one set of prompts, for many models or edits: words are read once.

    Attributes:
        ids: tokens of the rendered prompts.
        sets: the different sets after them.
        set_N: number of the set after each.
    """

    ids: list[list[int]]
    sets: list[FirstTokens]
    set_N: Int[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        prompts: PromptSet,
        continuations: Continuations,
        *,
        kinds: Collection[str] = ABSTAINING_KINDS,
    ) -> FirstTokenReader:
        """Reads prompts and continuations, as `first_token_score`.

        Args:
            tokenizer: of the models that will be scored.
            prompts: N prompts.
            continuations: whose first tokens make the set.
            kinds: of continuations that count as abstaining.

        Raises:
            InputError: as `first_tokens`; the message names the prompt.
        """
        texts = render(prompts, tokenizer)
        prompt_ids = prompts.frame["prompt_id"].tolist()
        sets, set_N = first_token_sets(tokenizer, prompt_ids, texts, continuations, kinds=kinds)
        return cls(token_ids(texts, tokenizer), sets, set_N)

    def score(
        self, loaded: LoadedModel, *, edits: EditBatch | None = None, token_budget: int = 8192
    ) -> Float[np.ndarray, " n"]:
        """The scores of a model that has the tokenizer which the prompts were read with.

        Args:
            loaded: the model.
            edits: makes the context that each batch is read in; none by default.
            token_budget: most tokens in a forward, padding included.
        """
        score_N = torch.empty(len(self.ids))
        for rows in token_budget_batches([len(own) for own in self.ids], token_budget):
            encoded = pad([self.ids[row] for row in rows], loaded.tokenizer, side="left")
            nothing_B0 = torch.empty(len(rows), 0, dtype=torch.long)
            with edits(encoded, rows) if edits else nullcontext(), torch.inference_mode():
                output = forward(loaded, encoded, nothing_B0, use_cache=False)
            logits_BV = output.logits[:, -1].float()
            for number in np.unique(self.set_N[rows]):
                here_B = torch.from_numpy(self.set_N[rows] == number)
                chosen = self.sets[number].chosen
                odds_R = _log_odds(logits_BV[here_B.to(logits_BV.device)], chosen)
                score_N[torch.tensor(rows)[here_B]] = odds_R.cpu()
        return score_N.double().numpy()


def first_token_sets(
    tokenizer: Any,
    prompt_ids: Sequence[object],
    texts: Sequence[str],
    continuations: Continuations,
    *,
    kinds: Collection[str] = ABSTAINING_KINDS,
) -> tuple[list[FirstTokens], Int[np.ndarray, " n"]]:
    """The different sets after rendered prompts, and the number of the one after each.

    Raises:
        InputError: as `first_tokens`; the message names the prompt.
    """
    check_readable(continuations, tokenizer)
    ids = token_ids(texts, tokenizer)
    first_NC = np.stack(
        [
            target_tokens(prompt_ids, texts, ids, text, tokenizer)[:, 0].numpy()
            for text in continuations.texts
        ],
        axis=1,
    )
    first_SC, row_S, set_N = np.unique(first_NC, axis=0, return_index=True, return_inverse=True)
    kind_C = np.array(continuations.kind_of_each)
    found = []
    for first_C, row in zip(first_SC, row_S, strict=True):
        begins: dict[int, tuple[str, ...]] = {}
        for token, text in zip(first_C.tolist(), continuations.texts, strict=True):
            begins[token] = (*begins.get(token, ()), text)
        abstaining = set(first_C[np.isin(kind_C, list(kinds))].tolist())
        chosen = abstaining - set(first_C[kind_C == "answer"].tolist())
        if not chosen:
            raise InputError(
                f"{continuations.source}: after prompt {prompt_ids[row]} no token begins a "
                f"continuation of the kind {' or '.join(kinds)} and none that answers; "
                "word the two differently from their first token on"
            )
        found.append(FirstTokens(begins, tuple(sorted(chosen))))
    return found, set_N.reshape(-1)


def _log_odds(logits_BV: Float[Tensor, "b v"], tokens: Sequence[int]) -> Float[Tensor, " b"]:
    inside = torch.tensor(tokens, device=logits_BV.device)
    outside_BV = logits_BV.index_fill(1, inside, -torch.inf)
    return logits_BV[:, inside].logsumexp(1) - outside_BV.logsumexp(1)
