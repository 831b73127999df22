"""Capture: activations of a prompt set, in memory or in a store, batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations.hooks import read_batch
from interp.activations.sites import Site
from interp.activations.store import Activations, locked, open_store, writing
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.progress import Progress, report
from interp.prompts import PromptSet, encode, render, resolve, token_budget_batches
from interp.prompts.encoding import tokenize
from interp.tables import code_version


def capture(
    loaded: LoadedModel,
    prompts: PromptSet,
    sites: Sequence[Site],
    positions: Sequence[str],
    *,
    folder: Path | None = None,
    token_budget: int = 4096,
) -> Activations:
    """Activations of each prompt at sites and positions.

    Args:
        loaded: the model. With a folder it must be as its checkpoint is, since the store is named
            after that; grafted or retrained models are captured in memory.
        prompts: rendered with the model's own chat template.
        sites: where to read.
        positions: which tokens, by the rules of `interp.prompts.resolve`.
        folder: of a store. One made by the same call is read instead of computed again; a killed
            run leaves none. None keeps the activations in memory.
        token_budget: most tokens in a batch, padding included.

    Returns:
        Rows in the order of the prompts.

    Raises:
        InputError: no prompts, sites or positions, one of them twice, a site above the model's
            last block, a prompt beyond its context, a position that a prompt lacks, an activation
            that is NaN or infinite (with the prompt's id), or a folder that holds something else.
    """
    _check_request(loaded, prompts, sites, positions)
    texts = render(prompts, loaded.tokenizer)
    lengths_N, tokens = _lengths(texts, loaded)
    _check_lengths(lengths_N, prompts, loaded)
    index_PN = torch.stack(
        [resolve(prompts, texts, loaded.tokenizer, position) for position in positions]
    )
    shape = (len(positions), len(prompts), loaded.d_model)
    batches = token_budget_batches(lengths_N, token_budget)

    def fill(arrays: Mapping[Site, np.ndarray]) -> None:
        done = 0
        for rows in batches:
            encoded = encode([texts[row] for row in rows], loaded.tokenizer, side="right")
            acts_SPBD = read_batch(loaded, encoded, sites, index_PN[:, rows])
            _check_finite(acts_SPBD, prompts, rows, sites, positions)
            for site, acts_PBD in zip(sites, acts_SPBD, strict=True):
                arrays[site][:, rows] = acts_PBD.numpy()
            done += len(rows)
            report(Progress(f"capture {loaded.checkpoint.name}", done, len(prompts)))

    if folder is None:
        arrays = {site: np.empty(shape, dtype=np.float32) for site in sites}
        fill(arrays)
        return Activations(sites, positions, arrays, {})
    request = {
        "checkpoint": loaded.checkpoint.fingerprint,
        "tokenizer": loaded.checkpoint.tokenizer_fingerprint,
        "prompts": prompts.fingerprint,
        "tokens": tokens,
        "sites": [str(site) for site in sites],
        "positions": list(positions),
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "backend": "hooks",
        "code_version": code_version(),
    }
    with locked(folder):
        if not folder.exists():
            with writing(folder, request, shape) as mapped:
                fill(mapped)
        return open_store(folder, request)


def _lengths(texts: Sequence[str], loaded: LoadedModel) -> tuple[list[int], str]:
    """Tokens of each prompt, and SHA-256 (hex) of all token ids."""
    digest = hashlib.sha256()
    lengths: list[int] = []
    for chunk in tokenize(texts, loaded.tokenizer):
        for ids in chunk:
            lengths.append(len(ids))
            digest.update(np.array([len(ids), *ids], dtype="<i8").tobytes())
    return lengths, digest.hexdigest()


def _check_request(
    loaded: LoadedModel, prompts: PromptSet, sites: Sequence[Site], positions: Sequence[str]
) -> None:
    for what, given in (("prompts", prompts), ("sites", sites), ("positions", positions)):
        if len(given) == 0:
            raise InputError(f"capture: no {what}; expected at least one")
    for what, names in (("site", [str(site) for site in sites]), ("position", list(positions))):
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"capture: the {what} '{name}' is asked for twice")
    for site in sites:
        if site.layer >= loaded.n_layers:
            raise InputError(
                f"capture at {site}: {loaded.checkpoint.name} has layers 0 to {loaded.n_layers - 1}"
            )


def _check_lengths(lengths: Sequence[int], prompts: PromptSet, loaded: LoadedModel) -> None:
    context = getattr(loaded.model.config, "max_position_embeddings", None)
    for prompt_id, length in zip(prompts.frame["prompt_id"], lengths, strict=True):
        if context is not None and length > context:
            raise InputError(
                f"prompt {prompt_id}: {length} tokens, but {loaded.checkpoint.name} was made for "
                f"at most {context}; shorten it or leave it out"
            )


def _check_finite(
    acts_SPBD: Float[Tensor, "s p b d"],
    prompts: PromptSet,
    rows: Sequence[int],
    sites: Sequence[Site],
    positions: Sequence[str],
) -> None:
    broken_SPB = ~acts_SPBD.isfinite().all(-1)
    if broken_SPB.any():
        site, position, row = broken_SPB.nonzero()[0].tolist()
        raise InputError(
            f"prompt {prompts.frame['prompt_id'].iloc[rows[row]]}: NaN or infinite activations at "
            f"{sites[site]}, '{positions[position]}'; the checkpoint's weights are broken, or its "
            "dtype too narrow (try float32)"
        )
