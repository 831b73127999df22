"""Captures several checkpoints on the same prompts, and makes sure that they read the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interp.activations.asking import Asked, asked, check_lengths
from interp.activations.capturing import captured
from interp.activations.shards import Activations
from interp.activations.sites import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.encoding import tokenize


def capture_together(
    models: Sequence[LoadedModel],
    prompts: PromptSet,
    sites: Sequence[Site | str],
    positions: Sequence[str],
    *,
    align: str = "tokens",
    replies: Sequence[str] | None = None,
    chain_end: str = "</think>",
    folder: Path | None = None,
    **options: Any,
) -> list[Activations]:
    """Activations of several checkpoints, for instance of a parent and its child.

    Args:
        models: in memory; a pair on one set of weights (`Checkpoint.load_pair`) will do.
        prompts: as for `capture`.
        sites: as for `capture`; every model must have them.
        positions: as for `capture`.
        align: "tokens": all models read the same token ids, those of the first one's tokenizer and
            chat template. "text": each reads by its own tokenizer and template, so that rows
            correspond by prompt and position and not by token. That has to be asked for, because a
            difference between two models may then be one of their templates.
        replies: as for `capture`, the same for all models.
        chain_end: as for `capture`.
        folder: for a store each, named after the checkpoints.
        options: `layers`, `backend`, `remote`, `dtype` and `token_budget`, as for `capture`.

    Returns:
        One a model, in their order.

    Raises:
        InputError: as `capture`; no models, two of one name with a folder, an unknown `align`, or,
            with "tokens", a tokenizer that reads a prompt otherwise than the first model's does.
    """
    _check(models, align, folder)
    if align == "text":
        given = [asked(prompts, model, positions, replies, chain_end) for model in models]
    else:
        first = asked(prompts, models[0], positions, replies, chain_end)
        for model in models[1:]:
            _check_same_tokens(model, models[0], prompts, first)
            check_lengths(first.ids, prompts, model)
        given = [first] * len(models)
    return [
        captured(
            model,
            prompts,
            read,
            sites,
            positions,
            folder=None if folder is None else folder / model.checkpoint.name,
            **options,
        )
        for model, read in zip(models, given, strict=True)
    ]


def _check(models: Sequence[LoadedModel], align: str, folder: Path | None) -> None:
    if not models:
        raise InputError("capture_together: no models; expected at least one")
    if align not in ("tokens", "text"):
        raise InputError(f"capture_together: align '{align}'; expected 'tokens' or 'text'")
    names = [model.checkpoint.name for model in models]
    for name in names:
        if folder is not None and names.count(name) > 1:
            raise InputError(
                f"capture_together: two models are named '{name}', so that their stores would be "
                "one; give the checkpoints different names"
            )


def _check_same_tokens(
    model: LoadedModel, first: LoadedModel, prompts: PromptSet, given: Asked
) -> None:
    """Refuses a model whose own tokenizer reads the first model's texts as other tokens."""
    own = (row for rows in tokenize(given.texts, model.tokenizer) for row in rows)
    for prompt_id, expected, found in zip(prompts.frame["prompt_id"], given.ids, own, strict=True):
        if found != expected.tolist():
            place = next(
                (n for n, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
                min(len(expected), len(found)),
            )
            raise InputError(
                f"prompt {prompt_id}: {model.checkpoint.name} does not read it as "
                f"{first.checkpoint.name} does (token {place}: "
                f"{_token(model, found, place)} instead of {_token(first, expected, place)}), so "
                "their activations would not be of the same tokens; pass align='text' to let each "
                "read by its own tokenizer and template"
            )


def _token(model: LoadedModel, ids: Sequence[int] | np.ndarray, place: int) -> str:
    if place >= len(ids):
        return "its end"
    return f"{model.tokenizer.convert_ids_to_tokens(int(ids[place]))!r} (id {ids[place]})"
