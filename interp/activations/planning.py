"""How a capture is cut up: shards in the caller's order, and in each the batches of a forward."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

ROWS_A_SHARD = 1024
"""Enough to find prompts of one length for a batch, and few enough to keep in memory."""
BYTES_A_SHARD = 2**28

_BUDGETS = {"cpu": 1024, "cuda": 32768}


def default_token_budget(device: str) -> int:
    """Tokens a batch for a device type: small ones stay in a CPU's caches, large ones fill a GPU.

    `bench/capture.py --budgets` measures it for a machine.
    """
    return _BUDGETS.get(device, _BUDGETS["cuda"])


def shard_rows(row_bytes: Sequence[int]) -> list[tuple[int, int]]:
    """[first, behind last) row of each shard, contiguous and in order.

    A shard has at most `ROWS_A_SHARD` rows and, unless it is a single row, `BYTES_A_SHARD` bytes;
    that is what bounds the memory of a capture, whatever the number of prompts.

    Args:
        row_bytes: what is kept of each prompt.
    """
    edges, held = [0], 0
    for row, n_bytes in enumerate(row_bytes):
        full = row - edges[-1] == ROWS_A_SHARD or held + n_bytes > BYTES_A_SHARD
        if full and row > edges[-1]:
            edges.append(row)
            held = 0
        held += n_bytes
    return list(pairwise([*edges, len(row_bytes)]))


def worst_first(
    shards: Sequence[int], rows: Sequence[tuple[int, int]], lengths: Sequence[int]
) -> list[int]:
    """The shards, the one with the longest prompt first.

    Batches run longest first too, so that running out of memory shows at once.
    """
    return sorted(shards, key=lambda number: -max(lengths[slice(*rows[number])]))
