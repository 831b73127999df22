"""Graded answers with a confidence: what calibration and selective answering are read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from interp.behavior.tables import check_columns
from interp.errors import InputError

ANSWER_COLUMNS = ("prompt_id", "source", "confidence", "correct")


@dataclass(frozen=True)
class Answers:
    """The answers of one source of confidence.

    Attributes:
        confidence_N: in [0, 1], of the answers that have one.
        correct_N: 1.0 for a right answer, 0.0 for a wrong one; the same rows.
        levels: unit of each of these rows by the name of the level, from the top.
        stated_A: 1.0 for an answer that has a confidence, over all answers of the source.
        all_levels: units of all answers of the source.
    """

    confidence_N: np.ndarray
    correct_N: np.ndarray
    levels: Mapping[str, np.ndarray]
    stated_A: np.ndarray
    all_levels: Mapping[str, np.ndarray]


def by_source(items: pd.DataFrame, units: Sequence[str]) -> Iterator[tuple[object, Answers]]:
    """The answers of each source of confidence, in order of appearance.

    Args:
        items: one row an answer: prompt_id, source (what the confidence is, e.g. "margin"),
            confidence (missing where there is none, as when none was put into words), correct, and
            the units. Replies that abstain are no answers and are left out beforehand.
        units: columns that hold the units of the intervals, from the top, e.g. ("entity",) or
            ("scenario", "dataset", "pair_id").

    Raises:
        InputError: no rows or units, a missing column, a confidence outside [0, 1], or correct that
            is neither true nor false.
    """
    check_columns("graded answers", items, (*ANSWER_COLUMNS, *units), units)
    confidence_A = pd.to_numeric(items["confidence"], errors="coerce").to_numpy(float)
    given_A = items["confidence"].notna().to_numpy()
    _refuse(items, given_A & ~((confidence_A >= 0) & (confidence_A <= 1)), "confidence", "0 to 1")
    _refuse(items, ~items["correct"].isin([0, 1]).to_numpy(), "correct", "true or false")
    correct_A = items["correct"].to_numpy(float)
    for source, rows in items.reset_index(drop=True).groupby("source", sort=False):
        here = rows.index.to_numpy()
        kept = here[given_A[here]]
        yield (
            source,
            Answers(
                confidence_A[kept],
                correct_A[kept],
                {unit: items[unit].to_numpy()[kept] for unit in units},
                given_A[here].astype(float),
                {unit: items[unit].to_numpy()[here] for unit in units},
            ),
        )


def _refuse(items: pd.DataFrame, bad_A: np.ndarray, column: str, expected: str) -> None:
    if bad_A.any():
        row = items[bad_A].iloc[0]
        raise InputError(
            f"graded answers, prompt {row['prompt_id']}: {column} is {row[column]!r}; expected "
            f"{expected}."
        )
