"""How sure a model is of an answer: from the probabilities of its tokens, or in its own words."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from math import log

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from interp.errors import InputError


@dataclass(frozen=True)
class SpanConfidence:
    """Confidences of N answers, each in [0, 1] but for the log; NaN where a span has no tokens.

    The first three are means over the answer's tokens, of what the model predicted where each of
    them stands: RLSF's (arXiv 2507.21931; the margin is that of CoT decoding, arXiv 2402.10200).
    RLSF counts an answer without a span as 0.

    Attributes:
        top_probability: of the most likely token. RLSF's code reads `token_probability`; greedy
            decoding makes the two the same.
        margin: probability of the most likely token less that of the next.
        entropy: 1 - H / log V, which is 1 for a sure prediction and 0 for a uniform one.
        token_probability: of the answer's own token, the mean over its tokens.
        sequence_probability: of the whole answer, the product over its tokens.
        normalised_probability: the product to the power 1 / tokens: one over the perplexity.
        min_probability: of the answer's least likely token.
        sequence_logprob: log of the sequence probability, in nats, which may be too small for it.
    """

    top_probability: Float[Tensor, " n"]
    margin: Float[Tensor, " n"]
    entropy: Float[Tensor, " n"]
    token_probability: Float[Tensor, " n"]
    sequence_probability: Float[Tensor, " n"]
    normalised_probability: Float[Tensor, " n"]
    min_probability: Float[Tensor, " n"]
    sequence_logprob: Float[Tensor, " n"]

    def frame(self) -> pd.DataFrame:
        """One row an answer, one column a confidence."""
        return pd.DataFrame({f.name: getattr(self, f.name).numpy() for f in fields(self)})


def span_confidence(
    logits_NTV: Float[Tensor, "n t v"],
    token_NT: Int[Tensor, "n t"],
    span_NT: Bool[Tensor, "n t"],
) -> SpanConfidence:
    """Confidences of answer spans from the logits that predict them.

    Args:
        logits_NTV: what predicts each token (the model's output one place before it); logits or log
            probabilities, of the whole vocabulary. -inf is a token ruled out.
        token_NT: the tokens that were said.
        span_NT: which of them are the answer.

    Returns:
        float64, on the CPU.

    Raises:
        InputError: fewer than two tokens to choose from, a token outside the vocabulary or ruled
            out, or a NaN or +inf within a span.
    """
    n_rows, n_tokens, n_vocab = logits_NTV.shape
    if n_vocab < 2:
        raise InputError(f"span confidence: a vocabulary of {n_vocab}; expected at least 2 tokens")
    per_token = torch.full((5, n_rows, n_tokens), torch.nan, dtype=torch.float64)
    for place in range(n_tokens):
        # Place by place: one float64 copy of a large vocabulary at a time.
        rows = span_NT[:, place].nonzero()[:, 0]
        if len(rows):
            logprob_RV = logits_NTV[rows, place].double().log_softmax(-1)
            token_R = token_NT[rows, place]
            _check(logprob_RV, token_R, rows, place)
            per_token[:, rows.cpu(), place] = _of_tokens(logprob_RV, token_R).cpu()
    span_NT = span_NT.cpu()
    top, margin, entropy, chosen, logprob = (
        torch.where(span_NT, values_NT, torch.nan) for values_NT in per_token
    )
    empty_N = ~span_NT.any(1)
    total_N = logprob.nansum(1).masked_fill(empty_N, torch.nan)
    least_N = chosen.nan_to_num(nan=torch.inf).amin(1) if n_tokens else total_N
    return SpanConfidence(
        top_probability=top.nanmean(1),
        margin=margin.nanmean(1),
        entropy=entropy.nanmean(1),
        token_probability=chosen.nanmean(1),
        sequence_probability=total_N.exp(),
        normalised_probability=logprob.nanmean(1).exp(),
        min_probability=least_N.masked_fill(empty_N, torch.nan),
        sequence_logprob=total_N,
    )


def verbalised_confidence(text: str, *, scale: float = 1.0) -> float | None:
    """The confidence that a reply puts into numbers, as a share.

    Read are a percentage ("80%", "80 percent"), a fraction ("80/100", "4 of 5", "4 out of 5") and a
    bare number, which is out of the scale; one that stands by a word of confidence ("confidence:
    0.8", "I am 80% sure"), or is all that the reply says. A range after the word, as in "confidence
    (0-100): 80", is the scale. Nothing is guessed: a reply that gives two different numbers, a
    range, a bound ("at least 80%"), a negation, or a number beyond its scale has no confidence.

    Args:
        text: the reply.
        scale: what a bare number is out of: what the prompt asked for.

    Returns:
        A share in [0, 1], or None where there is none, or no single one.

    Raises:
        InputError: a scale that is not above 0.
    """
    if not scale > 0:
        raise InputError(f"verbalised confidence: the scale is {scale}; expected a number above 0")
    found = [*_AFTER.finditer(text), *_BEFORE.finditer(text)]
    if not found:
        alone = _ALONE.fullmatch(text)
        found = [alone] if alone else []
    shares = {_share(match, text, scale) for match in found}
    return shares.pop() if len(shares) == 1 else None


_NUMBER = r"(?<![\w.,/])(?P<number>[-+]?(?:\d+(?:[.,]\d+)?|\.\d+))"
# What makes a number more than it is: digits, a range, or the start of another fraction.
_END = (
    r"(?![.,]?\d|\s*(?:-|\N{EN DASH}|/)\s*\d|\s*%?\s*(?:to|or|and)\s+\d|\s*%\s*[-\N{EN DASH}]\s*\d)"
)
_VALUE = (
    _NUMBER + r"(?:\s*(?P<percent>%|per\s?cent\b)|\s*(?:/|out\s+of|of)\s*(?P<whole>\d+(?:\.\d+)?))?"
    r"(?!\w)" + _END
)
_NOUN = r"(?:confidence|certainty|probability)"
_SURE = rf"(?:confident|certain|sure|{_NOUN})"
_RANGE = r"\(?\s*(?:from\s+)?0\s*(?:-|\N{EN DASH}|to)\s*(?P<top>\d+)\s*%?\s*\)?"
_FILLER = r"(?:\s|[:=>*_`\"']|\b(?:is|of|at|level|score|rating|about|around|roughly|my|answer)\b)"
_AFTER = re.compile(rf"\b{_NOUN}\b{_FILLER}*(?:{_RANGE}{_FILLER}+)?{_VALUE}", re.IGNORECASE)
_BEFORE = re.compile(rf"{_VALUE}\s*\b{_SURE}\b", re.IGNORECASE)
_ALONE = re.compile(rf"[\s*_`\"'(]*{_VALUE}[\s.!*_`\"')]*", re.IGNORECASE)
_BOUND = re.compile(
    r"(?:\b(?:and|or|to|than|over|under|above|below|least|most|not|between|nearly|almost)|n't"
    r"|[<>\N{LESS-THAN OR EQUAL TO}\N{GREATER-THAN OR EQUAL TO}\N{EN DASH}-])\s*$",
    re.IGNORECASE,
)


def _share(match: re.Match[str], text: str, scale: float) -> float | None:
    parts = match.groupdict()
    # A closing tag such as <confidence> is no bound.
    before = text[: match.start("number")]
    if _BOUND.search(before) and not re.search(r"</?\w+>\s*$", before):
        return None
    whole = float(parts["whole"] or parts.get("top") or (100 if parts["percent"] else scale))
    if parts["percent"]:
        whole = 100.0
    value = float(parts["number"].replace(",", ".")) / whole if whole else -1.0
    return value if 0 <= value <= 1 else None


def _of_tokens(logprob_RV: Tensor, token_R: Tensor) -> Tensor:
    """Top probability, margin, entropy confidence, own probability and its log, [5, R]."""
    probability_RV = logprob_RV.exp()
    first_R, second_R = probability_RV.topk(2, -1).values.unbind(-1)
    entropy_R = torch.special.entr(probability_RV).sum(-1) / log(logprob_RV.shape[-1])
    own_R = logprob_RV.gather(1, token_R[:, None])[:, 0]
    return torch.stack(
        [first_R, first_R - second_R, (1 - entropy_R).clamp(0, 1), own_R.exp(), own_R]
    )


def _check(logprob_RV: Tensor, token_R: Tensor, rows: Tensor, place: int) -> None:
    n_vocab = logprob_RV.shape[-1]
    outside_R = (token_R < 0) | (token_R >= n_vocab)
    broken_R = logprob_RV.isnan().any(-1)
    own_R = logprob_RV.gather(1, token_R.clamp(0, n_vocab - 1)[:, None])[:, 0]
    for bad_R, what in (
        (broken_R, "logits hold NaN or +inf"),
        (outside_R, f"a token lies outside the vocabulary of {n_vocab}"),
        (own_R.isneginf(), "the token said was ruled out (its logit is -inf)"),
    ):
        if bad_R.any():
            row = int(rows[bad_R.nonzero()[0, 0]])
            raise InputError(f"span confidence, row {row}, token {place}: {what}")
