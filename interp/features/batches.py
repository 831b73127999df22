"""Rows to train on: tokens of many prompts, shuffled, at several sites from one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations import Activations, Site
from interp.errors import InputError

ALL = "all"
Rows = Mapping[Site, Float[Tensor, "n d"]]
"""The same rows at several sites."""


class Batches:
    """Batches without end, in an order that seed and step decide, so that any step can be resumed.

    Prompts are drawn in a new order each epoch and read a buffer at a time; the buffer's rows are
    shuffled. What is left of a buffer, less than a batch, waits for the next epoch. Memory is that
    of one buffer, whatever the store's size.

    Args:
        acts: captured at "all" or at a position of one token a prompt.
        sites: read at once.
        position: of `acts`.
        batch: rows.
        seed: of the order and of what is held back.
        skip_first: tokens at the start of each prompt that are left out ("all" only): the first
            ones take huge norms in many models and would be most of the loss.
        held_back: share of the prompts that are never in a batch.
        buffer: most rows in memory, at each site.

    Attributes:
        held_prompts: rows of the prompts that are in no batch.

    Raises:
        InputError: nothing captured there, fewer rows than a batch, a share that leaves nothing on
            one side, or a buffer smaller than a batch and a prompt.
    """

    def __init__(
        self,
        acts: Activations,
        sites: Sequence[Site],
        position: str,
        *,
        batch: int,
        seed: int,
        skip_first: int = 1,
        held_back: float = 0.05,
        buffer: int = 2**17,
    ) -> None:
        self.sites, self.position, self.batch, self.seed = tuple(sites), position, batch, seed
        self._acts, self._skip = acts, skip_first if position == ALL else 0
        if position == ALL:
            self._sizes = (acts.offsets.diff().numpy() - skip_first).clip(min=0)
        else:
            self._sizes = np.ones(len(acts), dtype=np.int64)
        order = _shuffled(len(acts), seed, 0)
        n_held = round(held_back * len(acts))
        self.held_prompts, self._train = np.sort(order[:n_held]), order[n_held:]
        n_train, n_kept = (
            int(self._sizes[part].sum()) for part in (self._train, self.held_prompts)
        )
        if not n_kept or n_train < batch:
            raise InputError(
                f"dictionary: {n_train} rows to train on and {n_kept} held back of {len(acts)} "
                f"prompts; expected at least a batch of {batch} and one held back: capture more, "
                "or choose smaller batches or another share"
            )
        longest = int(self._sizes.max())
        if buffer < batch + longest:
            raise InputError(
                f"dictionary: a buffer of {buffer} rows; expected at least {batch + longest}, a "
                "batch and the longest prompt"
            )
        self._buffer = buffer
        self._last: tuple[bytes, dict[Site, Tensor]] = (b"", {})

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return int(self._sizes[self._train].sum())

    def first(self) -> dict[Site, Float[Tensor, "n d"]]:
        """The first buffer, to estimate from."""
        return self._read(next(self._buffers(1)))

    def held(self) -> dict[Site, Float[Tensor, "n d"]]:
        """Rows of the prompts that are in no batch, one buffer at most."""
        sizes = self._sizes[self.held_prompts]
        few = np.cumsum(sizes) <= max(self._buffer, sizes[0])
        return self._read(self.held_prompts[few])

    def from_step(self, step: int) -> Iterator[dict[Site, Float[Tensor, "n d"]]]:
        """The batch of that step, and all after it."""
        at = 0
        for epoch in count(1):
            for part, prompts in enumerate(self._buffers(epoch)):
                n_rows = int(self._sizes[prompts].sum())
                n_batches = n_rows // self.batch
                if at + n_batches > step:
                    rows = self._read(prompts)
                    order = torch.from_numpy(_shuffled(n_rows, self.seed, epoch, part))
                    for number in range(max(step - at, 0), n_batches):
                        chosen = order[number * self.batch : (number + 1) * self.batch]
                        yield {site: acts_ND[chosen] for site, acts_ND in rows.items()}
                at += n_batches

    def digest(self, site: Site) -> str:
        """Of what is trained on at a site: the rows held back, and how many each prompt has."""
        hashed = hashlib.sha256(self._sizes.tobytes())
        hashed.update(self.held()[site].numpy().tobytes())
        return hashed.hexdigest()[:16]

    def _buffers(self, epoch: int) -> Iterator[np.ndarray]:
        """Prompts, a buffer at a time; sorted, so that they are read in the store's order."""
        order = self._train[_shuffled(len(self._train), self.seed, epoch)]
        sizes = self._sizes[order]
        start = 0
        while start < len(order):
            stop = start + int(np.searchsorted(np.cumsum(sizes[start:]), self._buffer, "right"))
            yield np.sort(order[start:stop])
            start = stop

    def _read(self, prompts: np.ndarray) -> dict[Site, Tensor]:
        key = prompts.tobytes()
        if self._last[0] != key:
            self._last = (key, {site: self._read_at(site, prompts) for site in self.sites})
        return self._last[1]

    def _read_at(self, site: Site, prompts: np.ndarray) -> Tensor:
        if self.position == ALL:
            parts = [self._acts.of(site, int(prompt))[self._skip :] for prompt in prompts]
            acts_ND = torch.cat(parts)
        else:
            acts_ND = self._acts.read(site, self.position)[torch.from_numpy(prompts)]
        finite_N = acts_ND.isfinite().all(1)
        if not bool(finite_N.all()):
            row = int((~finite_N).int().argmax())
            prompt = prompts[np.searchsorted(np.cumsum(self._sizes[prompts]), row, "right")]
            raise InputError(f"dictionary: NaN or Inf at {site}, in prompt {prompt}; capture again")
        return acts_ND


def _shuffled(n: int, *seeds: int) -> np.ndarray:
    return np.random.default_rng(seeds).permutation(n)
