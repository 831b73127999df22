"""Latents and the words of a lexicon: which are active around them, beyond firing on the word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.sparse import csr_matrix
from scipy.special import xlogy

from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.rows import Labels, one_each


def reason_score(
    codes: SparseCodes,
    tokens: Sequence[int] | np.ndarray,
    sequences: Labels,
    lexicon: Mapping[str, Sequence[Sequence[int]]],
    *,
    window: tuple[int, int] = (1, 2),
    alpha: float = 0.7,
    ignore: Sequence[int] = (),
) -> pd.DataFrame:
    """How much a latent is about the words of a lexicon: reasoning words, or abstaining ones.

    mu+ / sum mu+ * H^alpha - mu- / sum mu-: mu+ and mu- are a latent's mean values inside and
    outside of windows around the words, the sums are over latents, and H is the entropy of its
    means around each word over their sum, divided by the log of the number of words (1 for one
    word). Galichin et al. 2025, arXiv 2503.18878. They scale values by decoder norms first, for a
    dictionary whose norms are not 1: `codes.scaled`.

    Args:
        codes: a row a token, sequence by sequence in the order of tokens, none left out.
        tokens: id of each row's token.
        sequences: prompt or chain of thought of each row.
        lexicon: word -> its spellings (" wait", "Wait"), each as token ids.
        window: tokens before and after each token of a word.
        alpha: weight of the entropy.
        ignore: ids of tokens that count nowhere, such as the beginning of a sequence.

    Returns:
        A row a latent, the highest score first: latent, score, mean_inside, mean_outside, entropy
        (H), and on_word: the share of its sum inside windows that stands on the words themselves;
        near 1, it is a token lookup (NaN for a latent silent there).

    Raises:
        InputError: lengths that differ, rows of a sequence apart, an empty lexicon or spelling, no
            word of it in the tokens or nothing but, no latent that fires inside or outside, or
            negative values.
    """
    token_N = one_each(codes, tokens, "tokens")
    sequence_N, seen = pd.factorize(one_each(codes, sequences, "sequences"))
    start_S = np.flatnonzero(np.diff(sequence_N, prepend=-1))
    if len(start_S) != len(seen):
        raise InputError("reason score: the rows of a sequence stand apart; expected one by one")
    if not lexicon or not all(forms and all(map(len, forms)) for forms in lexicon.values()):
        raise InputError("reason score: no word in the lexicon, or one without token ids")
    if len(codes.value) and codes.value.min() < 0:
        raise InputError("reason score: negative values; it is for latents that are never negative")
    counted_N = ~np.isin(token_N, ignore)
    exact_WN = np.stack([_found(forms, token_N, sequence_N) for forms in lexicon.values()])
    inside_WN = np.stack([_widened(word_N, sequence_N, window) for word_N in exact_WN]) & counted_N
    inside_N = inside_WN.any(0)
    outside_N = ~inside_N & counted_N
    if not inside_N.any() or not outside_N.any():
        raise InputError(
            f"reason score: {inside_N.sum()} tokens in windows around the lexicon's words and "
            f"{outside_N.sum()} elsewhere; expected some of both: see how the words are tokenised"
        )
    mask_RN = np.stack([inside_N, outside_N, inside_N & exact_WN.any(0), *inside_WN])
    sum_RM = (csr_matrix(mask_RN, dtype=float) @ codes.matrix.astype(float)).toarray()
    mean_RM = sum_RM / np.maximum(mask_RN.sum(1, keepdims=True), 1)
    total_R = mean_RM.sum(1)
    if not total_R[0] or not total_R[1]:
        raise InputError("reason score: no latent fires inside the windows, or none outside")
    entropy_M = np.ones(codes.n_latents)
    if len(lexicon) > 1:
        share_WM = mean_RM[3:] / np.maximum(mean_RM[3:].sum(0), np.finfo(float).tiny)
        entropy_M = -xlogy(share_WM, share_WM).sum(0) / np.log(len(lexicon))
    with np.errstate(invalid="ignore"):
        on_word_M = sum_RM[2] / sum_RM[0]
    table = pd.DataFrame(
        {
            "latent": np.arange(codes.n_latents),
            "score": mean_RM[0] / total_R[0] * entropy_M**alpha - mean_RM[1] / total_R[1],
            "mean_inside": mean_RM[0],
            "mean_outside": mean_RM[1],
            "entropy": entropy_M,
            "on_word": on_word_M,
        }
    )
    return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _found(
    spellings: Sequence[Sequence[int]], token_N: np.ndarray, sequence_N: np.ndarray
) -> Bool[np.ndarray, " n"]:
    """Tokens that are part of a word in one of its spellings, within one sequence."""
    part_N = np.zeros(len(token_N), dtype=bool)
    for ids in spellings:
        n_starts = len(token_N) - len(ids) + 1
        if n_starts < 1:
            continue
        here = sequence_N[:n_starts] == sequence_N[len(ids) - 1 :]
        for offset, token in enumerate(ids):
            here &= token_N[offset : offset + n_starts] == token
        for offset in range(len(ids)):
            part_N[offset : offset + n_starts] |= here
    return part_N


def _widened(
    part_N: np.ndarray, sequence_N: np.ndarray, window: tuple[int, int]
) -> Bool[np.ndarray, " n"]:
    """Tokens within a window around those marked, in the same sequence."""
    wide_N = part_N.copy()
    place = np.flatnonzero(part_N)
    for offset in range(-window[0], window[1] + 1):
        there = place + offset
        inside = (there >= 0) & (there < len(part_N))
        inside[inside] = sequence_N[there[inside]] == sequence_N[place[inside]]
        wide_N[there[inside]] = True
    return wide_N
