"""Codes of a dictionary as they are: a few active latents a row, and nothing for the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix
from torch import Tensor

from interp.errors import InputError

_PARTS = {"start": np.int64, "index": np.int32, "value": np.float32}
_FILE = {name: np.dtype(kind) for name, kind in {**_PARTS, "n_latents": np.int64}.items()}


@runtime_checkable
class Encoder(Protocol):
    """What turns activations into codes: SAELens' `SAE`, a `Dictionary`, a `Crosscoder`."""

    def encode(self, acts: Tensor, /) -> Tensor | tuple[Tensor, Tensor]:
        """Codes, dense or a sparse tensor, [n, m]; or values and latents of the top k, [n, k]."""


@dataclass(frozen=True, eq=False)
class SparseCodes:
    """Codes of N rows over M latents, of which E entries are not 0, row by row (CSR).

    Made by the constructors below, which check what they are given.

    Attributes:
        start: row n's entries are `start[n]` up to `start[n + 1]`, [N + 1].
        index: latent of each entry, ascending within a row.
        value: of each entry, never 0. Float32: wider values are rounded to it.
        n_latents: M.
    """

    start: Int64[np.ndarray, " rows_and_1"]
    index: Int32[np.ndarray, " e"]
    value: Float32[np.ndarray, " e"]
    n_latents: int

    @classmethod
    def of(
        cls,
        encoder: Encoder,
        acts: Tensor | Iterable[Tensor],
        batch: int = 4096,
        *,
        n_latents: int | None = None,
    ) -> SparseCodes:
        """Codes of activations, `batch` rows at a time; only one batch is ever dense.

        Args:
            encoder: its `encode` is called on [n, ...].
            acts: one row a code, or pieces of that one after the other, as from a store.
            batch: rows at a time.
            n_latents: M, for an encoder that gives top-k output.

        Raises:
            InputError: no rows, batches below 1, or codes that `from_dense` or `from_topk` refuse;
                what the encoder refuses, it says itself.
        """
        if batch < 1:
            raise InputError(f"codes: batch={batch}; expected at least 1 row at a time")
        pieces = [acts] if isinstance(acts, Tensor) else acts
        parts = []
        with torch.no_grad():
            for rows in (rows for piece in pieces for rows in piece.split(batch) if len(rows)):
                code = encoder.encode(rows)
                if isinstance(code, Tensor):
                    parts.append(cls.from_dense(code))
                elif n_latents is None:
                    raise InputError(
                        "codes: the encoder gives values and latents of the top k; say how many "
                        "latents there are, `n_latents`"
                    )
                else:
                    parts.append(cls.from_topk(*code, n_latents))
        return cls.concatenate(parts)

    @classmethod
    def from_dense(cls, code_NM: Float[Tensor, "n m"] | Float[np.ndarray, "n m"]) -> SparseCodes:
        """Codes from all of their values, 0 meaning not active; a sparse tensor will do.

        Raises:
            InputError: NaN or Inf.
        """
        code = torch.as_tensor(code_NM).detach()
        if code.layout != torch.strided:
            entries = code.to_sparse_coo().coalesce()
            (row, index), value = entries.indices(), entries.values()
        else:
            row, index = code.nonzero(as_tuple=True)
            value = code[row, index]
        return cls._from_entries((row, index, value), *code.shape)

    @classmethod
    def from_topk(
        cls, value_NK: Float[Tensor, "n k"], index_NK: Int[Tensor, "n k"], n_latents: int
    ) -> SparseCodes:
        """Codes from the latents of each row and their values; where a value is 0 it is left out.

        Raises:
            InputError: NaN or Inf, a latent outside the dictionary, or one twice in a row.
        """
        kept_NK = value_NK.detach() != 0
        row, _ = kept_NK.nonzero(as_tuple=True)
        index, value = index_NK.detach()[kept_NK], value_NK.detach()[kept_NK]
        outside = (index < 0) | (index >= n_latents)
        if outside.any():
            bad = int(outside.int().argmax())
            raise InputError(
                f"codes: row {int(row[bad])} names latent {int(index[bad])}; expected 0 to "
                f"{n_latents - 1}, so give the number of latents of the dictionary that made them"
            )
        place, order = (row * n_latents + index).sort()
        twice = place[1:] == place[:-1]
        if twice.any():
            bad = int(order[1:][twice][0])
            raise InputError(
                f"codes: row {int(row[bad])} names latent {int(index[bad])} twice; expected each "
                "latent of the top k once"
            )
        return cls._from_entries((row[order], index[order], value[order]), len(value_NK), n_latents)

    @classmethod
    def from_tokens(
        cls, tokens_N: Sequence[Sequence[int] | np.ndarray], n_tokens: int
    ) -> SparseCodes:
        """How often each token stands in each row, a vocabulary taken as a dictionary.

        Args:
            tokens_N: ids of each row: of its prompt, or the one at the position that was read.
            n_tokens: size of the vocabulary.

        Raises:
            InputError: no rows, or an id outside the vocabulary.
        """
        parts = []
        for row, tokens in enumerate(tokens_N):
            ids, count = np.unique(np.asarray(tokens, dtype=np.int64), return_counts=True)
            if len(ids) and not 0 <= ids[0] <= ids[-1] < n_tokens:
                raise InputError(
                    f"codes: row {row} has token ids {ids[0]} to {ids[-1]}; the vocabulary has 0 "
                    f"to {n_tokens - 1}"
                )
            start = np.array([0, len(ids)])
            parts.append(cls(start, ids.astype(np.int32), count.astype(np.float32), n_tokens))
        return cls.concatenate(parts)

    @classmethod
    def concatenate(cls, parts: Sequence[SparseCodes]) -> SparseCodes:
        """The rows of one after those of another.

        Raises:
            InputError: nothing to put together, or another number of latents in one.
        """
        widths = {part.n_latents for part in parts}
        if len(widths) != 1:
            raise InputError(
                f"codes: parts over {sorted(widths)} latents; expected rows of one dictionary, at "
                "least one"
            )
        size = np.concatenate([[0]] + [np.diff(part.start) for part in parts])
        index, value = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("index", "value")
        )
        return cls(np.cumsum(size, dtype=np.int64), index, value, widths.pop())

    @classmethod
    def load(cls, path: Path) -> SparseCodes:
        """Reads what `save` wrote.

        Raises:
            InputError: no such file, other tensors, or some that are no codes.
        """
        try:
            with safe_open(path, "np") as file:
                held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(f"codes: {path} cannot be read: {error}") from error
        found = {name: part.dtype for name, part in held.items()}
        if found != _FILE:
            raise InputError(
                f"codes: {path} holds {_listed(found)}; expected {_listed(_FILE)}, as written "
                "by `SparseCodes.save`"
            )
        n_latents = int(held.pop("n_latents"))
        start, index, value = (held[name] for name in _PARTS)
        row = np.repeat(np.arange(len(start) - 1), np.diff(start)) if _ascends(start) else None
        if row is None or not len(row) == len(index) == len(value) or start[0]:
            raise InputError(
                f"codes: {path} is damaged: its rows and entries do not fit; encode again"
            )
        right_E = (index >= 0) & (index < n_latents) & np.isfinite(value) & (value != 0)
        right_E[1:] &= np.diff(row * n_latents + index) > 0
        if not right_E.all():
            raise InputError(
                f"codes: {path} is damaged: entry {int(right_E.argmin())} is latent "
                f"{index[right_E.argmin()]} at {value[right_E.argmin()]}; expected latents below "
                f"{n_latents}, ascending in a row, and values that are finite and not 0"
            )
        return cls(start, index, value, n_latents)

    def save(self, path: Path) -> None:
        """Writes one safetensors file: `start`, `index`, `value`, `n_latents`."""
        held = {name: np.ascontiguousarray(getattr(self, name)) for name in _PARTS}
        save_file({**held, "n_latents": np.array(self.n_latents)}, path)

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def frequency(self) -> Float[np.ndarray, " m"]:
        """Share of the rows in which each latent is active.

        Raises:
            InputError: no rows.
        """
        self._check_rows()
        return np.bincount(self.index, minlength=self.n_latents) / len(self)

    @property
    def l0(self) -> float:
        """Active latents a row, on average.

        Raises:
            InputError: no rows.
        """
        self._check_rows()
        return len(self.index) / len(self)

    @property
    def row(self) -> Int64[np.ndarray, " e"]:
        """Row of each entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @property
    def matrix(self) -> csr_matrix:
        """For scipy, [N, M]."""
        return csr_matrix((self.value, self.index, self.start), shape=(len(self), self.n_latents))

    def dense(
        self, latents: Sequence[int] | np.ndarray | None = None
    ) -> Float32[np.ndarray, "n k"]:
        """Values with their zeros, of all latents or of those that are named, in that order.

        Raises:
            InputError: as `latents`.
        """
        return (self if latents is None else self.latents(latents)).matrix.toarray()

    def rows(self, mask: Sequence[bool] | Sequence[int] | np.ndarray) -> SparseCodes:
        """Codes of some rows: those where a mask is True, or those of the given numbers.

        Raises:
            InputError: a mask of another length, or a row that is not there.
        """
        chosen = np.asarray(mask)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise InputError(
                    f"codes: a mask of shape {chosen.shape} for {len(self)} rows; expected one each"
                )
            chosen = np.flatnonzero(chosen)
        return self._of_matrix(self.matrix[_within("row", chosen, len(self))])

    def latents(self, index: Sequence[int] | np.ndarray) -> SparseCodes:
        """The same rows over some latents, renumbered in the order given.

        Raises:
            InputError: a latent that is not there.
        """
        chosen = _within("latent", np.asarray(index), self.n_latents)
        return self._of_matrix(self.matrix[:, chosen])

    def scaled(self, factor_M: Float[np.ndarray, " m"]) -> SparseCodes:
        """Values times a factor for each latent, such as its decoder's norm.

        Raises:
            InputError: a factor that is not above 0 and finite.
        """
        if not ((factor_M > 0) & np.isfinite(factor_M)).all():
            bad = int(np.argmin((factor_M > 0) & np.isfinite(factor_M)))
            raise InputError(f"codes: factor {factor_M[bad]} for latent {bad}; expected above 0")
        matrix = self.matrix.astype(float)
        return self._of_matrix(csr_matrix(matrix.multiply(factor_M)))

    def means_by(self, group_N: np.ndarray) -> SparseCodes:
        """Mean code of the rows of each group 0, 1, ..., zeros included, a row a group."""
        place = (np.ones(len(self)), (group_N, np.arange(len(self))))
        sum_GM = csr_matrix(place) @ self.matrix.astype(float)
        # Divided at the end: sums of a few float32 are exact, so equal means are ties.
        sum_GM.data /= np.repeat(np.bincount(group_N), np.diff(sum_GM.indptr))
        return self._of_matrix(sum_GM)

    def _of_matrix(self, matrix: csr_matrix) -> SparseCodes:
        matrix.sort_indices()
        row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        entries = [torch.from_numpy(part) for part in (row, matrix.indices, matrix.data)]
        return self._from_entries(entries, *matrix.shape)

    def _check_rows(self) -> None:
        if not len(self):
            raise InputError("codes: no rows, so nothing has a frequency; choose other rows")

    @classmethod
    def _from_entries(cls, entries: Sequence[Tensor], n_rows: int, n_latents: int) -> SparseCodes:
        """Codes from rows, latents and values, in this order; values that are 0 are dropped."""
        row, index, value = entries
        narrow = value.float()
        bad = ~narrow.isfinite()
        if bad.any():
            place = int(bad.int().argmax())
            raise InputError(
                f"codes: row {int(row[place])} has {float(value[place])} at latent "
                f"{int(index[place])}; the activations or the dictionary are not finite there"
            )
        kept = narrow != 0
        size = torch.bincount(row[kept], minlength=n_rows).cpu().numpy()
        return cls(
            np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
            index[kept].to(torch.int32).cpu().numpy(),
            narrow[kept].cpu().numpy(),
            n_latents,
        )


def _within(what: str, chosen: np.ndarray, size: int) -> np.ndarray:
    if chosen.ndim != 1 or (len(chosen) and not np.issubdtype(chosen.dtype, np.integer)):
        raise InputError(f"codes: {what}s of shape {chosen.shape} and {chosen.dtype}; expected [k]")
    wrong = (chosen < 0) | (chosen >= size)
    if wrong.any():
        raise InputError(f"codes: no {what} {chosen[wrong][0]}; expected 0 to {size - 1}")
    return chosen.astype(np.int64)


def _ascends(start: np.ndarray) -> bool:
    return start.ndim == 1 and len(start) > 0 and bool((np.diff(start) >= 0).all())


def _listed(types: Mapping[str, object]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in sorted(types.items()))
