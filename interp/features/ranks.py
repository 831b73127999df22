"""Ranks of latents from their active entries alone: AUROC, and the test that goes with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm

from interp.features.codes import SparseCodes
from interp.features.rows import Labels, labels_of


def feature_auroc(codes: SparseCodes, labels: Labels) -> Float[np.ndarray, " m"]:
    """`interp.stats.auroc` of every latent, from the entries that are not 0 alone.

    Rows where a latent is silent are one tie, between its negative and its positive values. So the
    cost is that of sorting E entries, however many rows and latents there are.

    Args:
        codes: N rows over M latents.
        labels: bool, or 0 and 1, one a row.

    Returns:
        Probability that a row labelled True has the higher value, ties counting one half; 0.5 for
        a latent that is never active.

    Raises:
        InputError: not one label a row, labels that are neither 0 nor 1, or only one class.
    """
    return mann_whitney(codes, labels_of(codes, labels))[0]


def mann_whitney(codes: SparseCodes, label_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of each latent, and the sum of t^3 - t over its ties of t rows."""
    n, m = len(codes), codes.n_latents
    n_true = int(label_N.sum())
    # One sort of integers: latent, then the value's bits in the order of numbers, then the label.
    bits_E = codes.value.view(np.uint32)
    bits_E = np.where(bits_E >> 31, ~bits_E, bits_E | np.uint32(1 << 31)).astype(np.uint64)
    key_E = codes.index.astype(np.uint64) << np.uint64(33)
    key_E |= bits_E << np.uint64(1)
    key_E |= np.repeat(label_N, np.diff(codes.start)).astype(np.uint64)
    key_E.sort()
    true_before_E = np.concatenate([[0], np.cumsum(key_E & np.uint64(1), dtype=np.int64)])
    tie_E = key_E >> np.uint64(1)
    bound_T = np.flatnonzero(
        np.concatenate([[True], tie_E[1:] != tie_E[:-1], [True]])[: len(tie_E) + 1]
    )
    start_T, stop_T = bound_T[:-1], bound_T[1:]
    latent_T = (tie_E[start_T] >> np.uint64(32)).astype(np.int64)
    above_zero_T = (tie_E[start_T] >> np.uint64(31) & np.uint64(1)).astype(bool)
    true_T = true_before_E[stop_T] - true_before_E[start_T]
    size_T = stop_T - start_T
    false_T = size_T - true_T

    def by_latent(of_T: np.ndarray) -> np.ndarray:
        return np.bincount(latent_T, weights=of_T, minlength=m).astype(float)

    true_M, false_M = by_latent(true_T), by_latent(false_T)
    silent_true_M, silent_false_M = n_true - true_M, n - n_true - false_M
    below_T = np.cumsum(false_T) - false_T - (np.cumsum(false_M) - false_M)[latent_T]
    below_T = below_T + np.where(above_zero_T, silent_false_M[latent_T], 0)
    wins_M = by_latent(true_T * (below_T + false_T / 2))
    wins_M += silent_true_M * (by_latent(np.where(above_zero_T, 0, false_T)) + silent_false_M / 2)
    silent_M = silent_true_M + silent_false_M
    size_T = size_T.astype(float)
    ties_M = by_latent(size_T**3 - size_T) + silent_M**3 - silent_M
    return wins_M / (n_true * (n - n_true)), ties_M


def p_of_units(codes: SparseCodes, label_N: np.ndarray, unit_N: np.ndarray) -> np.ndarray:
    """Two-sided p of each latent on one mean code for the rows of a class in a unit."""
    pair_N = pd.factorize(unit_N)[0] * 2 + label_N
    pair_P, pair_N = np.unique(pair_N, return_inverse=True)
    label_P = pair_P % 2 == 1
    auroc_M, ties_M = mann_whitney(codes.means_by(pair_N), label_P)
    n, n_true = len(label_P), int(label_P.sum())
    n_pairs = n_true * (n - n_true)
    spread_M = np.sqrt(n_pairs / 12 * np.maximum(n + 1 - ties_M / (n * (n - 1)), 0))
    above_M = np.abs(auroc_M - 0.5) * n_pairs - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        z_M = np.where(spread_M > 0, above_M / spread_M, 0)
    return np.minimum(2 * norm.sf(z_M), 1)
