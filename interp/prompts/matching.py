"""Prompts of both classes matched in length, so that length tells nothing of the class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from interp.errors import InputError
from interp.prompts.encoding import render, tokenize
from interp.prompts.promptset import PromptSet
from interp.prompts.words import word_counts

Couple = tuple[int, int, int]
"""Row of an unanswerable prompt, row of an answerable one, how much longer the first is."""


def length_matched(
    prompts: PromptSet,
    tolerance: int = 3,
    *,
    seed: int,
    within: str = "pair",
    tokenizer: Any = None,
) -> PromptSet:
    """A subset whose unanswerable and answerable prompts are equally long.

    Couples of an unanswerable and an answerable prompt whose lengths differ by at most `tolerance`
    are kept; then, at each difference, as many couples in which the unanswerable one is longer as
    in which it is shorter, at random. So the mean lengths are the same, and the AUROC of length is
    about .5 in each dataset.

    Args:
        prompts: with both classes. Rows of one class in a dataset are dropped.
        tolerance: most words (tokens) that the two of a couple differ by.
        seed: of what is dropped.
        within: "pair": the couples are the minimal pairs, which stay whole, so what is said is
            matched too. "dataset": any two prompts of a dataset, the nearest in length first; for
            pairs of which one half is always shorter. Most rows then lose their other half, but
            some halves may both be in; folds still go by `pair_id`.
        tokenizer: counts tokens of the rendered prompts; None counts words.

    Returns:
        The rows that are kept, in their order.

    Raises:
        InputError: a tolerance below 0, another `within`, a pair with more than one row of a kind,
            or no couple that fits.
    """
    if tolerance < 0 or within not in ("pair", "dataset"):
        raise InputError(
            f"length matching: tolerance={tolerance}, within={within!r}; expected at least 0, and "
            "'pair' or 'dataset'"
        )
    length_N = word_counts(prompts) if tokenizer is None else token_counts(prompts, tokenizer)
    # In an order of their own, so that what is kept is up to the seed and not to the rows' order.
    ids = prompts.frame["prompt_id"].to_numpy()
    order_N = np.random.default_rng(seed).permuted(np.argsort(ids))
    keep_N = np.zeros(len(prompts), dtype=bool)
    for rows in _by(prompts.frame["dataset"], order_N):
        if within == "pair":
            couples = _of_pairs(prompts, rows, length_N, tolerance)
        else:
            couples = _nearest(rows, prompts.labels, length_N, tolerance)
        for one, other, _ in _balanced(couples):
            keep_N[[one, other]] = True
    if not keep_N.any():
        raise InputError(
            f"length matching: no {within} has an unanswerable and an answerable prompt within "
            f"{tolerance} of each other in length, as often longer as shorter; allow a larger "
            "tolerance" + (", or match within='dataset'" if within == "pair" else "")
        )
    return prompts.where(keep_N)


def token_counts(prompts: PromptSet, tokenizer: Any) -> Int[np.ndarray, " n"]:
    """Tokens of each prompt as the model is given it."""
    chunks = tokenize(render(prompts, tokenizer), tokenizer)
    return np.array([len(ids) for chunk in chunks for ids in chunk], dtype=np.int64)


def _by(column: pd.Series, order_N: np.ndarray) -> list[list[int]]:
    """Rows with the same value, each lot in the given order."""
    values = column.to_numpy()
    lots: dict[Hashable, list[int]] = defaultdict(list)
    for row in order_N.tolist():
        lots[values[row]].append(row)
    return list(lots.values())


def _of_pairs(
    prompts: PromptSet, rows: list[int], length_N: np.ndarray, tolerance: int
) -> list[Couple]:
    couples = []
    labels_N = prompts.labels
    for pair in _by(prompts.frame["pair_id"], np.array(rows)):
        due = [row for row in pair if labels_N[row]]
        not_due = [row for row in pair if not labels_N[row]]
        if not due or not not_due:
            continue
        if len(pair) > 2:
            name = prompts.frame["pair_id"].iloc[pair[0]]
            raise InputError(
                f"length matching: the pair {name!r} has {len(due)} unanswerable and "
                f"{len(not_due)} answerable rows; leave one of each (controls apart), or match "
                "within='dataset'"
            )
        longer = int(length_N[due[0]] - length_N[not_due[0]])
        if abs(longer) <= tolerance:
            couples.append((due[0], not_due[0], longer))
    return couples


def _nearest(
    rows: list[int], labels_N: np.ndarray, length_N: np.ndarray, tolerance: int
) -> list[Couple]:
    """Rows of either class taken together one to one, those of equal length first."""
    due = sorted((row for row in rows if labels_N[row]), key=lambda row: length_N[row])
    not_due = sorted((row for row in rows if not labels_N[row]), key=lambda row: length_N[row])
    couples: list[Couple] = []
    for apart in range(tolerance + 1):
        taken: set[int] = set()
        left = right = 0
        while left < len(due) and right < len(not_due):
            one, other = due[left], not_due[right]
            longer = int(length_N[one] - length_N[other])
            if abs(longer) <= apart:
                couples.append((one, other, longer))
                taken |= {one, other}
            left += longer <= apart
            right += longer >= -apart
        due = [row for row in due if row not in taken]
        not_due = [row for row in not_due if row not in taken]
    return couples


def _balanced(couples: list[Couple]) -> list[Couple]:
    """Of each difference as many couples as of its opposite; the first ones."""
    lots: dict[int, list[Couple]] = defaultdict(list)
    for couple in couples:
        lots[couple[2]].append(couple)
    kept = list(lots.get(0, []))
    for longer, lot in lots.items():
        if longer:
            kept += lot[: len(lots.get(-longer, []))]
    return kept
