"""AbstentionBench's own table of results, read again: who abstains, and what post-training changed.

The published drop of 24 points in recall (Kirichenko et al. 2025, arXiv 2506.09038) is the mean of
two pairs of models, each an instruct model and the one distilled from it to reason, over datasets
weighted alike. In the one family of which the table has a base model (Llama 3.1 70B, a release
before the pair's) it stands as low as the reasoning one, so that what is lost there is what
instruction tuning had added; the Qwen pair has no base row, and says nothing of this.

Limits are those of the published comparison: resampled datasets. They lie in 6 scenarios, of which
one has 13; over scenarios (`hierarchical_bootstrap`, scenario above dataset) the drop of both pairs
is [-.276, -.157] where over datasets it is [-.294, -.186], so `mean_changes` has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from interp.configs import nearest
from interp.errors import InputError
from interp.stats import Interval, bootstrap, hierarchical_bootstrap, weighted_mean

COLUMNS = {
    "model_name_formatted": "model",
    "scenario_label": "scenario",
    "dataset_name_formatted": "dataset",
    "post_training_stage": "stage",
    "precision": "precision",
    "recall": "recall",
    "f1_score": "f1",
}
MEASURES = ("recall", "precision", "f1")
PAIRS = (
    ("Llama 3.3 70B Instruct", "DeepSeek R1 Distill Llama 70B"),
    ("Qwen2.5 32B", "S1.1 32B"),
)
"""Instruct parent and reasoning child, as the table names them."""
THREE_WAY = ("Llama 3.1 70B Base", *PAIRS[0])
"""Base, instruct, reasoning: one family, though the base is of the release before."""


def read_performance(path: Path, *, fewest: int = 20) -> pd.DataFrame:
    """Reads `analysis/abstention_performance.csv` of the AbstentionBench repository.

    Args:
        path: of the file.
        fewest: datasets that a model must have; those with fewer are fragments of runs.

    Returns:
        model, scenario, dataset, stage, precision, recall, f1; NaN where a rate has no
        denominator.

    Raises:
        InputError: no such file, no table, a column that is missing, a rate that is not a number
            or outside [0, 1], a dataset twice for one model, or nothing left.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in COLUMNS})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a table ({error})") from error
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise InputError(
            f"{path}: no column '{missing[0]}'{nearest(missing[0], table.columns)}; expected "
            f"{', '.join(COLUMNS)}"
        )
    table = table[list(COLUMNS)].rename(columns=COLUMNS)
    for name in MEASURES:
        number = pd.to_numeric(table[name], errors="coerce")
        strange = number.isna() & table[name].notna()
        if strange.any():
            row = int(np.argmax(strange))
            raise InputError(
                f"{path}, row {row + 2}: {name} is {table[name].iloc[row]!r}; expected a number"
            )
        table[name] = number
        outside = table[name].notna() & ~table[name].between(0, 1)
        if outside.any():
            row = int(np.argmax(outside))
            raise InputError(
                f"{path}, row {row + 2}: {name} {table[name].iloc[row]:g}; expected 0 to 1"
            )
    twice = table.duplicated(["model", "scenario", "dataset"])
    if twice.any():
        row = table[twice].iloc[0]
        raise InputError(f"{path}: {row['model']} has the dataset {row['dataset']} twice")
    n_datasets = table.groupby("model")["dataset"].transform("size")
    kept = table[n_datasets >= fewest].reset_index(drop=True)
    if kept.empty:
        raise InputError(f"{path}: no model has {fewest} datasets")
    return kept


def means(
    table: pd.DataFrame,
    measure: str = "recall",
    *,
    models: Sequence[str] | None = None,
    by: str | None = None,
    seed: int = 0,
    n_boot: int = 5000,
) -> pd.DataFrame:
    """Mean of a measure over datasets, each counting alike.

    Args:
        table: as from `read_performance`.
        measure: "recall", "precision" or "f1".
        models: default: all.
        by: "scenario" for a mean within each.
        seed: of the resampling.
        n_boot: resamples of datasets.

    Returns:
        model, the `by` column, estimate, lo, hi (95%, over datasets), datasets (with a value).

    Raises:
        InputError: an unknown measure or model.
    """
    rows = []
    for model in dict.fromkeys(table["model"]) if models is None else models:
        of_model = _of(table, model, measure)
        for key, part in of_model.groupby(by, sort=False) if by else [(None, of_model)]:
            value = _mean(part[measure].to_numpy(), seed, n_boot)
            where = {"model": model} | ({by: key} if by else {})
            rows.append(where | value.columns() | {"datasets": len(part)})
    return pd.DataFrame(rows)


