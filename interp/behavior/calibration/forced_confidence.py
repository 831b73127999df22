"""How sure a model is of replies that are given: teacher-forced, at the tokens of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interp.behavior.calibration.answer_spans import answer_span
from interp.behavior.calibration.confidence import SpanConfidence, span_confidence
from interp.behavior.calibration.reply_states import (
    head_logits,
    head_size,
    head_states,
    reply_batches,
    reply_tokens,
)
from interp.behavior.calibration.token_text import token_text
from interp.behavior.scores.scoring import EditBatch
from interp.behavior.scores.teacher_forcing import NO_TOKEN
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.encoding import pad

Span = tuple[int, int]
"""The [start, stop) tokens of a reply."""

_FIELDS = tuple(field.name for field in fields(SpanConfidence))
_MEANS = ("top_probability", "margin", "entropy", "token_probability")
_LOGITS = 2**25
"""Most logits that exist at once: 128 MiB of float32."""


def reply_confidence(
    loaded: LoadedModel,
    prompts: PromptSet,
    replies: Sequence[str | Sequence[int]],
    *,
    spans: Sequence[Span | None] | None = None,
    answers: Sequence[str | None] | None = None,
    after: str | None = None,
    token_budget: int = 8192,
    edits: EditBatch | None = None,
) -> pd.DataFrame:
    """Confidence in the answer of each reply, and the log probability of the whole reply.

    Each reply is read behind its prompt in one forward. Logits are computed where tokens of replies
    are predicted, and a few at a time, so that long replies and large vocabularies fit.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        replies: one a prompt: a text, which stands behind its prompt as `interp.prompts.encoding`
            joins them, or the token ids that were said, which are read as they are. An end token
            counts where it is among the ids.
        spans: the tokens of each reply that are its answer, such as `matched_span` finds; None for
            a reply without one.
        answers: in place of spans, the text of each answer, found by `answer_span`; None, or
            nothing but white space, for a reply without one. With neither spans nor answers the
            whole reply is the answer.
        after: the marker behind which answers stand, as for `answer_span`.
        token_budget: most tokens in a forward, padding included.
        edits: makes the context that each forward runs in, as for `continuation_logprobs`.

    Returns:
        One row a prompt, in their order: prompt_id; the confidences of `SpanConfidence`; span_start
        and span_stop (tokens of the reply, Int64), span_text; has_span, whose mean is the share of
        replies with an answer; reply_tokens; reply_logprob, in nats, of all tokens of the reply (0
        if there are none), and reply_logprob_per_token. Without a span the confidences are NaN.
        RLSF counts them as 0, and so does `confidence_items` where it is told to.

    Raises:
        InputError: not one reply, span or answer a prompt; spans and answers both; a span that does
            not lie in its reply; token ids outside of the vocabulary; a text that changes the last
            tokens of its prompt; a prompt beyond the model's context with its reply; or a token
            without a finite log probability. Messages name the prompt.
    """
    names = prompts.frame["prompt_id"].tolist()
    _check_given(names, replies, spans, answers, after)
    prompt_ids, reply_ids = reply_tokens(loaded, prompts, replies)
    found = _spans(names, reply_ids, loaded.tokenizer, spans, answers, after)
    sizes = [(len(prompt), len(reply)) for prompt, reply in zip(prompt_ids, reply_ids, strict=True)]
    logprob_N = np.zeros(len(names))
    of_tokens: list[pd.DataFrame] = []
    for rows in reply_batches(sizes, token_budget):
        asked = pad([prompt_ids[row] for row in rows], loaded.tokenizer, "left")
        token_BC = pad_sequence(
            [torch.tensor(reply_ids[row]) for row in rows], True, padding_value=NO_TOKEN
        )
        with edits(asked, rows) if edits else nullcontext():
            state_BCD = head_states(loaded, asked, token_BC)
        real_BC = token_BC != NO_TOKEN
        state_ED, token_E = state_BCD[real_BC.to(state_BCD.device)], token_BC[real_BC]
        batch_E, place_E = (index.numpy() for index in real_BC.nonzero(as_tuple=True))
        row_E = np.array(rows)[batch_E]
        in_span_E = _in_span(found, row_E, place_E)
        step = max(1, _LOGITS // head_size(loaded))
        for part in (slice(start, start + step) for start in range(0, len(row_E), step)):
            logprob_P, spoken = _read(loaded, state_ED[part], token_E[part], in_span_E[part])
            _check_finite(logprob_P, row_E[part], place_E[part], names)
            np.add.at(logprob_N, row_E[part], logprob_P)
            of_tokens.append(spoken.assign(row=row_E[part][in_span_E[part]]))
    table = _pooled(of_tokens).reindex(range(len(names)))
    table.insert(0, "prompt_id", names)
    reply_N = np.array([n for _, n in sizes])
    return table.assign(
        span_start=pd.array([None if span is None else span[0] for span in found], "Int64"),
        span_stop=pd.array([None if span is None else span[1] for span in found], "Int64"),
        span_text=[
            None if span is None else _text(ids, span, loaded.tokenizer)
            for ids, span in zip(reply_ids, found, strict=True)
        ],
        has_span=[span is not None for span in found],
        reply_tokens=reply_N,
        reply_logprob=logprob_N,
        reply_logprob_per_token=logprob_N / np.where(reply_N, reply_N, np.nan),
    )


def _read(
    loaded: LoadedModel, state_PD: Tensor, token_P: Tensor, in_span_P: np.ndarray
) -> tuple[np.ndarray, pd.DataFrame]:
    """Log probability of each token, and the confidences of those in a span, each on its own."""
    with torch.inference_mode():
        logits_PV = head_logits(loaded, state_PD).float()
        token_P = token_P.to(logits_PV.device)
        logit_P = logits_PV.gather(1, token_P[:, None])[:, 0]
        logprob_P = (logit_P - logits_PV.logsumexp(-1)).double().cpu().numpy()
        # Nothing of a token without a finite one is read: it is refused.
        in_span = torch.from_numpy(in_span_P & np.isfinite(logprob_P)).to(logits_PV.device)
        logits_S1V, token_S1 = logits_PV[in_span][:, None], token_P[in_span][:, None]
        spoken = span_confidence(logits_S1V, token_S1, torch.ones_like(token_S1).bool())
    return logprob_P, spoken.frame()


def _pooled(of_tokens: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Confidences of spans from those of their tokens, by row: as `SpanConfidence` defines them."""
    empty = pd.DataFrame(columns=[*_FIELDS, "row"], dtype=float)
    by_row = pd.concat([empty, *of_tokens]).groupby("row")
    total = by_row["sequence_logprob"].sum()
    return (
        by_row[list(_MEANS)]
        .mean()
        .assign(
            sequence_probability=np.exp(total),
            normalised_probability=np.exp(by_row["sequence_logprob"].mean()),
            min_probability=by_row["token_probability"].min(),
            sequence_logprob=total,
        )[list(_FIELDS)]
    )


