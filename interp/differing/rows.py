"""What differs between two tables of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

INTERVAL = ("estimate", "lo", "hi")
_TURN = "_turn"


@dataclass(frozen=True)
class ColumnDifference:
    """A column of results, over the rows that both tables have.

    Attributes:
        column: its name.
        largest: absolute difference; NaN of words.
        changed: rows whose values differ, those among them that are missing on one side.
        where: keys of the row with the largest difference, or of the first one that changed.
    """

    column: str
    largest: float
    changed: int
    where: str


@dataclass(frozen=True)
class TableDifference:
    """Two tables of one name.

    Attributes:
        name: of the tables.
        keys: columns that rows were matched on.
        both: rows that both have.
        only_a, only_b: keys of rows that one of them has.
        columns: those in which matched rows differ, worst first.
        intervals: matched rows with an interval on both sides.
        apart: of these, how many whose intervals do not overlap.
        missing_a, missing_b: columns that one of them has not.
    """

    name: str
    keys: tuple[str, ...]
    both: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    columns: tuple[ColumnDifference, ...]
    intervals: int
    apart: int
    missing_a: tuple[str, ...]
    missing_b: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether the two say the same."""
        lone = self.only_a or self.only_b or self.missing_a or self.missing_b
        return not (lone or self.columns)


def table_difference(name: str, a: pd.DataFrame, b: pd.DataFrame) -> TableDifference:
    """Matches the rows of two tables on their keys, and compares what stands beside them.

    Keys are the words and whole numbers before the first result; where they do not tell the rows
    apart further columns do, and at last the order of the rows.

    Args:
        name: of the tables.
        a: as `interp.tables.read_csv` gives it.
        b: likewise, of the other study.
    """
    shared = [column for column in a if column in b]
    keys = _keys(a[shared], b[shared])
    left, right = _indexed(a, keys), _indexed(b, keys)
    common = left.index.intersection(right.index, sort=False)
    rows_a, rows_b = left.loc[common], right.loc[common]
    results = [column for column in shared if column not in keys]
    compared = [_column(column, rows_a[column], rows_b[column]) for column in results]
    lows, highs = (
        (pair[0].to_numpy(float), pair[1].to_numpy(float))
        for pair in (
            ((rows_a["lo"], rows_b["lo"]), (rows_a["hi"], rows_b["hi"]))
            if {"lo", "hi"} <= set(results)
            else ((pd.Series(dtype=float),) * 2,) * 2
        )
    )
    known = ~np.isnan([*lows, *highs]).any(axis=0)
    apart = known & (np.maximum(*lows) > np.minimum(*highs))
    return TableDifference(
        name,
        tuple(keys),
        len(common),
        tuple(map(_said, left.index.difference(right.index, sort=False))),
        tuple(map(_said, right.index.difference(left.index, sort=False))),
        tuple(
            sorted(
                (column for column in compared if column.changed),
                key=lambda column: -np.nan_to_num(column.largest, nan=-1.0),
            )
        ),
        int(known.sum()),
        int(apart.sum()),
        tuple(column for column in b if column not in a),
        tuple(column for column in a if column not in b),
    )


def _keys(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    columns = list(a)
    measured = [column for column in columns if _is_measured(a[column], b[column])]
    first = columns.index("estimate") if "estimate" in columns else None
    if first is None:
        first = min((columns.index(column) for column in measured), default=len(columns))
    calls = [column for column in columns if pd.api.types.is_bool_dtype(a[column])]
    keys = [column for column in columns[:first] if column not in (*measured, *calls)]
    # A strength or share before the estimate, a step behind the loss, a number with a fraction.
    others = [column for column in columns if column not in keys and not _is_interval(column)]
    before = [column for column in others if column in columns[:first]]
    for column in [*before, *sorted(others, key=lambda column: column in measured)]:
        if _unique(a, keys) and _unique(b, keys):
            break
        if column not in keys and max(a[column].nunique(), b[column].nunique()) > 1:
            keys.append(column)
    return [column for column in columns if column in keys]


def _is_measured(a: pd.Series, b: pd.Series) -> bool:
    """Whether a column holds numbers with fractions, which are results more often than keys."""
    fractions = any(
        pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 != 0).any())
        for column in (a, b)
    )
    return fractions or _is_interval(str(a.name))


def _is_interval(column: str) -> bool:
    return column in INTERVAL or column.endswith(("_lo", "_hi"))


def _unique(frame: pd.DataFrame, keys: Sequence[str]) -> bool:
    return len(frame) <= 1 or (bool(keys) and not frame.duplicated(list(keys)).any())


def _indexed(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The table by its keys as words; rows that these do not tell apart are numbered."""
    words = pd.DataFrame({key: frame[key].map(_word) for key in keys}, index=frame.index)
    turn = words.groupby(list(keys)).cumcount() if keys else pd.Series(range(len(frame)))
    numbered = words.assign(**{_TURN: turn.to_numpy().astype(int)})
    tuples = [tuple(row) for row in numbered.itertuples(index=False)]
    return frame.set_axis(pd.Index(tuples, tupleize_cols=False), axis=0)


def _word(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    # A column of whole numbers with a gap is read as numbers with fractions.
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)


def _said(key: tuple[str | int, ...]) -> str:
    *words, turn = key
    shown = " ".join(str(word) for word in words if word)
    return f"{shown} ({int(turn) + 1})" if turn else shown


def _column(name: str, a: pd.Series, b: pd.Series) -> ColumnDifference:
    numbers = all(
        pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        for column in (a, b)
    )
    lone = (a.isna() != b.isna()).to_numpy()
    if not numbers:
        differs = lone | ((a.map(_word) != b.map(_word)).to_numpy())
        return _of(name, float("nan"), differs, a, int(np.argmax(differs)) if len(a) else 0)
    x, y = a.to_numpy(float), b.to_numpy(float)
    with np.errstate(invalid="ignore"):
        gap = np.where(x == y, 0.0, np.abs(x - y))  # two infinities are no distance apart
    differs = lone | (np.nan_to_num(gap) > 0)
    if np.isnan(gap).all():
        return _of(name, float("nan"), differs, a, int(np.argmax(differs)) if len(a) else 0)
    return _of(name, float(np.nanmax(gap)), differs, a, int(np.nanargmax(gap)))


def _of(name: str, largest: float, differs: np.ndarray, a: pd.Series, at: int) -> ColumnDifference:
    where = _said(a.index[at]) if differs.any() else ""
    return ColumnDifference(name, largest, int(differs.sum()), where)
