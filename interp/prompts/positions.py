"""Which tokens are meant: positions by rule, resolved on the tokens of the unpadded text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from interp.errors import InputError
from interp.prompts.encoding import join
from interp.prompts.promptset import PromptSet
from interp.prompts.rules import Rule, parse
from interp.prompts.spans import CHAIN_END, SPANS, Reading, find_span

_CHUNK = 1024
Offsets = Sequence[tuple[int, int]]
"""The [start, stop) characters of each token of one text."""


def resolve(
    prompts: PromptSet,
    texts: Sequence[str],
    tokenizer: Any,
    rules: Sequence[str],
    *,
    replies: Sequence[str] | None = None,
    chain_end: str = CHAIN_END,
    offsets: Iterable[Offsets] | None = None,
) -> Int[Tensor, "p n 2"]:
    """The [start, stop) tokens that each rule means in each row.

    Tokens count from 0 at the start of the unpadded text; one token is [i, i + 1), several mean
    that their activations are averaged. The rules:

    - `last_prompt`: the last token before any reply.
    - `all`: every token.
    - `SPAN_first`, `SPAN_last`: the first and the last token of a span; `SPAN_mean`: all of them.
    - `SPAN_NN%`, NN from 0 to 100: of the span's n tokens, counted from 0, the one nearest to
      NN/100 (n - 1), the later one of two; 0% is the first and 100% the last.

    A span is `prompt` (its tokens as they are without a reply), or one of those that
    `interp.prompts.spans.find_span` finds: `entity`, `question`, `reply`, `think`, `answer`, or a
    name in the row's `meta["spans"]`. A token belongs to a span if any of its characters lies in
    it, also where the token begins before it.

    Args:
        prompts: the rows.
        texts: their rendered texts (`render`), which are tokenised with nothing added.
        tokenizer: a fast one, which knows the characters of each token.
        rules: some of the above.
        replies: one a row, if the model reads them behind the prompts (as `join` puts them).
        chain_end: what ends a reply's chain of thought.
        offsets: of what the model reads, row by row, where it has been tokenised already; they are
            read once and in order, so that they need not all exist at once.

    Raises:
        InputError: no such rule, or a row (the message names it) that has no such token or none
            at all, whose prompt ends in other tokens when its reply stands behind it, or whose own
            spans have a name that is taken.
    """
    if isinstance(rules, str):
        raise InputError(f"positions: expected a list of rules; write ['{rules}']")
    parsed = [parse(name, replied=replies is not None) for name in rules]
    if not chain_end.strip():
        raise InputError("positions: chain_end is empty; name what ends a chain of thought")
    _check_counts(prompts, texts, replies)
    read = texts if replies is None else join(texts, replies, tokenizer)
    readings = _readings(prompts, texts, read, replies, tokenizer.bos_token, chain_end)
    read_offsets = iter(_offsets(read, tokenizer) if offsets is None else offsets)
    prompt_offsets = None if replies is None else _offsets(texts, tokenizer)
    where_PN2 = torch.empty(len(rules), len(prompts), 2, dtype=torch.long)
    for start in range(0, len(prompts), _CHUNK):
        chunk = list(islice(readings, _CHUNK))
        tokens = list(islice(read_offsets, len(chunk)))
        alone = tokens if prompt_offsets is None else list(islice(prompt_offsets, len(chunk)))
        prompt_B = _prompt_lengths(chunk, tokens, alone)
        where_PN2[:, start : start + len(chunk)] = _find_tokens(parsed, chunk, tokens, prompt_B)
    return where_PN2


def show(
    prompts: PromptSet,
    texts: Sequence[str],
    tokenizer: Any,
    rule: str,
    *,
    replies: Sequence[str] | None = None,
    chain_end: str = CHAIN_END,
    n: int = 5,
) -> str:
    """The first `n` rows as tokens, one line each, those that the rule means in >>...<<.

    Spaces within a token are shown as "·"; a token that holds only a part of a character, or none,
    is shown as the tokenizer spells it.

    Args:
        prompts: N prompts.
        texts: as `render` gave them.
        tokenizer: of the model.
        rule: name of a position, as in `resolve`.
        replies: of each prompt, for positions in them.
        chain_end: what ends a chain of thought.
        n: most rows.

    Raises:
        InputError: as `resolve`.
    """
    shown, texts = PromptSet(prompts.frame.head(n)), list(texts[:n])
    replies = None if replies is None else list(replies[:n])
    (where_N2,) = resolve(
        shown, texts, tokenizer, [rule], replies=replies, chain_end=chain_end
    ).tolist()
    read = texts if replies is None else join(texts, replies, tokenizer)
    lines = []
    for prompt_id, text, spans, (start, stop) in zip(
        shown.frame["prompt_id"], read, _offsets(read, tokenizer), where_N2, strict=True
    ):
        tokens = _spelled(text, spans, tokenizer)
        tokens[start] = f">>{tokens[start]}"
        tokens[stop - 1] += "<<"
        lines.append(f"{prompt_id}: {' '.join(tokens)}")
    return "\n".join(lines)


def _check_counts(prompts: PromptSet, texts: Sequence[str], replies: Sequence[str] | None) -> None:
    for what, given in (("texts", texts), ("replies", replies)):
        if given is not None and len(given) != len(prompts):
            raise InputError(
                f"positions: {len(given)} {what} for {len(prompts)} prompts; expected one each"
            )


def _readings(
    prompts: PromptSet,
    texts: Sequence[str],
    read: Sequence[str],
    replies: Sequence[str] | None,
    begin: str | None,
    chain_end: str,
) -> Iterator[Reading]:
    rows = prompts.frame.to_dict("records")
    for row, prompt, text, reply in zip(
        rows, texts, read, replies or [""] * len(rows), strict=True
    ):
        _check_own_spans(row)
        yield Reading(
            row,
            text,
            prompt_start=len(begin) if begin and text.startswith(begin) else 0,
            prompt_stop=len(prompt),
            reply_start=len(text) - len(reply),
            chain_end=chain_end,
        )


def _check_own_spans(row: Mapping[str, Any]) -> None:
    own = row["meta"].get("spans")
    for name in SPANS:
        if isinstance(own, dict) and name in own:
            raise InputError(
                f"prompt {row['prompt_id']}: its `meta['spans']` names '{name}', which already has "
                "a meaning in positions; rename it"
            )


def _offsets(texts: Sequence[str], tokenizer: Any) -> Iterator[Offsets]:
    if not tokenizer.is_fast:
        raise InputError(
            f"positions: {type(tokenizer).__name__} does not know the characters of its tokens; "
            "expected a fast tokenizer (a checkpoint with a tokenizer.json)"
        )
    for start in range(0, len(texts), _CHUNK):
        chunk = list(texts[start : start + _CHUNK])
        for encoding in tokenizer(chunk, add_special_tokens=False, verbose=False).encodings:
            yield encoding.offsets


def _prompt_lengths(
    readings: Sequence[Reading], tokens: Sequence[Offsets], alone: Sequence[Offsets]
) -> np.ndarray:
    """How many tokens are the prompt's, shape (b,): as many as without the reply."""
    for reading, here, prompt in zip(readings, tokens, alone, strict=True):
        if len(prompt) == 0:
            raise InputError(
                f"prompt {reading.row['prompt_id']}: its text has no tokens, so there is no "
                "position in it; leave it out"
            )
        if list(here[: len(prompt)]) != list(prompt):
            raise InputError(
                f"prompt {reading.row['prompt_id']}: its last tokens change when its reply stands "
                "behind it, so the two share a token; end the prompt, or begin the reply, at a word"
            )
    return np.array([len(prompt) for prompt in alone])


