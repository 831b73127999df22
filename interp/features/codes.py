"""Codes of a dictionary as they are: a few active latents a row, and nothing for the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from scipy.sparse import csr_matrix
from torch import Tensor

from interp.errors import InputError
from interp.features.codes_files import read, write
from interp.features.compressed import (
    compress_counts,
    compress_dense,
    compress_matrix,
    compress_topk,
    within,
)


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
            acts: [rows, width], one row a code, or pieces of that one after the other, as from a
                store.
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
        return cls(*compress_dense(code), code.shape[1])

    @classmethod
    def from_topk(
        cls, value_NK: Float[Tensor, "n k"], index_NK: Int[Tensor, "n k"], n_latents: int
    ) -> SparseCodes:
        """Codes from the latents of each row and their values; where a value is 0 it is left out.

        Args:
            value_NK: values of the K latents of each row.
            index_NK: their numbers, each once a row.
            n_latents: M.

        Raises:
            InputError: NaN or Inf, a latent outside the dictionary, or one twice in a row.
        """
        return cls(*compress_topk(value_NK.detach(), index_NK.detach(), n_latents), n_latents)

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
        return cls(*compress_counts(tokens_N, n_tokens), n_tokens)

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
        index = np.concatenate([part.index for part in parts])
        value = np.concatenate([part.value for part in parts])
        return cls(np.cumsum(size, dtype=np.int64), index, value, widths.pop())

    @classmethod
    def load(cls, path: Path) -> SparseCodes:
        """Reads what `save` wrote.

        Raises:
            InputError: no such file, other tensors, or some that are no codes.
        """
        return cls(*read(path))

    def save(self, path: Path) -> None:
        """Writes one safetensors file: `start`, `index`, `value`, `n_latents`."""
        write(path, self.start, self.index, self.value, self.n_latents)

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
        return self._of_matrix(self.matrix[within("row", chosen, len(self))])

    def latents(self, index: Sequence[int] | np.ndarray) -> SparseCodes:
        """The same rows over some latents, renumbered in the order given.

        Raises:
            InputError: a latent that is not there.
        """
        return self._of_matrix(self.matrix[:, within("latent", np.asarray(index), self.n_latents)])

    def scaled(self, factor_M: Float[np.ndarray, " m"]) -> SparseCodes:
        """Values times a factor for each latent, such as its decoder's norm.

        Raises:
            InputError: a factor that is not above 0 and finite.
        """
        right_M = (factor_M > 0) & np.isfinite(factor_M)
        if not right_M.all():
            bad = int(right_M.argmin())
            raise InputError(f"codes: factor {factor_M[bad]} for latent {bad}; expected above 0")
        return self._of_matrix(csr_matrix(self.matrix.astype(float).multiply(factor_M)))

    def means_by(self, group_N: np.ndarray) -> SparseCodes:
        """Mean code of the rows of each group 0, 1, ..., zeros included, a row a group."""
        place = (np.ones(len(self)), (group_N, np.arange(len(self))))
        sum_GM = csr_matrix(place) @ self.matrix.astype(float)
        # Divided at the end: sums of a few float32 are exact, so equal means are ties.
        sum_GM.data /= np.repeat(np.bincount(group_N), np.diff(sum_GM.indptr))
        return self._of_matrix(sum_GM)

    def _of_matrix(self, matrix: csr_matrix) -> SparseCodes:
        return SparseCodes(*compress_matrix(matrix), matrix.shape[1])

    def _check_rows(self) -> None:
        if not len(self):
            raise InputError("codes: no rows, so nothing has a frequency; choose other rows")
