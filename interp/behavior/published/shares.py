"""Shares of replies, one a question, and how they change where the same is asked twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from interp.behavior.audit.unit_shares import newcombe_limits, unit_change
from interp.errors import InputError
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_ratio, wilson


def share(
    hit_N: Sequence[bool] | np.ndarray | pd.Series,
    question_N: Sequence[object] | np.ndarray | pd.Series,
) -> Interval:
    """Share of questions with a hit, and Wilson's 95% limits (1927), which no share makes empty.

    Args:
        hit_N: whether the reply to each question is one.
        question_N: the questions, each once, so that rows are independent.

    Returns:
        The share; NaN with limits of NaN if there are no questions.

    Raises:
        InputError: a question comes twice, or lengths differ.
    """
    hits, questions = np.asarray(hit_N, dtype=bool), pd.Index(question_N)
    if hits.shape != (len(questions),):
        raise InputError(f"share: {len(questions)} questions for hits of shape {hits.shape}")
    if questions.has_duplicates:
        twice = questions[questions.duplicated()][0]
        raise InputError(f"share: the question {twice} comes twice; expected one reply a question")
    if not len(hits):
        return Interval(np.nan, np.nan, np.nan)
    return wilson(float(hits.mean()), len(hits))


def paired_change(
    before: pd.Series, after: pd.Series, *, seed: int = 0, n_boot: int = 2000
) -> tuple[Interval, int]:
    """Change of a share on the questions of both, resampling questions.

    Args:
        before: hits by question; missing for a question that does not count.
        after: the same.
        seed: of the resampling.
        n_boot: resamples.

    Returns:
        After minus before on questions that count in both, with 95% limits (`unit_change`: those of
        no change at all, or of a change on all, are not empty); and how many those are. Without
        any, all is NaN.

    Raises:
        InputError: a question comes twice.
    """
    both = _aligned(before, after).dropna()
    if both.empty:
        return Interval(np.nan, np.nan, np.nan), 0
    before_N, after_N = (both[name].to_numpy(float) for name in ("before", "after"))
    levels = {"question": both.index.to_numpy()}
    return unit_change(before_N, after_N, levels, seed=seed, n_boot=n_boot), len(both)


def conditional_change(
    before: pd.Series, after: pd.Series, *, seed: int = 0, n_boot: int = 2000
) -> tuple[Interval, int]:
    """Change of a share whose questions differ, as of those noticed; questions are drawn together.

    Args:
        before: hits by question of those asked; missing for a question outside the share.
        after: the same questions.
        seed: of the resampling.
        n_boot: resamples.

    Returns:
        Share after (of what counts there) minus share before (of what counts there), with 95%
        limits; and the number of questions that count in either. Where resampling
        shows no spread, as of shares of 0 and 1, the limits are Newcombe's (1998). NaN if either
        share is of nothing; the limits also if it is in a resample.

    Raises:
        InputError: a question comes twice.
    """
    both = _aligned(before, after).dropna(how="all")
    if both.empty or both.isna().all().any():
        return Interval(np.nan, np.nan, np.nan), len(both)
    first, second = (_mean_of_known(both[name].to_numpy(float)) for name in ("before", "after"))
    value = hierarchical_bootstrap(
        lambda weights_BN: second(weights_BN) - first(weights_BN),
        {"question": both.index.to_numpy()},
        n_boot=n_boot,
        seed=seed,
    )
    if np.isclose(value.lo, value.hi, rtol=0):
        kept = [known[known.notna()] for known in (both["before"], both["after"])]
        value = newcombe_limits(*(wilson(float(known.mean()), len(known)) for known in kept))
    return value, len(both)


def _aligned(before: pd.Series, after: pd.Series) -> pd.DataFrame:
    for series in (before, after):
        if series.index.has_duplicates:
            twice = series.index[series.index.duplicated()][0]
            raise InputError(f"paired change: the question {twice} comes twice")
    both = pd.concat({"before": before.astype(float), "after": after.astype(float)}, axis=1)
    return both[both.index.isin(before.index) & both.index.isin(after.index)]


def _mean_of_known(value_N: np.ndarray) -> Weighted:
    return weighted_ratio(np.nan_to_num(value_N), ~np.isnan(value_N))
