"""Compressed rows (CSR): the entries that are not 0, row by row, from tables of several kinds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, Int64
from scipy.sparse import csr_matrix
from torch import Tensor

from interp.errors import InputError

# What `SparseCodes` holds: where each row starts, and the latent and the value of each entry.
Start = Int64[np.ndarray, " rows_and_1"]
Index = Int32[np.ndarray, " e"]
Value = Float32[np.ndarray, " e"]
Compressed = tuple[Start, Index, Value]


def compress_dense(code_NM: Float[Tensor, "n m"]) -> Compressed:
    """Entries of a table with its zeros, or of a sparse tensor.

    Raises:
        InputError: NaN or Inf.
    """
    if code_NM.layout != torch.strided:
        entries = code_NM.to_sparse_coo().coalesce()
        (row_E, index_E), value_E = entries.indices(), entries.values()
    else:
        row_E, index_E = code_NM.nonzero(as_tuple=True)
        value_E = code_NM[row_E, index_E]
    return _compress(row_E, index_E, value_E, len(code_NM))


def compress_topk(
    value_NK: Float[Tensor, "n k"], index_NK: Int[Tensor, "n k"], n_latents: int
) -> Compressed:
    """Entries of the latents of each row, in whatever order; where a value is 0 it is left out.

    Raises:
        InputError: NaN or Inf, a latent outside the dictionary, or one twice in a row.
    """
    kept_NK = value_NK != 0
    row_E, _ = kept_NK.nonzero(as_tuple=True)
    index_E, value_E = index_NK[kept_NK], value_NK[kept_NK]
    outside_E = (index_E < 0) | (index_E >= n_latents)
    if outside_E.any():
        bad = int(outside_E.int().argmax())
        raise InputError(
            f"codes: row {int(row_E[bad])} names latent {int(index_E[bad])}; expected 0 to "
            f"{n_latents - 1}, so give the number of latents of the dictionary that made them"
        )
    place_E, order_E = (row_E * n_latents + index_E).sort()
    twice = place_E[1:] == place_E[:-1]
    if twice.any():
        bad = int(order_E[1:][twice][0])
        raise InputError(
            f"codes: row {int(row_E[bad])} names latent {int(index_E[bad])} twice; expected each "
            "latent of the top k once"
        )
    return _compress(row_E[order_E], index_E[order_E], value_E[order_E], len(value_NK))


def compress_matrix(matrix: csr_matrix) -> Compressed:
    """Entries of scipy's matrix, which is put in order where it stands.

    Raises:
        InputError: NaN or Inf.
    """
    matrix.sort_indices()
    row_E = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    index_E, value_E = torch.from_numpy(matrix.indices), torch.from_numpy(matrix.data)
    return _compress(torch.from_numpy(row_E), index_E, value_E, matrix.shape[0])


def compress_counts(tokens_N: Sequence[Sequence[int] | np.ndarray], n_tokens: int) -> Compressed:
    """Entries of how often each token stands in each row.

    Raises:
        InputError: no rows, or an id outside the vocabulary.
    """
    if not len(tokens_N):
        raise InputError("codes: no rows of tokens; expected at least one")
    index, value = [], []
    for row, tokens in enumerate(tokens_N):
        ids, count = np.unique(np.asarray(tokens, dtype=np.int64), return_counts=True)
        if len(ids) and not 0 <= ids[0] <= ids[-1] < n_tokens:
            raise InputError(
                f"codes: row {row} has token ids {ids[0]} to {ids[-1]}; the vocabulary has 0 "
                f"to {n_tokens - 1}"
            )
        index.append(ids.astype(np.int32))
        value.append(count.astype(np.float32))
    start = np.cumsum([0, *map(len, index)], dtype=np.int64)
    return start, np.concatenate(index), np.concatenate(value)


def within(what: str, chosen: np.ndarray, size: int) -> Int64[np.ndarray, " k"]:
    """Numbers of rows or latents, `what` being what an error calls one.

    Raises:
        InputError: no list of whole numbers, or one that is not from 0 to `size - 1`.
    """
    if chosen.ndim != 1 or (len(chosen) and not np.issubdtype(chosen.dtype, np.integer)):
        raise InputError(f"codes: {what}s of shape {chosen.shape} and {chosen.dtype}; expected [k]")
    wrong = (chosen < 0) | (chosen >= size)
    if wrong.any():
        raise InputError(f"codes: no {what} {chosen[wrong][0]}; expected 0 to {size - 1}")
    return chosen.astype(np.int64)


def _compress(row_E: Tensor, index_E: Tensor, value_E: Tensor, n_rows: int) -> Compressed:
    """Rows, latents and values, in this order; values that are 0 as float32 are dropped."""
    narrow_E = value_E.float()
    bad_E = ~narrow_E.isfinite()
    if bad_E.any():
        place = int(bad_E.int().argmax())
        raise InputError(
            f"codes: row {int(row_E[place])} has {float(value_E[place])} at latent "
            f"{int(index_E[place])}; the activations or the dictionary are not finite there"
        )
    kept_E = narrow_E != 0
    size_N = torch.bincount(row_E[kept_E], minlength=n_rows).cpu().numpy()
    return (
        np.concatenate([[0], np.cumsum(size_N)]).astype(np.int64),
        index_E[kept_E].to(torch.int32).cpu().numpy(),
        narrow_E[kept_E].cpu().numpy(),
    )
