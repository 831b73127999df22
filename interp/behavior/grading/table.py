"""Shares of the kinds of replies, abstention's kinds apart, and what scores tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from interp.behavior.grading.kinds import ReplyKind
from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import dprime, hierarchical_bootstrap, weighted_auroc, weighted_mean


def kinds_table(
    items: pd.DataFrame, *, units: Sequence[str], seed: int = 0, n_boot: int = 1000
) -> pd.DataFrame:
    """Share of each kind of reply, where abstention is due and where it is not.

    Args:
        items: as from `grade_replies`: kind, truncated, should_abstain, prompt_id and the units.
        units: columns of the units that intervals are over, from the top.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns should_abstain, kind (those of `ReplyKind`, and "truncated": replies that were cut
        off, whatever their kind), estimate, lo, hi (95%, `hierarchical_bootstrap`), n. A kind that
        no reply has at all has no rows.

    Raises:
        InputError: no rows or units, or a missing column.
    """
    needed = ("prompt_id", "kind", "truncated", "should_abstain", *units)
    check_columns("graded replies", items, needed, units)
    rows: list[dict[str, Any]] = []
    for due, here in items.groupby("should_abstain", sort=True):
        levels = {unit: here[unit].to_numpy() for unit in units}
        shares = {kind: here["kind"] == kind for kind in get_args(ReplyKind)}
        for kind, is_N in (shares | {"truncated": here["truncated"]}).items():
            if kind == "truncated" or (items["kind"] == kind).any():
                value = hierarchical_bootstrap(
                    weighted_mean(is_N.to_numpy(float)), levels, n_boot=n_boot, seed=seed
                )
                place = {"should_abstain": bool(due), "kind": kind}
                rows.append(place | value.columns() | {"n": len(here)})
    return pd.DataFrame(rows)


def score_table(
    items: pd.DataFrame,
    scores: Sequence[str],
    *,
    units: Sequence[str],
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """How well abstaining, and each abstention score, tells questions that call for it.

    Args:
        items: one row a reply: prompt_id, should_abstain, outcome, the scores and the units.
        scores: columns of scores; the higher, the more likely to abstain.
        units: columns of the units that intervals are over, from the top.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns measure ("dprime" and "criterion" of what replies do, with the log-linear
        correction; "auroc" of each score), score ("replies" for the first two), estimate, lo, hi
        (95%, `hierarchical_bootstrap`), n.

    Raises:
        InputError: no rows or units, a missing column, or a score that is not finite.
    """
    needed = ("prompt_id", "should_abstain", "outcome", *scores, *units)
    check_columns("scored replies", items, needed, units)
    levels = {unit: items[unit].to_numpy() for unit in units}
    due_N = items["should_abstain"].to_numpy(bool)
    abstains_N = (items["outcome"] == "abstain").to_numpy(bool)

    def detection(weights_BN: np.ndarray, which: int) -> np.ndarray:
        counts = [
            weights_BN @ mask_N.astype(float)
            for mask_N in (abstains_N & due_N, due_N, abstains_N & ~due_N, ~due_N)
        ]
        found = np.full(len(weights_BN), np.nan)  # a resample may lack one kind of question
        for draw, (hits, n_due, false_alarms, n_not) in enumerate(np.rint(counts).astype(int).T):
            if n_due and n_not:
                found[draw] = dprime(hits, n_due, false_alarms, n_not)[which]
        return found

    how: dict[str, Any] = {"n_boot": n_boot, "seed": seed, "strata": due_N}
    rows: list[dict[str, Any]] = []
    for which, measure in enumerate(("dprime", "criterion")):
        value = hierarchical_bootstrap(lambda w, k=which: detection(w, k), levels, **how)
        rows.append({"measure": measure, "score": "replies"} | value.columns() | {"n": len(items)})
    for score in scores:
        score_N = items[score].to_numpy(float)
        if not np.isfinite(score_N).all():
            row = items.iloc[int((~np.isfinite(score_N)).argmax())]
            raise InputError(
                f"scored replies, prompt {row['prompt_id']}: {score} is {row[score]}; expected a "
                "finite number"
            )
        value = hierarchical_bootstrap(weighted_auroc(score_N, due_N), levels, **how)
        rows.append({"measure": "auroc", "score": score} | value.columns() | {"n": len(items)})
    return pd.DataFrame(rows)
