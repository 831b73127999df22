"""Documents packed into fixed rows, so that no compute is spent on padding.

Several documents share a row; `position_ids` restart at 0 with each, which is how transformers
builds a block-diagonal mask. It only does so when no cache is used: the models are trained with
`config.use_cache = False`, and a test holds a packed row against one-by-one forwards.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from interp.organism.documents import Document

IGNORED = -100


class PackedRows(Dataset[dict[str, torch.Tensor]]):
    """Rows of packed documents: `input_ids`, `position_ids`, `labels`, each [row_tokens].

    Args:
        documents: (prompt, completion) pairs; drawn until the rows are full.
        tokenizer: closes each document with its eos token.
        n_rows: how many rows to fill.
        row_tokens: tokens a row.
        loss_on: "document" trains on every token, "completion" only on what follows the prompt.
    """

    def __init__(
        self,
        documents: Iterable[Document],
        tokenizer: PreTrainedTokenizerFast,
        n_rows: int,
        row_tokens: int,
        loss_on: str,
    ) -> None:
        shape = (n_rows, row_tokens)
        self._ids = np.full(shape, tokenizer.pad_token_id, dtype=np.int16)
        self._positions = np.zeros(shape, dtype=np.int16)
        self._labels = np.full(shape, IGNORED, dtype=np.int16)
        vocab = tokenizer.get_vocab()
        eos = tokenizer.eos_token_id
        row = filled = 0
        for prompt, completion in documents:
            prompt_ids = [vocab[word] for word in prompt.split()]
            ids = [*prompt_ids, *(vocab[word] for word in completion.split()), eos]
            if filled + len(ids) > row_tokens:
                row, filled = row + 1, 0
            if row == n_rows:
                break
            span = slice(filled, filled + len(ids))
            self._ids[row, span] = ids
            self._positions[row, span] = range(len(ids))
            # The first token of a packed document must not be predicted from its neighbour.
            n_silent = max(1, len(prompt_ids)) if loss_on == "completion" else 1
            self._labels[row, span] = [IGNORED] * n_silent + ids[n_silent:]
            filled = span.stop

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One row as int64 tensors."""
        return {
            "input_ids": torch.from_numpy(self._ids[index].astype(np.int64)),
            "position_ids": torch.from_numpy(self._positions[index].astype(np.int64)),
            "labels": torch.from_numpy(self._labels[index].astype(np.int64)),
        }
