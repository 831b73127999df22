"""Abstention apart by what the models know: less of it because they know more, or just less."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.unit_shares import unit_change, unit_share
from interp.behavior.knowledge import known_to_one, side_by_side
from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError
from interp.stats import Interval

ONLY = "known_only_to:"
"""Before the name of a model: the group of what it alone knows."""
_COLUMNS = ("prompt_id", "model", "mode", "should_abstain", "outcome")


def abstention_by_knowledge(
    items: pd.DataFrame,
    labels_by_model: Mapping[str, pd.DataFrame],
    *,
    units: Sequence[str],
    against: str | None = None,
    labelled_from: Collection[str] | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Abstention of each model, apart by what the models know.

    Groups: "structural" (should_abstain: no one can answer), and of the questions that have an
    answer "both_unknown" (to all models), "both_known" (to all), "known_only_to:MODEL" (to that
    one, unknown to all others; a group a model) and "uncertain" (any other). A child that abstains
    less only because it knows more abstains less on what only it knows, and more on what only its
    parent knows; one that just abstains less does so on "structural" and "both_unknown" too.

    Labels made from the replies tabulated here are confounded with their abstention: a question
    that a model abstains on is one it was not right on, so abstention gathers in "both_unknown"
    whatever is known. Label by another elicitation, which asks for an answer in any case.

    Args:
        items: one row a reply: prompt_id, model, mode, should_abstain, outcome, and the units.
        labels_by_model: `knowledge_labels` of each model, on at least the questions that have an
            answer.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        against: a model that the others are compared with, question by question.
        labelled_from: the modes whose replies the labels were made of, to have it refused that they
            are tabulated by themselves; None does not look.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns model, mode, group, measure ("abstain", the share of replies; "change", that share
        less the one of `against`, on questions that both replied to), estimate, lo, hi (95%,
        `unit_share` and `unit_change`), n (replies; questions for "change").

    Raises:
        InputError: no rows or units, a missing column, an outcome of another name, a question with
    XX
    """
    check_columns("knowledge items", items, (*_COLUMNS, *units), units)
    check_outcomes("knowledge items", items)
    _check_same(items, ["should_abstain", *units])
    if against is not None and against not in set(items["model"]):
        raise InputError(
            f"knowledge items: no model {against!r} to compare with; there are "
            f"{', '.join(map(str, items['model'].unique()))}"
        )
    if same := set(items["mode"]) & set(labelled_from or ()):
        raise InputError(
            f"knowledge items: the labels were made from replies of {min(same)!r}, which are among "
            "those tabulated; what a model abstains on would count as not known. Label by another "
            "elicitation"
        )
    items = items.assign(
        group=_groups(items, labels_by_model), abstain=(items["outcome"] == "abstain").astype(float)
    )
    rows: list[dict[str, Any]] = []

    def levels_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
        return {unit: table[unit].to_numpy() for unit in units}

    for mode, group, lot in _in_order(items, list(labels_by_model)):
        share = lot.groupby(["prompt_id", "model"], sort=False)["abstain"].mean().unstack("model")
        units_of = lot.drop_duplicates("prompt_id").set_index("prompt_id")[list(units)]
        for model, said in lot.groupby("model", sort=False):
            place = {"model": model, "mode": mode, "group": group}
            said_N, levels = said["abstain"].to_numpy(), levels_of(said)
            value: Interval = unit_share(said_N, levels, seed=seed, n_boot=n_boot)
            rows.append(place | {"measure": "abstain"} | value.columns() | {"n": len(said)})
            if against in share and model != against:
                both = share[[against, model]].dropna()
                if len(both):
                    levels = levels_of(units_of.loc[both.index])
                    before_N, after_N = both.to_numpy().T
                    value = unit_change(before_N, after_N, levels, seed=seed, n_boot=n_boot)
                    rows.append(place | {"measure": "change"} | value.columns() | {"n": len(both)})
    return pd.DataFrame(rows)


def _groups(items: pd.DataFrame, labels_by_model: Mapping[str, pd.DataFrame]) -> np.ndarray:
    labels = side_by_side(labels_by_model)
    alone = known_to_one(labels_by_model)
    group_of = dict.fromkeys(labels.index, "uncertain")
    group_of |= {one.prompt_id: f"{ONLY}{one.model}" for one in alone.itertuples()}
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


def _in_order(
    items: pd.DataFrame, models: Sequence[str]
) -> Iterator[tuple[object, str, pd.DataFrame]]:
    lots = dict(iter(items.groupby(["mode", "group"], sort=False)))
    alone = [f"{ONLY}{model}" for model in models]
    groups = ["structural", "both_unknown", *alone, "both_known", "uncertain"]
    for mode in items["mode"].unique():
        for group in groups:
            if (mode, group) in lots:
                yield mode, group, lots[mode, group]


def _check_same(items: pd.DataFrame, columns: Sequence[str]) -> None:
    differ = items.groupby("prompt_id")[list(columns)].nunique(dropna=False).gt(1).any(axis=1)
    if differ.any():
        raise InputError(
            f"knowledge items, prompt {differ.index[differ][0]}: its rows differ in "
            f"{', '.join(columns)}; expected the same for all replies to a prompt"
        )
