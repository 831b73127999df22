"""Capture: activations of a prompt set, in memory or in a store, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from interp.activations.asking import Asked, asked
from interp.activations.backends import open_backend
from interp.activations.planning import default_token_budget, shard_rows, worst_first
from interp.activations.reading import Reader
from interp.activations.shards import Activations, Shard
from interp.activations.sites import Site, sites_of
from interp.activations.store import open_store, writing
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet, token_budget_batches
from interp.tables import code_version

DTYPES = ("float32", "float16", "bfloat16")


def capture(
    loaded: LoadedModel,
    prompts: PromptSet,
    sites: Sequence[Site | str],
    positions: Sequence[str],
    *,
    layers: Sequence[int] | None = None,
    replies: Sequence[str] | None = None,
    chain_end: str = "</think>",
    backend: str = "hooks",
    remote: bool = False,
    folder: Path | None = None,
    dtype: str | None = None,
    token_budget: int | None = None,
) -> Activations:
    """Activations of each prompt at sites and positions.

    Only what is asked is computed: one forward a batch of prompts of similar length, no block
    above the deepest site, no head. Out of memory, a batch is halved until it fits; which prompts
    are captured never depends on it.

    Args:
        loaded: the model. With a folder it must be as its checkpoint is, since the store is named
            after that; grafted or retrained models are captured in memory.
        prompts: rendered with the model's own chat template.
        sites: where to read: sites, names such as "resid_post.3", or kinds such as "resid_post",
            which mean every layer in `layers`.
        positions: which tokens, by the rules of `interp.prompts.resolve`; "all" keeps every token.
        layers: of the kinds named without a layer; None is all the model has.
        replies: what the model said to each prompt, read behind it; for positions in replies.
        chain_end: what ends the chain of thought in a reply.
        backend: "hooks", "transformer_lens" or "nnsight".
        remote: run on NDIF, with backend "nnsight".
        folder: of a store. One made by the same call is read instead of computed again, and one
            that a killed run left unfinished is completed. None keeps the activations in memory.
        dtype: they are kept in: "float32", "float16" or "bfloat16"; None is the model's own.
        token_budget: most tokens in a batch, padding included; None suits the device.

    Returns:
        Rows in the order of the prompts.

    Raises:
        InputError: no prompts, sites or positions, one of them twice, a site that the model does
            not have, a prompt that is empty or beyond its context, a position that a prompt lacks,
            an activation that is NaN or infinite (with the prompt's id), a backend that cannot do
            it, a prompt that does not fit into memory by itself, or a folder that holds something
            else or cannot be written.
    """
    given = asked(prompts, loaded, positions, replies, chain_end)
    return captured(
        loaded,
        prompts,
        given,
        sites,
        positions,
        layers=layers,
        backend=backend,
        remote=remote,
        folder=folder,
        dtype=dtype,
        token_budget=token_budget,
    )


def captured(
    loaded: LoadedModel,
    prompts: PromptSet,
    given: Asked,
    sites: Sequence[Site | str],
    positions: Sequence[str],
    *,
    layers: Sequence[int] | None = None,
    backend: str = "hooks",
    remote: bool = False,
    folder: Path | None = None,
    dtype: str | None = None,
    token_budget: int | None = None,
) -> Activations:
    """Like `capture`, for prompts that were already turned into tokens."""
    wanted = sites_of(loaded, sites, layers)
    name = _kept_in(loaded, dtype)
    opened = open_backend(backend, loaded, wanted, remote=remote)
    prompt_ids = prompts.frame["prompt_id"].tolist()
    reader = Reader(
        loaded, opened, given, prompt_ids, wanted, tuple(positions), getattr(torch, name)
    )
    rows = shard_rows(reader.n_bytes)
    budget = default_token_budget(loaded.device.type) if token_budget is None else token_budget
    if folder is None:
        shards: dict[int, Shard] = {}
        _read(reader, rows, list(range(len(rows))), budget, shards.__setitem__, lambda **_: None)
        in_order = [shards[number] for number in range(len(rows))]
        return Activations(wanted, tuple(positions), in_order, name, {})
    request = request_of(loaded, prompts, given, wanted, positions, name, backend)
    with writing(folder, request, rows, n_bytes=sum(reader.n_bytes)) as writer:
        fitted = writer.notes.get("token_budget", budget)
        _read(reader, rows, writer.missing, fitted, writer.add, writer.note)
    return open_store(folder, request)


def request_of(
    loaded: LoadedModel,
    prompts: PromptSet,
    given: Asked,
    sites: Sequence[Site],
    positions: Sequence[str],
    dtype: str | None,
    backend: str,
) -> dict[str, Any]:
    """What names a store: all that its content depends on.

    Raises:
        InputError: a dtype that activations are not kept in.
    """
    return {
        "checkpoint": loaded.checkpoint.fingerprint,
        "tokenizer": loaded.checkpoint.tokenizer_fingerprint,
        "prompts": prompts.fingerprint,
        "sites": [str(site) for site in sites],
        "positions": list(positions),
        "tokens": given.digest,
        "dtype": _kept_in(loaded, dtype),
        "computed_in": _name_of(loaded.model.dtype),
        "backend": backend,
        "code_version": code_version(),
    }


def read_shard(
    reader: Reader,
    rows: tuple[int, int],
    token_budget: int,
    n_before: int = 0,
    note: Callable[..., None] = lambda **_: None,
) -> tuple[Shard, int]:
    """A shard's arrays, and the token budget that fitted: halved as often as memory ran out.

    Args:
        reader: of the prompts.
        rows: [first, behind last) prompt.
        token_budget: most tokens in a batch, to begin with.
        n_before: prompts already captured, for the display.
        note: told `token_budget` when it is halved.

    Raises:
        InputError: a prompt does not fit by itself, or as `Reader.shard`.
    """
    first, behind = rows
    lengths = reader.given.lengths[first:behind]
    while True:
        try:
            batches = token_budget_batches(lengths, token_budget)
            return reader.shard(rows, batches, n_before), token_budget
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if token_budget <= max(lengths):
                raise InputError(
                    f"{reader.loaded.checkpoint.name}: a prompt of {max(lengths)} tokens does not "
                    "fit into the memory of the device by itself; use a larger device, a narrower "
                    "dtype, or leave it out"
                ) from error
        token_budget //= 2
        # A run that is killed and resumed is to batch as this one does from here on.
        note(token_budget=token_budget)
        torch.cuda.empty_cache()


def _read(
    reader: Reader,
    rows: Sequence[tuple[int, int]],
    missing: Sequence[int],
    token_budget: int,
    add: Callable[[int, Shard], None],
    note: Callable[..., None],
) -> None:
    """Reads the missing shards, with smaller batches from where memory ran out."""
    pending = worst_first(missing, rows, reader.given.lengths)
    n_before = len(reader.given.ids) - sum(rows[n][1] - rows[n][0] for n in pending)
    for number in pending:
        shard, token_budget = read_shard(reader, rows[number], token_budget, n_before, note)
        add(number, shard)
        del shard  # before the next one is read: one at a time is what bounds the memory
        n_before += rows[number][1] - rows[number][0]


def _kept_in(loaded: LoadedModel, dtype: str | None) -> str:
    name = _name_of(loaded.model.dtype) if dtype is None else dtype
    if name not in DTYPES:
        raise InputError(f"capture: dtype '{name}'; expected one of {', '.join(DTYPES)}")
    return name


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether a forward failed for want of memory; the CPU has no error class for it."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