def _find_tokens(
    rules: Sequence[Rule],
    readings: Sequence[Reading],
    tokens: Sequence[Offsets],
    prompt_B: np.ndarray,
) -> Int[Tensor, "p b 2"]:
    length_B = np.array([len(spans) for spans in tokens])
    numbers = chain.from_iterable(chain.from_iterable(tokens))
    place_T2 = np.fromiter(numbers, dtype=np.int64).reshape(-1, 2)
    first_B = np.zeros_like(length_B)
    found = {
        "": np.stack([first_B, length_B], axis=1),
        "prompt": np.stack([first_B, prompt_B], axis=1),
    }
    where_PB2 = np.empty((len(rules), len(readings), 2), dtype=np.int64)
    for number, rule in enumerate(rules):
        if rule.span not in found:
            found[rule.span] = _holding(rule, readings, place_T2, length_B)
        where_PB2[number] = rule.pick(found[rule.span])
    return torch.from_numpy(where_PB2)


def _holding(
    rule: Rule, readings: Sequence[Reading], place_T2: np.ndarray, length_B: np.ndarray
) -> np.ndarray:
    """The tokens [b, 2] from the first to the last that holds a character of the rule's span."""
    wanted_B2 = np.array([find_span(reading, rule.span, rule.name) for reading in readings])
    wanted_T2 = wanted_B2.repeat(length_B, axis=0)
    shared_T = np.minimum(place_T2[:, 1], wanted_T2[:, 1]) > np.maximum(
        place_T2[:, 0], wanted_T2[:, 0]
    )
    held_H = shared_T.nonzero()[0]
    stop_B = length_B.cumsum()
    start_B = stop_B - length_B
    first_B, behind_B = held_H.searchsorted(start_B), held_H.searchsorted(stop_B)
    for row in (first_B == behind_B).nonzero()[0]:
        start, stop = wanted_B2[row]
        readings[row].refuse(
            rule.name, f"has no place: no token holds any of {readings[row].text[start:stop]!r}"
        )
    return np.stack([held_H[first_B] - start_B, held_H[behind_B - 1] + 1 - start_B], axis=1)


def _spelled(text: str, spans: Offsets, tokenizer: Any) -> list[str]:
    """Each token as its characters, all on one line, if no other token holds one of them."""
    holders = Counter(place for start, stop in spans for place in range(start, stop))
    raw = tokenizer.tokenize(text, add_special_tokens=False)
    return [
        repr(text[start:stop])[1:-1].replace(" ", "·")
        if [holders[place] for place in range(start, stop)] == [1] * max(1, stop - start)
        else token
        for token, (start, stop) in zip(raw, spans, strict=True)
    ]
