"""The activation store against exca's own cache: the same arrays written and read on one core.

exca's `MapInfra` keeps what a method yields for each item. It is used in the two ways that fit
activations: an item a prompt (all sites of it), which is what a user would write first, and an item
for each shard and site, which copies this project's layout into it.
"""

# No `from __future__ import annotations`: exca looks at a method's annotations as they stand.
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import _common
import exca
import numpy as np
import pydantic
import torch
from torch import Tensor

from interp.activations import Activations, Site
from interp.activations.planning import ROWS_A_SHARD
from interp.activations.store import open_store, writing

N_TOKENS = 32


@dataclass(frozen=True)
class Size:
    """Activations of prompts at one position."""

    n_prompts: int
    n_sites: int
    d_model: int
    dtype: str

    @property
    def rows(self) -> list[tuple[int, int]]:
        """Of each shard."""
        edges = [*range(0, self.n_prompts, ROWS_A_SHARD), self.n_prompts]
        return list(itertools.pairwise(edges))

    @property
    def n_bytes(self) -> int:
        """Of the numbers themselves."""
        width = np.dtype(self.dtype).itemsize
        return self.n_prompts * self.n_sites * self.d_model * width


class ByPrompt(pydantic.BaseModel):
    """An item a prompt: [sites, d]."""

    infra: exca.MapInfra = exca.MapInfra(keep_in_ram=False)

    @infra.apply(item_uid=str, cache_type="MemmapArray")
    def acts(self, items: Sequence[int]) -> Iterator[np.ndarray]:
        """Copied out of a block that stands for what a forward gives."""
        for row in items:
            yield BLOCKS["NLD"][row % ROWS_A_SHARD]


class ByShard(pydantic.BaseModel):
    """An item for each shard and site: [rows, d]."""

    infra: exca.MapInfra = exca.MapInfra(keep_in_ram=False)

    @infra.apply(item_uid=str, cache_type="MemmapArray")
    def acts(self, items: Sequence[tuple[int, int, int]]) -> Iterator[np.ndarray]:
        """As for an item a prompt."""
        for first, behind, site in items:
            yield BLOCKS["LND"][site, : behind - first]


BLOCKS: dict[str, np.ndarray] = {}
"""What a forward gives, as [sites, rows, d] and [rows, sites, d]; every shard holds the same."""


