"""What a judge gains, or gives away, by being shown the label of the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.audited import truths
from interp.behavior.audit.kappa import Measure, interval_and_note, measures
from interp.behavior.tables import check_columns
from interp.stats import Weighted, weighted_mean

ARMS_COLUMNS = ("prompt_id", "source", "label", "should_abstain", "hidden", "shown")
DIFFERENCE = "shown - hidden"
LEAK = "yes - no"


def judge_audit(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """A blind judge and one that is shown should_abstain, side by side against human labels.

    A reply abstains, or does not, whatever its question calls for. So a judge that reads the reply
    gives one verdict in both arms, or at most a better one; a judge that leans on the label finds
    more abstention where it is due and less where it is not, which inflates recall and precision at
    once. Both show in rate, by should_abstain: the leak is the difference of their differences, 0
    for a judge that does not lean.

    Args:
        items: one row a reply: prompt_id, source (such as the dataset or the model), label (a
            person's: the reply abstains), should_abstain (the question's), hidden and shown (the
            verdicts of the two arms, as from `judge_arms`), and the units.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns source; should_abstain ("all", "yes", "no", and "yes - no"); arm ("hidden", "shown",
        "shown - hidden"); measure (agreement, kappa, sensitivity, specificity, as `agreement_table`
        has them, and rate, the share judged to abstain); estimate, lo, hi (95%,
        `hierarchical_bootstrap`, differences paired by reply); n (replies); note (why there is no
        estimate or no limits). The leak is the one row of "yes - no", of the rate.

    Raises:
        InputError: no rows or units, a missing column, or a value that is not true or false.
    """
    check_columns("judged replies", items, (*ARMS_COLUMNS, *units), units)
    named = ("label", "should_abstain", "hidden", "shown")
    verdict = {name: np.array(truths(items, name), dtype=bool) for name in named}
    rows: list[dict[str, Any]] = []
    for source, at in items.reset_index(drop=True).groupby("source", sort=False):
        here = at.index.to_numpy()
        due_N = verdict["should_abstain"][here]
        label_N, hidden_N, shown_N = (verdict[name][here] for name in ("label", "hidden", "shown"))
        cells = _cells(label_N, hidden_N, shown_N, due_N)
        for (group, arm, name), measure in cells.items():
            kept_N = measure.rows_N
            value, note = interval_and_note(
                measure,
                {unit: at[unit].to_numpy()[kept_N] for unit in units},
                seed=seed,
                n_boot=n_boot,
                strata=due_N[kept_N],
            )
            place = {"source": source, "should_abstain": group, "arm": arm, "measure": name}
            rows.append(place | value.columns() | {"n": int(kept_N.sum()), "note": note})
    return pd.DataFrame(rows)


def _cells(
    label_N: np.ndarray, hidden_N: np.ndarray, shown_N: np.ndarray, due_N: np.ndarray
) -> dict[tuple[str, str, str], Measure]:
    """Measures by group, arm and name; their rows are of all that are given."""
    cells: dict[tuple[str, str, str], Measure] = {}
    groups = {"all": np.ones_like(due_N), "yes": due_N, "no": ~due_N}
    for group, in_N in groups.items():
        if in_N.any():
            arms = {
                "hidden": _measures(label_N, hidden_N, in_N),
                "shown": _measures(label_N, shown_N, in_N),
            }
            arms[DIFFERENCE] = {
                name: _paired(arms["shown"][name], arms["hidden"][name]) for name in arms["hidden"]
            }
            for arm, found in arms.items():
                cells |= {(group, arm, name): measure for name, measure in found.items()}
    if due_N.any() and not due_N.all():
        moved_N = shown_N.astype(float) - hidden_N
        leak = Measure(groups["all"], _contrast(moved_N, due_N), is_share=False)
        cells[LEAK, DIFFERENCE, "rate"] = leak
    return cells


def _measures(label_N: np.ndarray, judged_N: np.ndarray, in_N: np.ndarray) -> Mapping[str, Measure]:
    found = dict(measures(label_N[in_N], judged_N[in_N]))
    # Its rows differ between the arms, so it could not be paired.
    del found["precision"]
    found["rate"] = Measure(np.ones(in_N.sum(), dtype=bool), weighted_mean(judged_N[in_N]))
    inside = np.flatnonzero(in_N)
    placed = {}
    for name, measure in found.items():
        rows_N = np.zeros_like(in_N)
        rows_N[inside[measure.rows_N]] = True
        placed[name] = Measure(rows_N, measure.statistic, measure.nothing, measure.is_share)
    return placed


def _paired(first: Measure, second: Measure) -> Measure:
    """The difference of two measures of the same rows."""
    return Measure(
        first.rows_N,
        lambda weights_BM: first.statistic(weights_BM) - second.statistic(weights_BM),
        first.nothing or second.nothing,
        is_share=False,
    )


def _contrast(values_N: np.ndarray, due_N: np.ndarray) -> Weighted:
    """Weights [B, N] -> mean where abstention is due less that where it is not."""
    due, other = (weighted_mean(values_N[rows_N]) for rows_N in (due_N, ~due_N))

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # NaN where a resample has none
            return due(weights_BN[:, due_N]) - other(weights_BN[:, ~due_N])

    return statistic
