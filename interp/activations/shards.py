"""Activations as they are read, out of shards in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations.sites import Site
from interp.checkpoints.files import file_sha256
from interp.errors import InputError

ALL = "all"
"""The position that keeps every token."""

Shard = Mapping[str, np.ndarray]
"""What was read of contiguous prompts.

"resid_post.3": (positions, rows, d), without the position "all"; "resid_post.3.all": (tokens, d);
"tokens": ids of all rows, one after the other; "lengths": (rows,); "spans": (positions, rows, 2).
bfloat16 stands as its bits, uint16.
"""


class StoredShard(Mapping[str, np.ndarray]):
    """Maps a file into memory when it is asked for, once its hash was found right.

    Args:
        folder: of the shard.
        hashes: SHA-256 (hex) of each file.
    """

    def __init__(self, folder: Path, hashes: Mapping[str, str]) -> None:
        self._folder, self._hashes = folder, hashes

    def __getitem__(self, name: str) -> np.ndarray:
        path = self._folder / f"{name}.npy"
        if not path.is_file() or file_sha256(path) != self._hashes[path.name]:
            raise InputError(
                f"{path}: not the file that the store was written with; it is damaged: delete the "
                "store and capture again"
            )
        return np.load(path, mmap_mode="c")

    def __iter__(self) -> Iterator[str]:
        return (name.removesuffix(".npy") for name in self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)


class Activations:
    """Activations of prompts at sites and positions, rows in the order of the prompts.

    Args:
        sites: what was read.
        positions: of each prompt.
        shards: of all prompts, in their order.
        dtype: that they are kept in: "float32", "float16" or "bfloat16".
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

    def __len__(self) -> int:
        return len(self._lengths)

    def read(self, site: Site, position: str) -> Float[Tensor, "n d"]:
        """The activations at one site and position, float32; all tokens' for the position "all".

        One shard kept in float32 is memory-mapped; what is written into the tensor never reaches
        the store. No other site's files are touched.

        Raises:
            InputError: nothing was captured there, or the store's file is damaged.
        """
        self._check(site, position)
        if position == ALL:
            parts = [self._tensor(shard[f"{site}.{ALL}"]) for shard in self._shards]
        else:
            index = [name for name in self.positions if name != ALL].index(position)
            parts = [self._tensor(shard[str(site)])[index] for shard in self._shards]
        return parts[0].float() if len(parts) == 1 else torch.cat(parts).float()

    def of(self, site: Site, row: int) -> Float[Tensor, "t d"]:
        """All tokens of one prompt, float32; nothing else is read.

        Raises:
            InputError: "all" was not captured there, or the store's file is damaged.
            IndexError: there is no such prompt.
        """
        self._check(site, ALL)
        shard, row_in_shard = self._place(row)
        ends = np.cumsum(shard["lengths"])
        start, stop = ends[row_in_shard] - shard["lengths"][row_in_shard], ends[row_in_shard]
        return self._tensor(shard[f"{site}.{ALL}"][start:stop]).float()

    @property
    def offsets(self) -> Int[Tensor, " ends"]:
        """Where each prompt's tokens begin in "all", and behind the last where they end."""
        return torch.from_numpy(np.concatenate([[0], np.cumsum(self._lengths)]))

    def spans(self, position: str) -> Int[Tensor, "n 2"]:
        """The [start, stop) tokens of each prompt that the position reads.

        Raises:
            InputError: nothing was captured there.
        """
        self._check(self.sites[0], position)
        index = self.positions.index(position)
        return torch.from_numpy(np.concatenate([shard["spans"][index] for shard in self._shards]))

    def token_ids(self, row: int) -> list[int]:
        """The tokens that the model read of one prompt.

        Raises:
            IndexError: there is no such prompt.
        """
        shard, row_in_shard = self._place(row)
        ends = np.cumsum(shard["lengths"])
        start = ends[row_in_shard] - shard["lengths"][row_in_shard]
        return [int(index) for index in shard["tokens"][start : ends[row_in_shard]]]

    def show(self, position: str, tokenizer: Any, n: int = 5) -> str:
        """The first `n` prompts as tokens, one line each, those that were read in >>...<<.

        Raises:
            InputError: nothing was captured there.
        """
        lines = []
        for row, (start, stop) in enumerate(self.spans(position)[:n].tolist()):
            tokens = tokenizer.convert_ids_to_tokens(self.token_ids(row))
            tokens[start] = f">>{tokens[start]}"
            tokens[stop - 1] += "<<"
            lines.append(f"{row}: {' '.join(tokens)}")
        return "\n".join(lines)

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.concatenate([shard["lengths"] for shard in self._shards])

    def _place(self, row: int) -> tuple[Shard, int]:
        if not 0 <= row < len(self):
            raise IndexError(f"prompt {row} of {len(self)}")
        for shard in self._shards:
            if row < len(shard["lengths"]):
                return shard, row
            row -= len(shard["lengths"])
        raise AssertionError("the shards hold fewer rows than their lengths say")

    def _tensor(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        return tensor.view(torch.bfloat16) if self.dtype == "bfloat16" else tensor

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