@dataclass
class Store:
    """This project's: a file a site in every shard, with checksums."""

    size: Size
    folder: Path

    @property
    def sites(self) -> list[Site]:
        """One a layer."""
        return [Site("resid_post", layer) for layer in range(self.size.n_sites)]

    def write(self, folder: Path) -> None:
        """Everything, shard after shard."""
        request = {
            "sites": [str(site) for site in self.sites],
            "positions": ["last_prompt"],
            "dtype": self.size.dtype,
        }
        with writing(folder, request, self.size.rows, n_bytes=self.size.n_bytes) as writer:
            for number in writer.missing:
                n = self.size.rows[number][1] - self.size.rows[number][0]
                shard = {str(s): BLOCKS["LND"][None, i, :n] for i, s in enumerate(self.sites)}
                shard["tokens"] = np.zeros(n * N_TOKENS, dtype=np.int32)
                shard["lengths"] = np.full(n, N_TOKENS)
                shard["spans"] = np.tile([N_TOKENS - 1, N_TOKENS], (1, n, 1))
                writer.add(number, shard)

    def open(self) -> Activations:
        """As in a process that has not read it yet: every checksum is due."""
        for path in self.folder.rglob("*.*"):
            os.utime(path)
        return open_store(self.folder)

    def one(self, acts: Activations) -> Tensor:
        """One layer of all prompts."""
        return acts.read(self.sites[self.size.n_sites // 2], "last_prompt")

    def all(self, acts: Activations) -> list[Tensor]:
        """All layers of all prompts."""
        return [acts.read(site, "last_prompt") for site in self.sites]


@dataclass
class PromptCache:
    """exca's, an item a prompt."""

    size: Size
    folder: Path

    def write(self, folder: Path) -> None:
        """Everything; the method runs when it is called and not when its output is used."""
        folder.mkdir()
        ByPrompt(infra={"folder": folder}).acts(range(self.size.n_prompts))

    def open(self) -> ByPrompt:
        """As in a process that has not read it yet."""
        return ByPrompt(infra={"folder": self.folder, "mode": "read-only"})

    def one(self, job: ByPrompt) -> Tensor:
        """One layer of all prompts."""
        acts_ND = np.empty((self.size.n_prompts, self.size.d_model), dtype=np.float32)
        for row, acts_LD in enumerate(job.acts(range(self.size.n_prompts))):
            acts_ND[row] = acts_LD[self.size.n_sites // 2]
        return torch.from_numpy(acts_ND)

    def all(self, job: ByPrompt) -> list[Tensor]:
        """All layers of all prompts."""
        shape = (self.size.n_sites, self.size.n_prompts, self.size.d_model)
        acts_LND = np.empty(shape, dtype=np.float32)
        for row, acts_LD in enumerate(job.acts(range(self.size.n_prompts))):
            acts_LND[:, row] = acts_LD
        return list(torch.from_numpy(acts_LND))


@dataclass
class ShardCache:
    """exca's, an item for each shard and site."""

    size: Size
    folder: Path

    def _items(self, sites: Sequence[int]) -> list[tuple[int, int, int]]:
        return [(*rows, site) for site in sites for rows in self.size.rows]

    def write(self, folder: Path) -> None:
        """Everything; the method runs when it is called and not when its output is used."""
        folder.mkdir()
        ByShard(infra={"folder": folder}).acts(self._items(range(self.size.n_sites)))

    def open(self) -> ByShard:
        """As in a process that has not read it yet."""
        return ByShard(infra={"folder": self.folder, "mode": "read-only"})

    def one(self, job: ByShard, site: int | None = None) -> Tensor:
        """One layer of all prompts."""
        acts_ND = np.empty((self.size.n_prompts, self.size.d_model), dtype=np.float32)
        items = self._items([self.size.n_sites // 2 if site is None else site])
        for (first, behind, _), part_ND in zip(items, job.acts(items), strict=True):
            acts_ND[first:behind] = part_ND
        return torch.from_numpy(acts_ND)

    def all(self, job: ByShard) -> list[Tensor]:
        """All layers of all prompts."""
        return [self.one(job, site) for site in range(self.size.n_sites)]


CONTENDERS = {"ours": Store, "by_prompt": PromptCache, "by_shard": ShardCache}
_unused = itertools.count()
JOBS: dict[str, Callable[[Any, Any], object]] = {
    "write": lambda store, _: store.write(store.folder.with_name(f"unused{next(_unused)}")),
    "read_layer_first": lambda store, _: store.one(store.open()),
    "read_layer_again": lambda store, opened: store.one(opened),
    "read_all_again": lambda store, opened: store.all(opened),
}


def measure(size: Size, runs: int, folder: Path) -> dict[str, dict[str, _common.Timed]]:
    """CPU seconds of every job, by contender; checks that all read the same numbers."""
    shape = (size.n_sites, ROWS_A_SHARD, size.d_model)
    BLOCKS["LND"] = np.random.default_rng(0).normal(size=shape).astype(size.dtype)
    BLOCKS["NLD"] = np.ascontiguousarray(BLOCKS["LND"].transpose(1, 0, 2))
    rows = np.arange(size.n_prompts) % ROWS_A_SHARD
    stores = {name: kind(size, folder / name) for name, kind in CONTENDERS.items()}
    opened = {}
    for name, store in stores.items():
        store.write(store.folder)
        opened[name] = store.open()
        for site, found_ND in enumerate(store.all(opened[name])):
            assert np.array_equal(found_ND, BLOCKS["LND"][site, rows]), name
    times = {}
    for job, work in JOBS.items():
        contenders = {name: partial(work, store, opened[name]) for name, store in stores.items()}
        times[job] = _common.alternate(contenders, runs, clock=_common.cpu_clock)
        for written in folder.glob("unused*"):
            shutil.rmtree(written)
    _table(size, times, [_size_of(store.folder) for store in stores.values()])
    return times


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _table(size: Size, times: dict[str, dict[str, _common.Timed]], n_stored: Sequence[int]) -> None:
    print(
        f"\n{size.n_prompts} prompts x {size.n_sites} sites x {size.d_model}, {size.dtype} "
        f"({size.n_bytes / 2**20:.0f} MB); CPU seconds, median (least to most)"
    )
    print(f"{'':26}" + "".join(f"{name:>26}" for name in CONTENDERS))
    for job, by_name in times.items():
        cells = [
            f"{t.median:.3f} ({min(t.seconds):.3f} to {max(t.seconds):.3f})"
            for t in by_name.values()
        ]
        print(f"{job:26}" + "".join(f"{cell:>26}" for cell in cells))
    more = [f"+{100 * (n / size.n_bytes - 1):.2f} %" for n in n_stored]
    print(f"{'disk, over the numbers':26}" + "".join(f"{cell:>26}" for cell in more))


def main() -> None:
    """Measures, and prints the ratios."""
    options = _common.arguments(__doc__ or "").parse_args()
    _common.one_core()
    logging.getLogger("exca").setLevel(logging.ERROR)
    runs = options.runs or (3 if options.quick else 5)
    print(f"{_common.machine()}, {runs} alternated runs")
    ratios = {}
    for dtype in ("float16",) if options.quick else ("float16", "float32"):
        size = Size(2500 if options.quick else 20_000, 12, 512, dtype)
        with tempfile.TemporaryDirectory() as folder:
            times = measure(size, runs, Path(folder))
        for job, by_name in times.items():
            for peer in ("by_prompt", "by_shard"):
                name = f"{job}_{dtype}_vs_{peer}"
                ratios[name] = _common.ratio(by_name["ours"], by_name[peer])
    print()
    _common.finish(ratios, as_json=options.json)


if __name__ == "__main__":
    main()
