"""Expected rates of replies: how likely a model abstains and how likely it is right, per prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.behavior.scores.teacher_forcing import NO_TOKEN, forward, target_tokens, token_ids
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions import Bias, Edit, intervene
from interp.interventions.kl_bound import last_mask
from interp.prompts import render, token_budget_batches
from interp.prompts.encoding import pad
from interp.stages.readout import Readout

TOKEN_BUDGET = 8192
"""Most tokens in a batch."""


@dataclass(frozen=True, eq=False)
class Rates:
    """What a model is expected to reply, before a word is drawn.

    Attributes:
        abstain_N: probability that the reply to each prompt begins with an abstaining phrase.
        right_N: probability that it begins with the right answer.
    """

    abstain_N: Float[np.ndarray, " n"]
    right_N: Float[np.ndarray, " n"]

    def where(self, fires_N: Bool[np.ndarray, " n"], acted: Rates) -> Rates:
        """The rates of an intervention where it fires, and these elsewhere."""
        return Rates(
            np.where(fires_N, acted.abstain_N, self.abstain_N),
            np.where(fires_N, acted.right_N, self.right_N),
        )


class Replies:
    """Teacher-forced probabilities of abstaining and of the right answer, in the same forwards.

    Args:
        readout: gives the prompts, whose right answer is the first of `answers`.
        tokenizer: of all models that will be scored.
        phrases: the abstaining ones.

    Raises:
        InputError: a prompt has no right answer, or a phrase or an answer has no tokens.
    """

    def __init__(self, readout: Readout, tokenizer: Any, phrases: Sequence[str]) -> None:
        frame = readout.prompts.frame
        names, answers = frame["prompt_id"].tolist(), frame["answers"].tolist()
        if lacking := [name for name, right in zip(names, answers, strict=True) if not right]:
            raise InputError(f"repair: prompt {lacking[0]} has no answer; expected a right one")
        texts = render(readout.prompts, tokenizer)
        self.readout = readout
        self._tokenizer = tokenizer
        self._ids = token_ids(texts, tokenizer)

        def tokens(rows: list[int], continuation: str) -> Int[Tensor, "n t"]:
            return target_tokens(
                [names[row] for row in rows],
                [texts[row] for row in rows],
                [self._ids[row] for row in rows],
                continuation,
                tokenizer,
            )

        every = list(range(len(texts)))
        self._phrases = [tokens(every, phrase) for phrase in phrases]
        own = [tokens([row], answers[row][0])[0] for row in every]
        self._right_NT = torch.nn.utils.rnn.pad_sequence(
            own, batch_first=True, padding_value=NO_TOKEN
        )
        firsts = torch.cat([phrase_NT[:, 0] for phrase_NT in self._phrases])
        self.opening_ids = tuple(sorted(set(firsts.tolist())))
        """Tokens that begin an abstaining phrase."""

    def rates(self, loaded: LoadedModel, edits: Sequence[Edit] = ()) -> Rates:
        """With edits in force at the last token of the prompt."""
        return self.under_rules(loaded, [None], edits)[0]

    def under_rules(
        self, loaded: LoadedModel, rules: Sequence[Bias | None], edits: Sequence[Edit] = ()
    ) -> list[Rates]:
        """The rates under each rule of decoding; None is none. A forward serves all of them."""
        targets = [*self._phrases, self._right_NT]
        logprob_RCN = np.empty((len(rules), len(targets), len(self._ids)))
        widest = max(target_NT.shape[1] for target_NT in targets)
        for rows in token_budget_batches([len(own) + widest for own in self._ids], TOKEN_BUDGET):
            encoded = pad([self._ids[row] for row in rows], self._tokenizer, side="left")
            with torch.inference_mode(), intervene(loaded, edits, last_mask(encoded)):
                first_BTV: Tensor | None = None
                for column, target_NT in enumerate(targets):
                    target_BT = target_NT[rows]
                    # What a single token needs, the forward of the first phrase has.
                    if first_BTV is None or target_BT.shape[1] > 1:
                        read_BT = target_BT[:, :-1]
                        logits_BTV = forward(loaded, encoded, read_BT, use_cache=False).logits
                        first_BTV = logits_BTV[:, :1] if first_BTV is None else first_BTV
                    else:
                        logits_BTV = first_BTV
                    for number, rule in enumerate(rules):
                        logprob_RCN[number, column, rows] = _logprob(logits_BTV, target_BT, rule)
        return [
            Rates(np.exp(np.logaddexp.reduce(of_rule[:-1], axis=0)), np.exp(of_rule[-1]))
            for of_rule in logprob_RCN
        ]


def _logprob(
    logits_BTV: Float[Tensor, "b t v"], target_BT: Int[Tensor, "b t"], rule: Bias | None
) -> np.ndarray:
    """Summed log probability of each row's target, under a rule of decoding, in float64."""
    total_B = torch.zeros(len(target_BT), dtype=torch.float64)
    for place in range(target_BT.shape[1]):
        logits_BV = logits_BTV[:, place].double().cpu()
        if rule is not None:
            logits_BV = rule.apply(logits_BV, target_BT[:, :place].tolist())
        target_B = target_BT[:, place]
        of_target_B = logits_BV.log_softmax(-1).gather(1, target_B.clamp(min=0)[:, None])[:, 0]
        total_B += of_target_B * (target_B != NO_TOKEN)
    return total_B.numpy()
