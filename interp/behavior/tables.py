"""What a table of replies must hold before anything is counted in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pandas as pd

from interp.behavior.grading.outcomes import Outcome
from interp.errors import InputError


def check_columns(
    what: str, items: pd.DataFrame, columns: Sequence[str], units: Sequence[str]
) -> None:
    """Refuses a table without rows, without units, or without one of the columns.

    Raises:
        InputError: as said.
    """
    if isinstance(units, str) or not units:
        raise InputError(
            f"{what}: units are {units!r}; name the columns of the units, from the top, such as "
            '("pair_id",).'
        )
    if missing := [column for column in columns if column not in items.columns]:
        raise InputError(
            f"{what} lack the column {', '.join(missing)}; expected {', '.join(columns)}."
        )
    if items.empty:
        raise InputError(f"{what}: no rows; grade at least one reply.")


def check_outcomes(what: str, table: pd.DataFrame) -> None:
    """Refuses an outcome of another name than "abstain", "correct" or "wrong".

    Args:
        what: the rows are, for the message.
        table: with prompt_id and outcome.

    Raises:
        InputError: as said.
    """
    strange = ~table["outcome"].isin(get_args(Outcome))
    if strange.any():
        row = table[strange].iloc[0]
        raise InputError(
            f"{what}, prompt {row['prompt_id']}: the outcome is {row['outcome']!r}; expected one "
            f"of {', '.join(get_args(Outcome))}"
        )