def changes(
    table: pd.DataFrame, measure: str = "recall", pairs: Sequence[tuple[str, str]] = PAIRS
) -> pd.DataFrame:
    """Child minus parent on every dataset that both have a value on.

    Args:
        table: as from `read_performance`.
        measure: "recall", "precision" or "f1".
        pairs: parent and child.

    Returns:
        parent, child, scenario, dataset, before, after, change.

    Raises:
        InputError: an unknown measure or model, or a pair without a common dataset.
    """
    parts = []
    for parent, child in pairs:
        keys = ["scenario", "dataset"]
        before, after = (_of(table, name, measure)[[*keys, measure]] for name in (parent, child))
        both = before.merge(after, on=keys, suffixes=("_before", "_after"))
        if both.empty:
            raise InputError(f"{parent} and {child} have no dataset in common")
        both.columns = pd.Index([*keys, "before", "after"])
        both["change"] = both["after"] - both["before"]
        both.insert(0, "child", child)
        both.insert(0, "parent", parent)
        parts.append(both)
    return pd.concat(parts, ignore_index=True)


def mean_changes(
    table: pd.DataFrame,
    measure: str = "recall",
    pairs: Sequence[tuple[str, str]] = PAIRS,
    *,
    seed: int = 0,
    n_boot: int = 5000,
) -> pd.DataFrame:
    """Mean change of each pair, and of all pairs together, resampling datasets.

    All pairs move with a dataset when it is drawn, since they were asked the same questions.

    Args:
        table: as from `read_performance`.
        measure: "recall", "precision" or "f1".
        pairs: parent and child.
        seed: of the resampling.
        n_boot: resamples.

    Returns:
        A row a pair, and a last one named "all": parent, child, estimate, lo, hi, datasets, fell
        (on how many it fell), least and most (the mean with any one dataset left out), scenarios_lo
        and scenarios_hi (95% over scenarios, `hierarchical_bootstrap`; over the datasets within
        them where they are fewer than six).

    Raises:
        InputError: as `changes`.
    """
    each = changes(table, measure, pairs)
    wide = each.pivot_table(
        index=["scenario", "dataset"], columns=["parent", "child"], values="change"
    )
    rows = []
    for parent, child in pairs:
        change = wide[parent, child].dropna()
        rows.append({"parent": parent, "child": child} | _summary(change, seed, n_boot))
    together = wide.dropna().mean(axis=1)
    rows.append({"parent": "all", "child": "all"} | _summary(together, seed, n_boot))
    return pd.DataFrame(rows)


def _summary(change: pd.Series, seed: int, n_boot: int) -> dict[str, float | int]:
    change_N = change.to_numpy()
    without_N = (change_N.sum() - change_N) / max(len(change_N) - 1, 1)
    levels = {
        "scenario": change.index.get_level_values("scenario").to_numpy(),
        "dataset": np.array([" / ".join(map(str, both)) for both in change.index], dtype=object),
    }
    over = hierarchical_bootstrap(weighted_mean(change_N), levels, n_boot=n_boot, seed=seed)
    return {
        **_mean(change_N, seed, n_boot).columns(),
        "datasets": len(change_N),
        "fell": int((change_N < 0).sum()),
        "least": float(without_N.min()),
        "most": float(without_N.max()),
        "scenarios_lo": over.lo,
        "scenarios_hi": over.hi,
    }


def _mean(value_N: np.ndarray, seed: int, n_boot: int) -> Interval:
    return bootstrap(
        lambda index: float(value_N[index].mean()),
        np.arange(len(value_N)),
        n_boot=n_boot,
        seed=seed,
    )


def _of(table: pd.DataFrame, model: str, measure: str) -> pd.DataFrame:
    """A model's rows that have a value."""
    if measure not in MEASURES:
        raise InputError(f"'{measure}' is no measure of the table; there are {', '.join(MEASURES)}")
    if model not in set(table["model"]):
        names = sorted(set(table["model"]))
        raise InputError(f"the table has no model '{model}'{nearest(model, names)}")
    return table[(table["model"] == model) & table[measure].notna()]
