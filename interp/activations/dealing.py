"""One large capture by several processes: the shards of a store, dealt out to one a device."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interp import workers as processes
from interp.activations.asking import Asked, asked
from interp.activations.backends import Backend, open_backend
from interp.activations.capturing import read_shard, request_of
from interp.activations.planning import default_token_budget, shard_rows, worst_first
from interp.activations.reading import Reader
from interp.activations.shards import Activations
from interp.activations.sites import Site, sites_of
from interp.activations.store import Writer, open_store, save, writing
from interp.checkpoints import Checkpoint, LoadedModel
from interp.checkpoints.outlines import outline
from interp.errors import InputError
from interp.progress import Progress, listen, report
from interp.prompts import PromptSet
from interp.settings import devices_of, resolve_device


@dataclass(frozen=True)
class _Work:
    """What all workers are told once.

    Attributes:
        checkpoint: loaded by each.
        computed_in: the dtype it is loaded in.
        device: as a worker sees its own.
        sites: where to read.
        positions: which tokens.
        dtype: activations are kept in.
        backend: name of it.
        threads: of torch on the CPU; those of a capture in one process, since their number decides
            how sums are taken apart, and so the last bits.
    """

    checkpoint: Checkpoint
    computed_in: str
    device: str
    sites: tuple[Site, ...]
    positions: tuple[str, ...]
    dtype: str
    backend: str
    threads: int


def capture_sharded(
    checkpoint: Checkpoint,
    prompts: PromptSet,
    sites: Sequence[Site | str],
    positions: Sequence[str],
    *,
    folder: Path,
    devices: Sequence[str],
    computed_in: str = "float32",
    layers: Sequence[int] | None = None,
    replies: Sequence[str] | None = None,
    chain_end: str = "</think>",
    backend: str = "hooks",
    dtype: str | None = None,
    token_budget: int | None = None,
) -> Activations:
    """The store that `capture` makes, by one process a device.

    Every process loads the checkpoint once and is given one shard after the other, those with the
    longest prompts first. The store is that of `capture` with the same `token_budget` on such a
    device, byte for byte, unless memory runs out: then batches are halved from there on, and which
    shards that reaches depends on who was faster. What a killed or failed call finished is kept,
    and completed by the next one, of either function.

    Processes are spawned: a script that calls this has its own work under
    `if __name__ == "__main__"`.

    Args:
        checkpoint: of the model.
        prompts: as for `capture`.
        sites: as for `capture`.
        positions: as for `capture`.
        folder: of the store.
        devices: one process each: "cuda" (all there are), "cuda:N", or "cpu", also several times.
        computed_in: dtype that the model is loaded in, as for `Checkpoint.load`.
        layers: as for `capture`.
        replies: as for `capture`.
        chain_end: as for `capture`.
        backend: "hooks", "transformer_lens" or "nnsight".
        dtype: as for `capture`.
        token_budget: as for `capture`.

    Returns:
        Rows in the order of the prompts.

    Raises:
        InputError: as `capture`; no devices, or a process that ended before its work did (by the
            system, for want of memory, as a rule). Finished shards are kept.
    """
    hands = _each(devices)
    model = outline(checkpoint, computed_in)
    given = asked(prompts, model, positions, replies, chain_end)
    wanted = sites_of(model, sites, layers)
    request = request_of(model, prompts, given, wanted, positions, dtype, backend)
    work = _Work(
        checkpoint,
        computed_in,
        "cpu" if hands[0] == "cpu" else "cuda",
        tuple(wanted),
        tuple(positions),
        request["dtype"],
        backend,
        torch.get_num_threads(),
    )
    reader = _reader(work, model, _NoBackend(), given, prompts.frame["prompt_id"].tolist())
    rows = shard_rows(reader.n_bytes)
    budget = default_token_budget(work.device) if token_budget is None else token_budget
    with writing(folder, request, rows, n_bytes=sum(reader.n_bytes)) as writer:
        if writer.missing:
            _Dealer(reader, rows, writer, budget).deal(work, hands)
    return open_store(folder, request)


class _NoBackend:
    """In the process that deals: it counts bytes and reads nothing."""

    def run(self, encoded: Any, take: Any) -> None:
        raise RuntimeError("the process that deals out shards was asked to read one")


class _Dealer:
    """Hands out shards, and notes down what was written."""

    def __init__(
        self, reader: Reader, rows: Sequence[tuple[int, int]], writer: Writer, budget: int
    ) -> None:
        self._reader = reader
        self._rows = rows
        self._writer = writer
        self._budget = int(writer.notes.get("token_budget", budget))
        self._pending = worst_first(writer.missing, rows, reader.given.lengths)
        self._done = dict.fromkeys(range(len(rows)), 0)
        for number in set(self._done) - set(self._pending):
            self._done[number] = rows[number][1] - rows[number][0]

    def deal(self, work: _Work, devices: Sequence[str]) -> None:
        """Until no shard is missing; the first failure ends it."""
        devices = devices[: len(self._pending)]
        reports = processes.context().Queue()
        running: dict[Future[tuple[dict[str, str], int]], int] = {}
        with _pool(work, devices, reports) as pool:
            while self._pending or running:
                # One shard a process and one waiting, so that their prompts are not all copied.
                while self._pending and len(running) <= len(devices):
                    number = self._pending.pop(0)
                    running[pool.submit(_captured, *self._task(number))] = number
                done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
                self._show(reports)
                for future in done:
                    hashes, budget = future.result()
                    self._writer.record(running.pop(future), hashes)
                    if budget < self._budget:
                        self._budget = budget
                        self._writer.note(token_budget=budget)
        self._show(reports)

    def _task(self, number: int) -> tuple[int, Path, Asked, list[str], int]:
        first, behind = self._rows[number]
        given = self._reader.given
        own = Asked(
            given.texts[first:behind],
            given.ids[first:behind],
            given.spans_PN2[:, first:behind].clone(),
        )
        prompt_ids = list(self._reader.prompt_ids[first:behind])
        return number, self._writer.place(number), own, prompt_ids, self._budget

    def _show(self, reports: Any) -> None:
        """Reports what all processes have done together."""
        before = sum(self._done.values())
        while True:
            try:
                number, n_done = reports.get_nowait()
            except queue.Empty:
                break
            self._done[number] = n_done
        if (after := sum(self._done.values())) != before:
            task = f"capture {self._reader.loaded.checkpoint.name}"
            report(Progress(task, after, len(self._reader.given.ids)))


@contextmanager
def _pool(work: _Work, devices: Sequence[str], reports: Any) -> Iterator[ProcessPoolExecutor]:
    """The processes; they are gone when the block ends, at once if it failed."""
    pool = ProcessPoolExecutor(
        len(devices),
        mp_context=processes.context(),
        initializer=_begin,
        initargs=(processes.hands_of([[each] for each in devices], len(devices)), work, reports),
    )
    try:
        yield pool
    except BrokenProcessPool as error:
        raise InputError(
            f"capture {work.checkpoint.name}: one of the processes on {', '.join(devices)} ended "
            "before its work did, killed by the system as a rule (for want of memory: "
            "`dmesg | tail` says so); finished shards are kept: run again, with fewer devices, a "
            "smaller token_budget or a narrower dtype"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_here: dict[str, Any] = {}
"""Of a worker: what it was told, and the model once it is loaded."""


def _begin(hands: Any, work: _Work, reports: Any) -> None:
    processes.begin(hands)
    torch.set_num_threads(work.threads)
    _here.update(work=work, reports=reports)


def _captured(
    number: int, place: Path, given: Asked, prompt_ids: list[str], token_budget: int
) -> tuple[dict[str, str], int]:
    """Writes a shard; the hashes of its files, and the token budget that fitted."""
    work: _Work = _here["work"]
    listen(lambda told: _here["reports"].put((number, told.done)))
    if "loaded" not in _here:
        loaded = work.checkpoint.load(device=work.device, dtype=work.computed_in)
        opened = open_backend(work.backend, loaded, work.sites)
        _here.update(loaded=loaded, opened=opened)
    reader = _reader(work, _here["loaded"], _here["opened"], given, prompt_ids)
    shard, budget = read_shard(reader, (0, len(prompt_ids)), token_budget, 0)
    return save(place, shard), budget


def _reader(
    work: _Work, loaded: LoadedModel, backend: Backend, given: Asked, prompt_ids: list[str]
) -> Reader:
    dtype = getattr(torch, work.dtype)
    return Reader(loaded, backend, given, prompt_ids, work.sites, work.positions, dtype)


def _each(devices: Sequence[str]) -> list[str]:
    """A device for each process."""
    found = [one for device in devices for one in devices_of(resolve_device(device, several=True))]
    if not found:
        raise InputError("capture: no devices; expected at least one")
    if len({device == "cpu" for device in found}) > 1:
        raise InputError(
            f"capture: devices {', '.join(found)} are of two kinds, whose results differ in the "
            "last bits; name one kind"
        )
    return found
