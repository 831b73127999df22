"""Replies, batched: the most likely tokens, or samples that do not depend on the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations.asking import check_lengths
from interp.behavior.generating.decoding import Decoding, Draft, Reply
from interp.behavior.scores.scoring import EditBatch
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import Encoded, PromptSet, render, token_budget_batches
from interp.prompts.encoding import pad, tokenize


@runtime_checkable
class LogitRule(Protocol):
    """A change of the next token's logits by what a reply has said so far.

    A row's state is read off its own tokens and nothing else, so that a rule changes a reply in the
    same way in every batch.
    """

    def apply(
        self, logits_BV: Float[Tensor, "b v"], said_B: Sequence[Sequence[int]]
    ) -> Float[Tensor, "b v"]:
        """The logits to choose from.

        Args:
            logits_BV: of the next token of each reply.
            said_B: ids of each reply so far, those that were put in (a forced stop) included.
        """


def generate(
    loaded: LoadedModel,
    prompts: PromptSet,
    *,
    max_new_tokens: int,
    token_budget: int = 8192,
    edits: EditBatch | None = None,
) -> list[str]:
    """The most likely token, again and again, until the end token: the reply to each prompt.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        max_new_tokens: where a reply is cut off.
        token_budget: as for `replies`.
        edits: as for `replies`.

    Returns:
        Replies without special tokens, in the order of the prompts.

    Raises:
        InputError: `max_new_tokens` below 1, or as `replies`.
    """
    if max_new_tokens < 1:
        raise InputError(f"generate: max_new_tokens is {max_new_tokens}; expected at least 1.")
    texts = [""] * len(prompts)
    decoding = Decoding(max_new_tokens=max_new_tokens)
    written = replies(loaded, prompts, decoding, token_budget=token_budget, edits=edits)
    for _, rows, batch in written:
        for row, reply in zip(rows, batch, strict=True):
            texts[row] = reply.text
    return texts


def replies(
    loaded: LoadedModel,
    prompts: PromptSet,
    decoding: Decoding,
    *,
    token_budget: int = 8192,
    edits: EditBatch | None = None,
    rule: LogitRule | None = None,
    skip: Sequence[int] = (),
) -> Iterator[tuple[int, list[int], list[Reply]]]:
    """Replies batch by batch, those that are cut off marked.

    Nothing but the logits, `decoding` and `rule` decides: penalties and sampling settings that a
    checkpoint ships in its generation config are not applied. Rows that have ended leave the batch
    once they are half of it.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        decoding: how replies are drawn.
        token_budget: most tokens in a batch, padding and replies included.
        edits: makes the context that a batch is generated in, given the left-padded prompts (each
            as often as it is sampled) and their rows; the batch then stays whole to its end.
        rule: changes each row's logits by what the row has said so far.
        skip: batches that are already there, by their number: the batches of the same prompts,
            decoding and budget are always the same.

    Yields:
        The batch's number, its rows of the prompt set, and their replies, a prompt's samples beside
        each other.

    Raises:
        InputError: a prompt that is empty, or longer than the model's context with its reply
            (before anything is generated), or prompts that cannot be rendered.
    """
    tokenizer, samples = loaded.tokenizer, decoding.samples
    ids = [row for chunk in tokenize(render(prompts, tokenizer), tokenizer) for row in chunk]
    check_lengths(ids, prompts, loaded, decoding.max_new_tokens)
    widths = [(len(row) + decoding.max_new_tokens) * samples for row in ids]
    prompt_ids, ends = prompts.frame["prompt_id"].tolist(), end_tokens(loaded)
    done = set(skip)
    for number, batch in enumerate(token_budget_batches(widths, token_budget)):
        if number in done:
            continue
        rows = [row for row in batch for _ in range(samples)]
        drafts = [
            Draft(prompt_ids[row], sample, decoding, tokenizer, ends)
            for row in batch
            for sample in range(samples)
        ]
        # A prompt is read once for all of its samples, unless an edit is made for each of them.
        encoded = pad([ids[row] for row in (rows if edits else batch)], tokenizer, "left")
        with edits(encoded, rows) if edits else nullcontext():
            _write(loaded, encoded, drafts, decoding, rule, whole=edits is not None)
        yield number, rows, [draft.done() for draft in drafts]


def end_tokens(loaded: LoadedModel) -> frozenset[int]:
    """The tokenizer's end token and those of the generation config (a chat model's end of turn)."""
    named = loaded.model.generation_config.eos_token_id
    ends = [named] if isinstance(named, int) else (named or [])
    return frozenset(ends) | frozenset(
        [] if loaded.tokenizer.eos_token_id is None else [loaded.tokenizer.eos_token_id]
    )


def _write(
    loaded: LoadedModel,
    encoded: Encoded,
    drafts: list[Draft],
    decoding: Decoding,
    rule: LogitRule | None,
    *,
    whole: bool,
) -> None:
    """Writes the drafts to their ends."""
    encoded = encoded.to(loaded.device)
    ids_BT, mask_BT = encoded.input_ids_BT, encoded.attention_mask_BT
    position_ids_BT = encoded.position_ids_BT
    each = len(drafts) // len(ids_BT)
    cache: Any = None
    with torch.inference_mode():
        while drafts:
            output = loaded.model(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                position_ids=position_ids_BT,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits_BV = output.logits[:, -1]
            first, cache = cache is None, output.past_key_values
            if first and each > 1:
                cache.batch_repeat_interleave(each)
                logits_BV, mask_BT, position_ids_BT = (
                    values.repeat_interleave(each, 0)
                    for values in (logits_BV, mask_BT, position_ids_BT)
                )
            if rule is not None:
                logits_BV = rule.apply(logits_BV, [draft.tokens for draft in drafts])
            chosen = _choose(logits_BV, drafts, decoding)
            said = [
                token if draft.ending else draft.take(token)
                for draft, token in zip(drafts, chosen, strict=True)
            ]
            ids_BT = torch.tensor(said, device=loaded.device)[:, None]
            mask_BT = torch.cat([mask_BT, torch.ones_like(mask_BT[:, :1])], 1)
            position_ids_BT = position_ids_BT[:, -1:] + 1
            going = [row for row, draft in enumerate(drafts) if draft.ending is None]
            if not going or (not whole and 2 * len(going) <= len(drafts)):
                # On the CPU, from where it indexes the cache of every block, wherever that stands.
                kept = torch.tensor(going, dtype=torch.long)
                drafts = [drafts[row] for row in going]
                ids_BT, mask_BT, position_ids_BT = (
                    values[kept] for values in (ids_BT, mask_BT, position_ids_BT)
                )
                if going:
                    cache.batch_select_indices(kept)


def _choose(logits_BV: Float[Tensor, "b v"], drafts: list[Draft], decoding: Decoding) -> list[int]:
    """The next token of each draft: the most likely one, or one drawn by its own number."""
    if decoding.temperature == 0:
        return logits_BV.argmax(-1).tolist()
    u_B = torch.tensor([draft.draw() for draft in drafts], dtype=torch.float64)
    p_BV, token_BV = (logits_BV.double() / decoding.temperature).softmax(-1).sort(-1, True)
    total_BV = p_BV.cumsum(-1)
    # The fewest most likely tokens that reach top_p: all those before which it is not reached yet.
    last_B = (total_BV - p_BV < decoding.top_p).sum(-1) - 1
    kept_B = total_BV.gather(1, last_B[:, None])[:, 0]
    wanted_B = u_B.to(kept_B) * kept_B
    place_B = (total_BV <= wanted_B[:, None]).sum(-1).clamp(max=last_B)
    return token_BV.gather(1, place_B[:, None])[:, 0].tolist()
