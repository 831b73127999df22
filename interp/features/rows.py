"""What is said of each row, checked: one label a row, and one unit of every level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from torch import Tensor

from interp.errors import InputError
from interp.features.codes import SparseCodes

Labels = Sequence[object] | np.ndarray


def labels_of(rows: SparseCodes | Tensor, labels: Labels) -> Bool[np.ndarray, " n"]:
    """Labels of the rows, True where the model should abstain.

    Raises:
        InputError: not one label a row, labels that are neither 0 nor 1, or only one class.
    """
    label_N = one_each(rows, labels, "labels")
    if not np.isin(label_N, (0, 1)).all():
        raise InputError("search: labels must be bool, or 0 and 1; True where it should abstain")
    if label_N.all() or not label_N.any():
        raise InputError(
            f"search: {int(label_N.sum())} of {len(label_N)} rows are labelled True; both classes "
            "are needed"
        )
    return label_N.astype(bool)


def units_of(codes: SparseCodes, levels: Mapping[str, Labels]) -> np.ndarray:
    """The lowest level's unit of each row.

    Raises:
        InputError: no levels, not one unit a row, or a unit that lies in two of the level above.
    """
    if not levels:
        raise InputError("search: no levels; expected at least one, such as the entity of each row")
    unit_N = np.empty(0)
    for name, values in levels.items():
        above_N, unit_N = unit_N, one_each(codes, values, f"level {name!r}")
        if not len(above_N):
            continue
        lies_in = pd.DataFrame({"unit": unit_N, "above": above_N}).drop_duplicates()
        if lies_in["unit"].duplicated().any():
            raise InputError(
                f"search: a unit of the level {name!r} lies in two units of the level above; give "
                "units names of their own"
            )
    return unit_N


def one_each(rows: SparseCodes | Tensor, values: Labels, what: str) -> np.ndarray:
    """Values of the rows, `what` being what an error calls them.

    Raises:
        InputError: not one value a row, or none at a row.
    """
    value_N = np.asarray(values)
    if value_N.shape != (len(rows),):
        raise InputError(
            f"search: {what} of shape {value_N.shape} for {len(rows)} rows; expected one a row"
        )
    missing_N = pd.isna(value_N)
    if missing_N.any():
        raise InputError(f"search: {what}: none at row {int(missing_N.argmax())}; drop such rows")
    return value_N
