"""What a probe is to read from a prompt set: binary targets, and the units its rows lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from interp import configs
from interp.errors import InputError
from interp.prompts.promptset import PromptSet

TARGETS = ("should_abstain", "scenario", "dataset", "split")
"""Columns that can be read; beside them every key of `meta`, as `meta.KEY`."""
LEVELS = ("scenario", "dataset", "pair")
"""Nested units of a prompt set, from the top."""


@dataclass(frozen=True, eq=False)
class Target:
    """Two classes of rows.

    Attributes:
        name: the column, or "column=value" where a column of several values is read one value at a
            time.
        rows_M: the rows that have a value there.
        labels_M: bool, one of each of these rows.
    """

    name: str
    rows_M: np.ndarray
    labels_M: np.ndarray


def targets_of(prompts: PromptSet, columns: Sequence[str]) -> list[Target]:
    """The binary targets of some columns.

    A column of True and False is one target. Any other becomes one target a value, which is read
    against all other values: the one-against-rest form, in which every statistic of a binary probe
    holds. Rows without a value (None) are no part of a target.

    Args:
        prompts: the rows.
        columns: names from `TARGETS`, or "meta.KEY".

    Raises:
        InputError: no columns, one that does not exist, one whose values are not all booleans or
            all strings or integers, or one that does not tell two classes apart.
    """
    if not columns:
        raise InputError("targets: none given; expected at least one, such as 'should_abstain'")
    return [target for column in columns for target in _of_column(prompts, column)]


def levels_of(prompts: PromptSet, names: Sequence[str] = LEVELS) -> dict[str, np.ndarray]:
    """The unit of each row at each level, for folds and for resampling.

    "pair" is the entity, or the minimal pair where there is none (`PromptSet.groups`). A row
    without a scenario, as the answerable half of a pair may be, has that of its pair.

    Args:
        prompts: the rows.
        names: levels from the top; the last one is what folds keep together.

    Raises:
        InputError: an unknown level, or one whose units do not lie in one unit of the level above
            (with the rows).
    """
    for name in names:
        if name not in LEVELS:
            raise InputError(
                f"levels: '{name}'{configs.nearest(name, LEVELS)} is not one of {', '.join(LEVELS)}"
            )
    group_N = prompts.groups
    units = {
        "scenario": _of_group(prompts.frame["scenario"].tolist(), group_N),
        "dataset": prompts.frame["dataset"].to_numpy(dtype=object),
        "pair": group_N,
    }
    for above, below in pairwise(names):
        _check_nested(above, units[above], below, units[below])
    return {name: units[name] for name in names}


def _of_column(prompts: PromptSet, column: str) -> list[Target]:
    values = column_of(prompts, column)
    rows_M = np.array([row for row, value in enumerate(values) if value is not None], dtype=int)
    present = [values[row] for row in rows_M]
    kinds = {bool if isinstance(v, bool | np.bool_) else type(v) for v in present}
    if len(kinds) != 1 or not kinds <= {bool, str, int}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise InputError(
            f"target '{column}': its values are {names}; expected all True or False, all strings "
            "or all integers"
        )
    classes = sorted(set(present))
    if len(classes) < 2:
        raise InputError(
            f"target '{column}': all {len(present)} rows that have a value (row {rows_M[0]} is "
            f"the first) are {classes[0]!r}; a probe needs two classes"
        )
    if kinds == {bool}:
        return [Target(column, rows_M, np.array(present, dtype=bool))]
    return [
        Target(f"{column}={one}", rows_M, np.array([value == one for value in present]))
        for one in classes
    ]


def column_of(prompts: PromptSet, column: str) -> list[object]:
    """A column's value in each row, None where it has none.

    Args:
        prompts: the rows.
        column: one of `TARGETS`, or "meta.KEY".

    Raises:
        InputError: there is no such column.
    """
    if column in TARGETS:
        return prompts.frame[column].tolist()
    name, _, key = column.partition(".")
    known = sorted({key for meta in prompts.frame["meta"] for key in meta})
    if name != "meta" or key not in known:
        names = [*TARGETS, *(f"meta.{key}" for key in known)]
        raise InputError(
            f"target '{column}'{configs.nearest(column, names)}: the prompts have no such column; "
            f"expected one of {', '.join(names)}"
        )
    return [meta.get(key) for meta in prompts.frame["meta"]]


def _of_group(values: list[object], group_N: np.ndarray) -> np.ndarray:
    """Values, with those that are None taken from the row's group ("" if it has none either)."""
    first: dict[object, object] = {}
    for value, group in zip(values, group_N, strict=True):
        if value is not None:
            first.setdefault(group, value)
    filled = [
        first.get(group, "") if value is None else value
        for value, group in zip(values, group_N, strict=True)
    ]
    return np.array(filled, dtype=object)


def _check_nested(above: str, above_N: np.ndarray, below: str, below_N: np.ndarray) -> None:
    first: dict[object, int] = {}
    for row, unit in enumerate(below_N):
        other = first.setdefault(unit, row)
        if above_N[other] != above_N[row]:
            raise InputError(
                f"levels: rows {other} and {row} are both of the {below} {unit!r}, but of the "
                f"{above}s {above_N[other]!r} and {above_N[row]!r}; leave the level '{above}' out, "
                f"or give the {below}s different names"
            )
