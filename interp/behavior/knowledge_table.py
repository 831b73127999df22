"""Abstention apart by what the models know: less of it because they know more, or just less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.calibration.answers import check_columns
from interp.behavior.knowledge import check_outcomes, known_to_one, side_by_side
from interp.errors import InputError
from interp.stats import hierarchical_bootstrap, weighted_mean

GROUPS = ("structural", "both_unknown", "known_to_one", "both_known", "uncertain")
_COLUMNS = ("prompt_id", "model", "mode", "should_abstain", "outcome")


def abstention_by_knowledge(
    items: pd.DataFrame,
    labels_by_model: Mapping[str, pd.DataFrame],
    *,
    units: Sequence[str],
    against: str | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Abstention of each model, apart by what the models know.

    Groups: "structural" (should_abstain: no one can answer), and of the questions that have an
    answer "both_unknown" (to all models), "both_known" (to all), "known_to_one" (to one, unknown to
    all others) and "uncertain" (any other). A child that abstains less only because it knows more
    abstains less on "known_to_one"; one that just abstains less does so on "structural" and
    "both_unknown" too.

    Args:
        items: one row a reply: prompt_id, model, mode, should_abstain, outcome, and the units.
        labels_by_model: `knowledge_labels` of each model, on at least the questions that have an
            answer.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        against: a model that the others are compared with, question by question.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns model, mode, group, measure ("abstain", the share of replies; "change", that share
        less the one of `against`, on questions that both replied to), estimate, lo, hi (95%,
        `hierarchical_bootstrap`), n (replies; questions for "change").

    Raises:
        InputError: no rows or units, a missing column, an outcome of another name, a question with
            an answer and no label, `against` that has no rows, a prompt whose rows differ in
            should_abstain or units, or as `both_unknown`.
    """
    check_columns("knowledge items", items, (*_COLUMNS, *units), units)
    check_outcomes("knowledge items", items)
    _check_same(items, ["should_abstain", *units])
    if against is not None and against not in set(items["model"]):
        raise InputError(
            f"knowledge items: no model {against!r} to compare with; there are "
            f"{', '.join(map(str, items['model'].unique()))}"
        )
    items = items.assign(
        group=_groups(items, labels_by_model), abstain=(items["outcome"] == "abstain").astype(float)
    )
    rows: list[dict[str, Any]] = []

    def add(place: dict[str, Any], values: pd.Series, units_of: pd.DataFrame) -> None:
        levels = {unit: units_of[unit].to_numpy() for unit in units}
        statistic = weighted_mean(values.to_numpy())
        value = hierarchical_bootstrap(statistic, levels, n_boot=n_boot, seed=seed)
        rows.append(place | value.columns() | {"n": len(values)})

    for mode, group, lot in _in_order(items):
        share = lot.groupby(["prompt_id", "model"], sort=False)["abstain"].mean().unstack("model")
        units_of = lot.drop_duplicates("prompt_id").set_index("prompt_id")[list(units)]
        for model, said in lot.groupby("model", sort=False):
            place = {"model": model, "mode": mode, "group": group}
            add(place | {"measure": "abstain"}, said["abstain"], said)
            if against in share and model != against:
                change = (share[model] - share[against]).dropna()
                if len(change):
                    add(place | {"measure": "change"}, change, units_of.loc[change.index])
    return pd.DataFrame(rows)


def _groups(items: pd.DataFrame, labels_by_model: Mapping[str, pd.DataFrame]) -> np.ndarray:
    labels = side_by_side(labels_by_model)
    alone = set(known_to_one(labels_by_model)["prompt_id"])
    group_of = dict.fromkeys(labels.index, "uncertain") | dict.fromkeys(alone, "known_to_one")
    for label in ("unknown", "known"):
        agreed = labels.index[(labels == label).all(axis=1)]
        group_of |= dict.fromkeys(agreed, f"both_{label}")
    groups = []
    for prompt, due in zip(items["prompt_id"], items["should_abstain"], strict=True):
        if not due and prompt not in group_of:
            raise InputError(
                f"knowledge items, prompt {prompt}: it has an answer, but no label says who knows "
                "it; label it too, or leave it out"
            )
        groups.append("structural" if due else group_of[prompt])
    return np.array(groups, dtype=object)


def _in_order(items: pd.DataFrame) -> Iterator[tuple[object, str, pd.DataFrame]]:
    lots = dict(iter(items.groupby(["mode", "group"], sort=False)))
    for mode in items["mode"].unique():
        for group in GROUPS:
            if (mode, group) in lots:
                yield mode, group, lots[mode, group]


def _check_same(items: pd.DataFrame, columns: Sequence[str]) -> None:
    differ = items.groupby("prompt_id")[list(columns)].nunique(dropna=False).gt(1).any(axis=1)
    if differ.any():
        raise InputError(
            f"knowledge items, prompt {differ.index[differ][0]}: its rows differ in "
            f"{', '.join(columns)}; expected the same for all replies to a prompt"
        )
