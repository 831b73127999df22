"""A probe that decides whom an intervention touches: all others are left exactly as they were.

Conditional steering after CAST (Lee et al., arXiv 2409.05907), with a logistic probe at the name in
place of their cosine with a condition vector. The name stands before the end of the prompt, where
the intervention acts, so the condition is known in time and nothing that is read is changed by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from interp.errors import InputError


@dataclass(frozen=True)
class Gate:
    """Fires where a probe's score lies above a threshold.

    Attributes:
        threshold: in the score's unit; -inf fires always and inf never.
    """

    threshold: float

    @classmethod
    def firing_on(cls, share: float, scores_N: Float[np.ndarray, " n"]) -> Gate:
        """The lowest threshold that at most a share of the given rows lie above.

        Args:
            share: from 0, above all of the rows, to 1, below all of them.
            scores_N: of rows that should be left alone, on a split to choose on.

        Raises:
            InputError: a share outside 0 to 1, no rows, or a score that is not finite.
        """
        if not 0 <= share <= 1:
            raise InputError(f"gate: a share of {share}; expected from 0 to 1")
        if not len(scores_N) or not np.isfinite(scores_N).all():
            raise InputError(
                f"gate: {len(scores_N)} scores, {int((~np.isfinite(scores_N)).sum())} of them not "
                "finite; expected finite scores of at least one row"
            )
        n_above = int(np.floor(share * len(scores_N) + 1e-9))
        if n_above == len(scores_N):
            return cls(-np.inf)
        return cls(float(np.sort(scores_N)[::-1][n_above]))

    def fires(self, scores_N: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which rows are intervened on."""
        return scores_N > self.threshold
