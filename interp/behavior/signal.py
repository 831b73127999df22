"""Whether a child abstains less because it leans otherwise, or because it can tell less.

Signal detection takes abstention apart: how well the abstention score ranks the questions that
call for it (AUROC, which needs no threshold), and where the model draws the line (the criterion).
Suppression leaves the first and moves the second; erasure takes the first. The score is what the
model would say; that it ranks well is no proof that it is represented, and one that ranks badly no
proof that nothing is: a model that never abstained may rank well, since recall leaves a trace in
every probability. It is one line of evidence beside probes and interventions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.measure import ITEM_COLUMNS, detection
from interp.errors import InputError
from interp.stats import Interval, bootstrap, tost

MEASURES = ("auroc", "dprime", "criterion")
MARGIN = 0.05
"""Of AUROC: the largest loss that does not matter."""


def signal_table(
    child: pd.DataFrame,
    parent: pd.DataFrame,
    *,
    margin: float = MARGIN,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Sensitivity and criterion of a child beside its parent's, on the same questions.

    The reading of the AUROC is "kept" where a loss beyond the margin is excluded (the 90% interval
    lies above it: one side of TOST, as a gain is no loss); where the 95% interval of the change
    lies below 0 "gone", if what the child has left is equivalent to one half within the margin
    (TOST at 5%), else "reduced"; else "undecided". The reading of the criterion is "answers more"
    or "abstains more" where the change lies above or below 0, else "undecided". d' is "not read":
    of a model that never abstains it says nothing about sensitivity.

    Args:
        child: items as for `behavior_table`, of the groups "known" and "unknown".
        parent: the same questions in the same order.
        margin: of AUROC.
        seed: of the bootstrap.
        n_boot: resamples of entities, within groups, of both models together.

    Returns:
        One row a mode and measure ("auroc", "dprime", "criterion"): parent, parent_lo, parent_hi,
        child, child_lo, child_hi, estimate, lo, hi (child less parent; all 95%), lo90, hi90,
        reading, n.

    Raises:
        InputError: a missing column, other questions or another order, or a mode without one of
            the groups.
    """
    for name, items in (("child", child), ("parent", parent)):
        if missing := [column for column in ITEM_COLUMNS if column not in items.columns]:
            raise InputError(f"signal: the {name}'s items lack the column {', '.join(missing)}.")
    if child["prompt_id"].tolist() != parent["prompt_id"].tolist():
        raise InputError(
            "signal: child and parent answered different questions, or in another order; expected "
            "the same prompt ids row by row."
        )
    child, parent = (items.reset_index(drop=True) for items in (child, parent))
    asked_N = child["group"].isin(["known", "unknown"]).to_numpy()
    rows: list[dict[str, Any]] = []
    for mode, of_child in child[asked_N].groupby("mode", sort=False):
        of_parent = parent.loc[of_child.index]
        unknown_N = (of_child["group"] == "unknown").to_numpy()
        if len(set(unknown_N)) < 2:
            raise InputError(f"signal, mode {mode}: expected both known and unknown questions.")
        interval = partial(
            bootstrap,
            groups_N=of_child["entity"].to_numpy(),
            strata=unknown_N,
            seed=seed,
            n_boot=n_boot,
        )
        before_of, after_of = detection(of_parent), detection(of_child)
        for measure in MEASURES:
            before, after = before_of[measure], after_of[measure]
            change = partial(_difference, after, before)
            of_95, of_90 = interval(change), interval(change, level=0.9)
            now, now_90 = interval(after), interval(after, level=0.9)
            rows.append(
                {"mode": mode, "measure": measure}
                | interval(before).columns("parent")
                | now.columns("child")
                | of_95.columns()
                | {"lo90": of_90.lo, "hi90": of_90.hi}
                | {"reading": _reading(measure, now_90, of_95, of_90, margin), "n": len(of_child)}
            )
    return pd.DataFrame(rows)


def _reading(
    measure: str, now_90: Interval, of_95: Interval, of_90: Interval, margin: float
) -> str:
    if measure == "auroc":
        if of_90.lo > -margin:
            return "kept"
        if of_95.hi >= 0:
            return "undecided"
        return "gone" if tost(now_90, margin, reference=0.5) else "reduced"
    if measure == "criterion":
        if of_95.lo > 0:
            return "answers more"
        return "abstains more" if of_95.hi < 0 else "undecided"
    return "not read"


def _difference(
    after: Callable[[np.ndarray], float], before: Callable[[np.ndarray], float], index_M: np.ndarray
) -> float:
    return after(index_M) - before(index_M)
