"""Rows that belong together, resampled together; the functions of this room work on these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interp.errors import InputError


@dataclass(frozen=True)
class Clusters:
    """Rows by group; groups are numbered by first appearance.

    group_N: group number of each row; order_N: rows sorted by group; start_G, size_G: each
    group's run within them.
    """

    group_N: np.ndarray
    order_N: np.ndarray
    start_G: np.ndarray
    size_G: np.ndarray

    @classmethod
    def of(cls, labels_N: np.ndarray) -> Clusters:
        """Clusters of rows that carry equal labels."""
        _, first_G, inverse_N = np.unique(labels_N, return_index=True, return_inverse=True)
        number_G = np.argsort(np.argsort(first_G))
        group_N = number_G[inverse_N]
        size_G = np.bincount(group_N)
        return cls(group_N, np.argsort(group_N, kind="stable"), np.cumsum(size_G) - size_G, size_G)

    def rows(self, drawn_G: np.ndarray) -> np.ndarray:
        """Row indices of the drawn groups, one group after the other."""
        size_G = self.size_G[drawn_G]
        skipped_G = np.cumsum(size_G) - size_G
        offset_M = np.repeat(self.start_G[drawn_G] - skipped_G, size_G)
        return self.order_N[offset_M + np.arange(len(offset_M))]

    def shared(self, values_N: np.ndarray) -> np.ndarray:
        """The value that all rows of a group share, by group.

        Raises:
            InputError: the shape differs, or a group holds two values.
        """
        if values_N.shape != self.group_N.shape:
            raise InputError(
                f"bootstrap: strata {values_N.shape} and groups {self.group_N.shape}; "
                "expected the same shape [N]"
            )
        value_G = values_N[self.order_N[self.start_G]]
        torn_N = value_G[self.group_N] != values_N
        if torn_N.any():
            raise InputError(
                f"bootstrap: row {int(torn_N.argmax())} is in another stratum than the rest of "
                "its group; a group must lie in one stratum"
            )
        return value_G
