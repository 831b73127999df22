"""Means and shares of a table of items by model or arm, and their differences item by item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_ratio

Measures = Mapping[str, str | tuple[str, str]]
"""Name of a measure -> the column that it is the mean of; or that column and another one, of 0 and
1 or of weights: the mean over the items where that holds, a conditional share."""
KEY = ("prompt_id", "sample")


def contrast_table(
    items: pd.DataFrame,
    measures: Measures,
    *,
    units: Sequence[str],
    factor: str = "model",
    against: str | None = None,
    by: Sequence[str] = (),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Each measure of each level of a factor, and its difference to one level, paired by item.

    Differences are between the means of the items that both levels have, so that items which only
    one of them could be measured on (a chain that never ended) make none.

    Args:
        items: one row an item and level: prompt_id, sample (0 if it is not there), the factor, the
            columns `by`, the units, and the columns of the measures, NaN where there is none.
        measures: what is to be measured.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        factor: "model", "arm" or the like.
        against: the level that the others are compared with; None compares nothing.
        by: columns whose groups stand apart; rows without a value there are a group too.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns `by`, the factor, against ("" for a level by itself), measure, estimate, lo, hi
        (95%, `hierarchical_bootstrap`), n (items behind it), excluded (items without it).

    Raises:
        InputError: no rows or units, a missing column, an item without a level, a level that is not
            there, or an item twice.
    """
    columns = [part for of in measures.values() for part in ([of] if isinstance(of, str) else of)]
    needed = ("prompt_id", factor, *by, *units, *columns)
    check_columns("items", items, needed, units)
    if items[factor].isna().any():
        prompt = items[items[factor].isna()]["prompt_id"].iloc[0]
        raise InputError(f"items, prompt {prompt}: no {factor}; name one in every row")
    key = [*(name for name in KEY if name in items.columns and name not in by)]
    twice = items.duplicated([*by, factor, *key])
    if twice.any():
        raise InputError(
            f"items, prompt {items[twice]['prompt_id'].iloc[0]}: twice of one {factor}; expected "
            f"one row for each {', '.join([*by, factor, *key])}"
        )
    if against is not None and against not in set(items[factor]):
        there = ", ".join(map(str, items[factor].unique()))
        raise InputError(f"items: no {factor} {against!r} to compare with; there are {there}")
    rows: list[dict[str, Any]] = []
    for where, group in _groups(items, by):
        levels = {level: one.set_index(key) for level, one in group.groupby(factor, sort=False)}
        for (level, one), (name, of) in product(levels.items(), measures.items()):
            place = where | {factor: level, "against": "", "measure": name}
            rows.append(place | _measured([_parts(one, of)], one, units, seed, n_boot))
            if against in levels and level != against:
                both = one.index.intersection(levels[against].index, sort=False)
                pair = [_parts(side.loc[both], of) for side in (one, levels[against])]
                found = _measured(pair, one.loc[both], units, seed, n_boot)
                rows.append(place | {"against": against} | found)
    return pd.DataFrame(rows)


def _measured(
    sides: Sequence[tuple[np.ndarray, np.ndarray]],
    rows: pd.DataFrame,
    units: Sequence[str],
    seed: int,
    n_boot: int,
) -> dict[str, Any]:
    """One mean, or the first one less the second."""
    there_N = ~np.any([np.isnan(part) for side in sides for part in side], axis=0)
    # An item that no mean is over tells nothing of it, nor do units of such items only.
    there_N &= np.any([weight_N > 0 for _, weight_N in sides], axis=0)
    n = int(there_N.sum())
    value = Interval(np.nan, np.nan, np.nan)
    if n:
        kept = rows[there_N].reset_index()
        statistic = _difference([(value[there_N], weight[there_N]) for value, weight in sides])
        levels = {unit: kept[unit].to_numpy() for unit in units}
        value = hierarchical_bootstrap(statistic, levels, n_boot=n_boot, seed=seed)
    unread = int(np.any([np.isnan(part) for side in sides for part in side], axis=0).sum())
    return value.columns() | {"n": n, "excluded": unread}


def _difference(sides: Sequence[tuple[np.ndarray, np.ndarray]]) -> Weighted:
    means = [weighted_ratio(value_N * weight_N, weight_N) for value_N, weight_N in sides]

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        first, *rest = (mean(weights_BN) for mean in means)
        return first - rest[0] if rest else first

    return statistic


def _parts(rows: pd.DataFrame, of: str | tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Values and weights of the items; a value that has no weight may be missing."""
    if isinstance(of, str):
        return rows[of].to_numpy(float), np.ones(len(rows))
    value_N, weight_N = rows[of[0]].to_numpy(float), rows[of[1]].to_numpy(float)
    return np.where(weight_N == 0, 0.0, value_N), weight_N


def _groups(
    items: pd.DataFrame, by: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    if not by:
        yield {}, items
        return
    for values, group in items.groupby(list(by), sort=False, dropna=False):
        yield dict(zip(by, values, strict=True)), group