def _spans(
    names: Sequence[object],
    reply_ids: Sequence[Sequence[int]],
    tokenizer: Any,
    spans: Sequence[Span | None] | None,
    answers: Sequence[str | None] | None,
    after: str | None,
) -> list[Span | None]:
    if answers is not None:
        return [
            answer_span(ids, answer, tokenizer, after=after) if answer and answer.strip() else None
            for ids, answer in zip(reply_ids, answers, strict=True)
        ]
    if spans is None:
        return [(0, len(ids)) if ids else None for ids in reply_ids]
    found: list[Span | None] = []
    for name, ids, span in zip(names, reply_ids, spans, strict=True):
        if span is not None and not 0 <= span[0] < span[1] <= len(ids):
            raise InputError(
                f"prompt {name}: the span {tuple(span)} does not lie in its reply of {len(ids)} "
                "tokens; expected [start, stop) tokens, or None without an answer."
            )
        found.append(span)
    return found


def _in_span(found: Sequence[Span | None], row_E: np.ndarray, place_E: np.ndarray) -> np.ndarray:
    start_N, stop_N = np.array([(0, 0) if span is None else span for span in found]).T
    return (start_N[row_E] <= place_E) & (place_E < stop_N[row_E])


def _text(ids: Sequence[int], span: Span, tokenizer: Any) -> str:
    read = token_text(ids, tokenizer)
    return read.text[read.ranges[span[0]][0] : read.ranges[span[1] - 1][1]].strip()


def _check_given(
    names: Sequence[object],
    replies: Sequence[object],
    spans: Sequence[object] | None,
    answers: Sequence[object] | None,
    after: str | None,
) -> None:
    if spans is not None and answers is not None:
        raise InputError("reply confidence: spans and answers both; give one of them.")
    if after is not None and answers is None:
        raise InputError(f"reply confidence: after {after!r} without answers; give their texts.")
    for what, given in (("replies", replies), ("spans", spans), ("answers", answers)):
        if given is not None and len(given) != len(names):
            raise InputError(
                f"reply confidence: {len(given)} {what} for {len(names)} prompts; expected one "
                "each."
            )


def _check_finite(
    logprob_P: np.ndarray, row_P: np.ndarray, place_P: np.ndarray, names: Sequence[object]
) -> None:
    broken = np.flatnonzero(~np.isfinite(logprob_P))
    if len(broken):
        raise InputError(
            f"prompt {names[row_P[broken[0]]]}: token {place_P[broken[0]]} of its reply has the "
            f"log probability {logprob_P[broken[0]]}; load the model in a wider dtype, or leave "
            "out replies that it rules out."
        )
