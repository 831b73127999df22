"""Rates and detection measures of abstention, with intervals over entities."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError
from interp.stats import Interval, auroc, bootstrap, dprime

ITEM_COLUMNS = ("prompt_id", "entity", "group", "mode", "outcome", "score")


def behavior_table(items: pd.DataFrame, *, seed: int = 0, n_boot: int = 1000) -> pd.DataFrame:
    """What a model said, as rates by group and as detection of the unknown.

    Of each mode and group the share of replies that abstain and that are correct; of each mode
    with both groups "known" and "unknown", under the group "all": J, the abstention rate on
    unknown minus the one on known; d' and the criterion c of abstaining as a detector of unknown
    (hits and false alarms with the log-linear correction); and the AUROC of the abstention score,
    unknown against known, which needs no threshold.

    Args:
        items: one row a reply: prompt_id, entity, group, mode, outcome ("abstain", "correct" or
            "wrong") and score, the abstention score.
        seed: of the bootstrap.
        n_boot: resamples of the entities, within groups.

    Returns:
        Columns mode, group, measure, estimate, lo, hi (95%), n (replies behind the row).

    Raises:
        InputError: no rows, a missing column, an outcome of another name, or a score that is not
            finite.
    """
    _check(items)
    rows: list[dict[str, Any]] = []
    for mode, of_mode in items.groupby("mode", sort=False):
        interval = partial(_interval, seed=seed, n_boot=n_boot)
        for group, of_group in of_mode.groupby("group", sort=False):
            for measure, outcome in (("abstain_rate", "abstain"), ("accuracy", "correct")):
                share_N = (of_group["outcome"] == outcome).to_numpy(float)
                value = interval(partial(_mean, share_N), of_group)
                rows.append(_row(mode, group, measure, value, len(of_group)))
        compared = of_mode[of_mode["group"].isin(["known", "unknown"])]
        if compared["group"].nunique() == 2:
            for measure, statistic in detection(compared).items():
                value = interval(statistic, compared)
                rows.append(_row(mode, "all", measure, value, len(compared)))
    return pd.DataFrame(rows)


def detection(compared: pd.DataFrame) -> dict[str, Callable[[np.ndarray], float]]:
    """J, d', criterion and AUROC of items of the groups known and unknown, given row indices."""
    unknown_N = (compared["group"] == "unknown").to_numpy()
    abstains_N = (compared["outcome"] == "abstain").to_numpy(float)
    score_N = compared["score"].to_numpy(float)

    def signal_detection(index_M: np.ndarray, which: int) -> float:
        unknown_M, abstains_M = unknown_N[index_M], abstains_N[index_M]
        n_unknown = int(unknown_M.sum())
        hits, false_alarms = int(abstains_M[unknown_M].sum()), int(abstains_M[~unknown_M].sum())
        return dprime(hits, n_unknown, false_alarms, len(index_M) - n_unknown)[which]

    return {
        "J": partial(_difference, abstains_N, unknown_N),
        "dprime": partial(signal_detection, which=0),
        "criterion": partial(signal_detection, which=1),
        "auroc": lambda index_M: auroc(score_N[index_M], unknown_N[index_M]),
    }


def _mean(values_N: np.ndarray, index_M: np.ndarray) -> float:
    return float(values_N[index_M].mean())


def _difference(values_N: np.ndarray, unknown_N: np.ndarray, index_M: np.ndarray) -> float:
    values_M, unknown_M = values_N[index_M], unknown_N[index_M]
    return float(values_M[unknown_M].mean() - values_M[~unknown_M].mean())


def _interval(
    statistic: Callable[[np.ndarray], float], items: pd.DataFrame, *, seed: int, n_boot: int
) -> Interval:
    return bootstrap(
        statistic,
        items["entity"].to_numpy(),
        n_boot=n_boot,
        seed=seed,
        strata=items["group"].to_numpy(),
    )


def _row(mode: object, group: object, measure: str, value: Interval, n: int) -> dict[str, Any]:
    place = {"mode": mode, "group": group, "measure": measure}
    return place | value.columns() | {"n": n}


def _check(items: pd.DataFrame) -> None:
    check_columns("behavior items", items, ITEM_COLUMNS, ("pair_id",))
    check_outcomes("behavior items", items)
    unscored_N = ~np.isfinite(items["score"].to_numpy(float))
    if unscored_N.any():
        row = items[unscored_N].iloc[0]
        raise InputError(
            f"behavior items, prompt {row['prompt_id']}: the score is {row['score']}; expected a "
            "finite abstention score."
        )
