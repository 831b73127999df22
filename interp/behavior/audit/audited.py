"""Replies that a grader graded and a person labelled: what an audit reads; checks of both."""

from __future__ import annotations

import numpy as np
import pandas as pd

from interp.behavior.tables import check_columns
from interp.errors import InputError

AUDIT_COLUMNS = ("prompt_id", "source", "label", "graded")


def read_classes(items: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Labels and grades of audited replies, as bools or as strings, both [N].

    Raises:
        InputError: as `confusion_table`.
    """
    check_columns("graded replies", items, AUDIT_COLUMNS, ("prompt_id",))
    label_N, label_kind = one_kind(items, "label")
    graded_N, graded_kind = one_kind(items, "graded")
    if label_kind is not graded_kind:
        raise InputError(
            f"graded replies: labels such as {label_N[0]!r} beside grades such as {graded_N[0]!r}; "
            "expected both true or false, or both names of the same classes."
        )
    return label_N, graded_N


def one_kind(items: pd.DataFrame, column: str) -> tuple[np.ndarray, type]:
    """A column of classes, object [N], and what all of them are: bool or str.

    Raises:
        InputError: a value is missing or is neither, or the column holds both; it is named.
    """
    values = items[column].tolist()
    missing = items[column].isna().tolist()
    truths = [
        not absent and not isinstance(value, str) and value in (0, 1)
        for value, absent in zip(values, missing, strict=True)
    ]
    kind = bool if truths[0] else str
    for row, value in enumerate(values):
        if not (truths[row] if kind is bool else isinstance(value, str)):
            raise InputError(
                f"graded replies, prompt {items['prompt_id'].iloc[row]}: {column} is {value!r}; "
                "expected true or false in all rows, or the name of a class in all rows."
            )
    return np.array([kind(value) for value in values], dtype=object), kind


def truths(items: pd.DataFrame, column: str) -> list[bool]:
    """A column that is true or false.

    Raises:
        InputError: it is neither in some row.
    """
    values, kind = one_kind(items, column)
    if kind is not bool:
        raise InputError(f"graded replies: {column} is {values[0]!r}; expected true or false.")
    return values.tolist()
