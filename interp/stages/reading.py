"""What the probe stages read: a model's activations cell by cell, from a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from interp.progress import Progress, report
from interp.settings import cache_root
from interp.tables import code_version

if TYPE_CHECKING:
    from torch import Tensor

    from interp.activations import Activations, Site
    from interp.checkpoints import LoadedModel
    from interp.prompts import PromptSet

Cell = tuple["Site", str]
"""A site and a position."""

_FEWEST_TYPES = 10
"""Tokens that recur at a position, from which it can have a control task of its own."""
_ALIKE = 1e-6
"""Largest standard deviation of what is the same in every prompt, but for rounding."""


@dataclass(frozen=True, eq=False)
class Readings(Mapping[Cell, "Tensor"]):
    """Activations of some rows by cell, read when they are asked for and not kept.

    Attributes:
        acts: all rows.
        cells: those of them that can be probed.
        rows_M: which rows.
    """

    acts: Activations
    cells: tuple[Cell, ...]
    rows_M: np.ndarray

    def __getitem__(self, cell: Cell) -> Tensor:
        """Activations [M, D] at a site and position."""
        acts_ND = self.acts.read(*cell)
        return acts_ND if len(self.rows_M) == len(acts_ND) else acts_ND[self.rows_M]

    def __iter__(self) -> Iterator[Cell]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    def at(self, rows_M: np.ndarray, cells: Sequence[Cell] | None = None) -> Readings:
        """Other rows, and other cells if they are given."""
        return Readings(self.acts, self.cells if cells is None else tuple(cells), rows_M)

    def types(self) -> dict[Cell, np.ndarray]:
        """The token of each row by cell, for control tasks (`interp.probes.control_tasks`).

        That at the position or, where fewer than ten recur there, as at the end of a template,
        the last one of the entity; cells without either are left out.
        """
        positions = dict.fromkeys(position for _, position in self.cells)
        own = {position: self._tokens(position) for position in positions}
        recurring = {position for position in positions if _recurs(own[position])}
        stands_in = {
            position: position if position in recurring else "entity_last"
            for position in positions
            if position in recurring or "entity_last" in recurring
        }
        return {cell: own[stands_in[cell[1]]] for cell in self.cells if cell[1] in stands_in}

    def _tokens(self, position: str) -> np.ndarray:
        last_N = (self.acts.spans(position)[:, 1] - 1).tolist()
        return np.array([self.acts.token_ids(row)[last_N[row]] for row in self.rows_M.tolist()])


class Reported(Mapping[Cell, "Tensor"]):
    """Readings that tell how far their reader is.

    Args:
        acts: what is read.
        task: as the progress display names it.
        reads: how often each cell will be asked for.
    """

    def __init__(self, acts: Readings, task: str, reads: int) -> None:
        self._acts, self._task = acts, task
        self._done, self._total = 0, reads * len(acts)

    def __getitem__(self, cell: Cell) -> Tensor:
        """Activations [M, D] at a site and position."""
        report(Progress(self._task, min(self._done, self._total), self._total))
        self._done += 1
        return self._acts[cell]

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._acts)

    def __len__(self) -> int:
        return len(self._acts)


class Cells(pydantic.BaseModel):
    """Where to read.

    Attributes:
        sites: sites such as "resid_post.3", or kinds such as "resid_post", which mean every layer.
        layers: of the kinds; None is all.
        positions: rules of `interp.prompts.resolve`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    sites: tuple[str, ...] = ("resid_pre.0", "resid_post")
    layers: tuple[int, ...] | None = None
    positions: tuple[str, ...] = ("last_prompt",)

    def read(
        self, loaded: LoadedModel, prompts: PromptSet, like: Readings | None = None
    ) -> Readings:
        """Captures into a store of the cache, or reads what stands there.

        Args:
            loaded: the model.
            prompts: what it is asked.
            like: readings whose cells to take. By default, the cells in which prompts differ: the
                first layers at the end of a template hold the same for all of them.
        """
        from interp.activations import capture

        parts = (loaded.checkpoint.fingerprint, prompts.fingerprint, str(self), code_version())
        # One folder for each request and code version: no store is ever refused as stale.
        name = hashlib.sha256("/".join(parts).encode()).hexdigest()[:24]
        acts = capture(
            loaded,
            prompts,
            self.sites,
            self.positions,
            layers=self.layers,
            folder=cache_root() / "activations" / name,
        )
        cells = like.cells if like else tuple(_differing(acts))
        return Readings(acts, cells, np.arange(len(prompts)))


def layer_of(site: Site) -> int:
    """The layer as tables have it: -1 is the embedding."""
    return -1 if site.kind == "resid_pre" and site.layer == 0 else site.layer


def _differing(acts: Activations) -> Iterator[Cell]:
    for position in acts.positions:
        for site in acts.sites:
            if bool(acts.read(site, position).std(0).max() > _ALIKE):
                yield site, position


def _recurs(token_N: np.ndarray) -> bool:
    _, counts = np.unique(token_N, return_counts=True)
    return bool((counts > 1).sum() >= _FEWEST_TYPES)
