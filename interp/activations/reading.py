"""Reads prompts through a backend into the arrays of a shard, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from interp.activations.asking import Asked
from interp.activations.backends import Backend
from interp.activations.selection import Selection
from interp.activations.shards import ALL, Shard
from interp.activations.sites import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.progress import Progress, report
from interp.prompts.encoding import pad


@dataclass(frozen=True, eq=False)
class Reader:
    """A model and what is to be read in it.

    Attributes:
        loaded: the model.
        backend: opened on it.
        given: the prompts as it reads them.
        prompt_ids: of the prompts, for messages.
        sites: where.
        positions: which tokens.
        dtype: that activations are kept in.
    """

    loaded: LoadedModel
    backend: Backend
    given: Asked
    prompt_ids: Sequence[str]
    sites: Sequence[Site]
    positions: Sequence[str]
    dtype: torch.dtype

    def shard(
        self, rows: tuple[int, int], batches: Sequence[Sequence[int]], n_before: int
    ) -> Shard:
        """Activations of a range of prompts, in their order, however they are batched.

        Args:
            rows: [first, behind last) prompt.
            batches: rows of each forward, counted from the first.
            n_before: prompts already captured, for the display.

        Raises:
            InputError: an activation is NaN or infinite.
            torch.OutOfMemoryError: a batch is too large for the device.
        """
        first, behind = rows
        ids = self.given.ids[first:behind]
        lengths_R = np.array([len(row) for row in ids], dtype=np.int64)
        offsets = np.concatenate([[0], lengths_R.cumsum()])
        kept = self._empty(behind - first, int(offsets[-1]))
        for batch in batches:
            picked, every = self._batch([first + row for row in batch])
            for site, acts_PBD in picked.items():
                kept[str(site)][:, batch] = acts_PBD
            for site, acts_ND in every.items():
                place_N = np.concatenate([np.arange(*offsets[row : row + 2]) for row in batch])
                kept[f"{site}.{ALL}"][place_N] = acts_ND
            n_before += len(batch)
            report(
                Progress(f"capture {self.loaded.checkpoint.name}", n_before, len(self.given.ids))
            )
        return {name: _as_numpy(tensor) for name, tensor in kept.items()} | {
            "tokens": np.concatenate(ids),
            "lengths": lengths_R,
            "spans": self.given.spans_PN2[:, first:behind].numpy(),
        }

    @property
    def n_bytes(self) -> list[int]:
        """What is kept of each prompt."""
        width = len(self.sites) * self.loaded.d_model * self.dtype.itemsize
        n_picked, every = len(self._picked), ALL in self.positions
        return [width * (n_picked + every * length) for length in self.given.lengths]

    @property
    def _picked(self) -> list[int]:
        """Which positions are kept by prompt; "all" is kept by token."""
        return [n for n, position in enumerate(self.positions) if position != ALL]

    def _empty(self, n_rows: int, n_tokens: int) -> dict[str, Tensor]:
        d_model, n_picked = self.loaded.d_model, len(self._picked)
        kept = {}
        for site in self.sites:
            if n_picked:
                kept[str(site)] = torch.empty(n_picked, n_rows, d_model, dtype=self.dtype)
            if ALL in self.positions:
                kept[f"{site}.{ALL}"] = torch.empty(n_tokens, d_model, dtype=self.dtype)
        return kept

    def _batch(self, rows: Sequence[int]) -> tuple[dict[Site, Tensor], dict[Site, Tensor]]:
        """The spans' activations (p, b, d) and all tokens' (n, d) of a batch, on the CPU."""
        encoded = pad([self.given.ids[row] for row in rows], self.loaded.tokenizer, side="right")
        spans_PB2 = self.given.spans_PN2[self._picked][:, rows]
        selection = Selection.of(encoded, spans_PB2).to(self.loaded.device)
        picked: dict[Site, Tensor] = {}
        every: dict[Site, Tensor] = {}

        def take(site: Site, acts_BTD: Float[Tensor, "b t d"]) -> None:
            if self._picked:
                picked[site] = selection.pick(acts_BTD, self.dtype)
            if ALL in self.positions:
                every[site] = selection.every(acts_BTD, self.dtype)

        self.backend.run(encoded, take)
        picked, every = _to_cpu(picked), _to_cpu(every)
        for site, acts in (*picked.items(), *every.items()):
            if not bool(acts.isfinite().all()):
                self._refuse(rows, site, acts)
        return picked, every

    def _refuse(self, rows: Sequence[int], site: Site, acts: Tensor) -> None:
        """Names the first prompt whose activations are broken."""
        broken = (~acts.isfinite()).any(-1).nonzero()[0].tolist()
        if len(broken) == 2:
            row = rows[broken[1]]
            where = self.positions[self._picked[broken[0]]]
        else:
            behind = np.cumsum([len(self.given.ids[row]) for row in rows])
            row, where = rows[int(np.searchsorted(behind, broken[0], side="right"))], ALL
        raise InputError(
            f"prompt {self.prompt_ids[row]}: NaN or infinite activations at {site}, '{where}'; "
            "the checkpoint's weights are broken, or the dtype they are computed or kept in is "
            "too narrow (try float32)"
        )


def _to_cpu(taken: dict[Site, Tensor]) -> dict[Site, Tensor]:
    """One copy for all sites of a device, since each copy waits for the device."""
    devices = {acts.device for acts in taken.values()}
    together: dict[Site, Tensor] = {}
    for device in devices:
        sites = [site for site, acts in taken.items() if acts.device == device]
        if device.type == "cpu":
            together |= {site: taken[site] for site in sites}
        else:
            stacked = torch.stack([taken[site] for site in sites]).cpu()
            together |= dict(zip(sites, stacked, strict=True))
    return together


def _as_numpy(tensor: Tensor) -> np.ndarray:
    """The same memory; numpy has no bfloat16, so its bits are handed on as uint16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
