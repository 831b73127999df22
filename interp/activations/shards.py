"""Activations of prompts, read from shards: arrays in memory, or files of a store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interp.activations.sites import Site
from interp.errors import InputError

ALL = "all"
"""The position that keeps every token."""


@runtime_checkable
class Shard(Protocol):
    """Arrays of contiguous prompts by name, such as a dictionary of them.

    "resid_post.3" is [positions, rows, d] for all positions but "all", "resid_post.3.all" is
    [tokens, d] for that one, row after row; "tokens" [tokens] are the prompts' ids, "lengths"
    [rows] how many each has, "spans" [positions, rows, 2] the tokens that each position reads. Of
    bfloat16, which numpy does not have, the bits are kept as uint16.
    """

    # No `Mapping`: type checks at run time look into those, which would read a store's files.
    def __getitem__(self, name: str, /) -> np.ndarray: ...
    def __iter__(self) -> Iterator[str]: ...


class Activations:
    """Activations of prompts at sites and positions, rows in the order of the prompts.

    Args:
        sites: what was read.
        positions: of each prompt.
        shards: the prompts' arrays, in order; at least one.
        dtype: that they are kept in: "float32", "float16" or "bfloat16". They are read as float32.
        manifest: what made a store; empty in memory.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        positions: Sequence[str],
        shards: Sequence[Shard],
        dtype: str,
        manifest: Mapping[str, Any],
    ) -> None:
        self.sites = tuple(sites)
        self.positions = tuple(positions)
        self.dtype = dtype
        self.manifest = dict(manifest)
        self._shards = list(shards)
        # "all" has arrays of its own, so that the others stand there without it.
        self._kept = [position for position in self.positions if position != ALL]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, site: Site, position: str) -> Float[Tensor, "n d"]:
        """The activations at one site and position; at "all", every token's, prompt after prompt.

        Float32 activations of a store of one shard are mapped into memory and not copied; what is
        written into the tensor never reaches a store. Only the site's own files are touched.

        Args:
            site: one of `sites`.
            position: one of `positions`, or "all".

        Raises:
            InputError: nothing was captured there, or one of the store's files is damaged.
        """
        self._check(site, position)
        if len(self._shards) == 1:
            return self._part(self._shards[0], site, position).float()
        # Opened one after the other and let go of: each that stays mapped holds a file open.
        sizes = [len(self._part(shard, site, position)) for shard in self._shards]
        width = self._part(self._shards[0], site, position).shape[-1]
        acts_ND = torch.empty(sum(sizes), width)
        for shard, part_ND in zip(self._shards, acts_ND.split(sizes), strict=True):
            part_ND.copy_(self._part(shard, site, position))
        return acts_ND

    def of(self, site: Site, row: int) -> Float[Tensor, "t d"]:
        """One prompt's activations at each of its tokens, from those captured at "all".

        Args:
            site: one of `sites`.
            row: number of the prompt, in the order captured.

        Raises:
            InputError: "all" was not captured, the site was not, or there is no such row.
        """
        self._check(site, ALL)
        shard, tokens = self._tokens_of(row)
        return self._part(shard, site, ALL)[tokens].float()

    @cached_property
    def offsets(self) -> Int[Tensor, " n_plus_1"]:
        """Where each prompt's tokens begin in what is read at "all", and where the last one's end.

        Raises:
            InputError: one of the store's files is damaged.
        """
        return _offsets(np.concatenate([shard["lengths"] for shard in self._shards]))

    def spans(self, position: str) -> Int[Tensor, "n 2"]:
        """The tokens that a position reads: [start, stop) of each prompt, from 0 at its start.

        Raises:
            InputError: the position was not captured, or one of the store's files is damaged.
        """
        self._check(self.sites[0], position)
        index = self.positions.index(position)
        return torch.from_numpy(np.concatenate([shard["spans"][index] for shard in self._shards]))

    def token_ids(self, row: int) -> list[int]:
        """What the model was given of one prompt.

        Raises:
            InputError: there is no such row, or one of the store's files is damaged.
        """
        shard, tokens = self._tokens_of(row)
        return shard["tokens"][tokens].tolist()

    def show(self, position: str, tokenizer: PreTrainedTokenizerBase, n: int = 5) -> str:
        """The first prompts' tokens, a line each, with those that the position reads in >>...<<.

        Args:
            position: one that was captured.
            tokenizer: of the checkpoint.
            n: most prompts.

        Raises:
            InputError: the position was not captured, or one of the store's files is damaged.
        """
        lines = []
        for row, (start, stop) in enumerate(self.spans(position)[:n].tolist()):
            # Escaped: some vocabularies have tokens with a line break in them.
            tokens = [
                repr(token)[1:-1] for token in tokenizer.convert_ids_to_tokens(self.token_ids(row))
            ]
            read = f">>{' '.join(tokens[start:stop])}<<"
            lines.append(" ".join([*tokens[:start], read, *tokens[stop:]]))
        return "\n".join(lines)

    def _check(self, site: Site, position: str) -> None:
        if site not in self.sites:
            raise InputError(
                f"activations: nothing captured at {site}; there are "
                f"{', '.join(map(str, self.sites))}"
            )
        if position not in self.positions:
            raise InputError(
                f"activations: nothing captured at '{position}'; there are "
                f"{', '.join(self.positions)}"
            )

    def _part(self, shard: Shard, site: Site, position: str) -> Tensor:
        """A shard's activations (n, d), as they are kept."""
        if position == ALL:
            array = shard[f"{site}.{ALL}"]
        else:
            array = shard[str(site)][self._kept.index(position)]
        tensor = torch.from_numpy(array)
        return tensor.view(torch.bfloat16) if self.dtype == "bfloat16" else tensor

    def _tokens_of(self, row: int) -> tuple[Shard, slice]:
        """The shard that a prompt is in, and which of the shard's tokens are the prompt's."""
        if not 0 <= row < len(self):
            raise InputError(f"activations: no row {row}; there are {len(self)}, from 0")
        number = int(np.searchsorted(self._edges, row, side="right")) - 1
        first = int(self._edges[number])
        start, stop = (self.offsets[[row, row + 1]] - self.offsets[first]).tolist()
        return self._shards[number], slice(start, stop)

    @cached_property
    def _edges(self) -> np.ndarray:
        """The first row of each shard, and the number of rows."""
        return _offsets(np.array([len(shard["lengths"]) for shard in self._shards])).numpy()


def _offsets(sizes: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([[0], sizes.cumsum()]).astype(np.int64))
