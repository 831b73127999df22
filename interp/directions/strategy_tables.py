"""How directions of strategies compare, and how well they read another model's chains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch

from interp.activations import Activations
from interp.directions.geometry import cosine, random_directions
from interp.directions.strategy import Strategies, check_windows, checked_items
from interp.errors import InputError
from interp.stats import auroc_columns, hierarchical_bootstrap, weighted_auroc


def cosine_table(models: Sequence[Strategies]) -> pd.DataFrame:
    """Cosines between strategies, and of each strategy between models, at their common sites.

    Directions of one model share items, and so do those of models that read the same chains: their
    noise is alike, which draws a plain cosine up. `corrected` takes only products of one half's
    direction with the other half's, in which no item stands on both sides (the estimator of
    `cross_validated_cosine`).

    Args:
        models: of one seed and number of splits; any two of the same items, or of none in common.

    Returns:
        Columns source_a, label_a, source_b, label_b, site, cosine, reliability_a, reliability_b,
        corrected; a row a pair. `corrected` may pass 1; it is NaN where a direction does not
        repeat between halves, or most splits leave a half without one of the labels.

    Raises:
        InputError: no models, two of one source, widths that differ, or models that are split
            otherwise or share some of their items only.
    """
    sources = [model.source for model in models]
    if not models or len(set(sources)) < len(sources):
        raise InputError(f"cosine table: sources {sources}; expected one or more, all different")
    for a, b in combinations(models, 2):
        shared = set(a.items) & set(b.items)
        if shared and (a.items != b.items or a.seed != b.seed):
            raise InputError(
                f"cosine table: {a.source} and {b.source} share {len(shared)} items and split them "
                "otherwise; give both the same items and the same seed"
            )
    named = [(model, *key) for model in models for key in model.directions]
    rows = []
    for (a, label_a, site), (b, label_b, other) in combinations(named, 2):
        if site == other:
            rows.append(
                {
                    "source_a": a.source,
                    "label_a": label_a,
                    "source_b": b.source,
                    "label_b": label_b,
                    "site": str(site),
                    "cosine": cosine(a.directions[label_a, site], b.directions[label_b, site]),
                    "reliability_a": a.reliability(label_a, site),
                    "reliability_b": b.reliability(label_b, site),
                    "corrected": _corrected(a.halves[label_a, site], b.halves[label_b, site]),
                }
            )
    return pd.DataFrame(rows)


def transfer_table(
    models: Sequence[Strategies],
    activations: Activations,
    windows: pd.DataFrame,
    items: Sequence[object] | np.ndarray,
    *,
    target: str,
    seed: int,
    n_random: int = 50,
    n_boot: int = 2000,
) -> pd.DataFrame:
    """How well each model's directions tell a label's windows from the others, on held-out chains.

    A window's score is its mean activation along the direction, as it stands: no threshold, no
    scale and no sign is fitted to the target.

    Args:
        models: whose directions are read out.
        activations: of the target's chains, captured at "all", at the sites of the directions.
        windows: of these chains, columns `WINDOW`.
        items: item of each row of the activations.
        target: name of the checkpoint whose activations they are.
        seed: of the intervals and of the random directions.
        n_random: random directions at each site, whose AUROC says what any direction would do.
        n_boot: resamples of the items.

    Returns:
        Columns source, target, label, site, estimate, lo, hi (AUROC, interval by item),
        random_95 (95th percentile of the random directions' AUROC, either sign), n_windows,
        n_others; a row for each label of both, of which windows of others stand beside.

    Raises:
        InputError: an item that a direction was made from, another width, no label in common, or
            as `strategy_directions`.
    """
    rows, item_N = check_windows(activations, windows), checked_items(activations, items)
    for model in models:
        known = sorted(set(model.items) & set(item_N.tolist()))
        if known:
            raise InputError(
                f"transfer: {len(known)} items, such as '{known[0]}', made the directions of "
                f"{model.source}; read them on others"
            )
    unit_N = item_N[rows["row"].to_numpy()]
    found: list[dict[str, Any]] = []
    for site in dict.fromkeys(site for model in models for _, site in model.directions):
        keys = [
            (model, label)
            for model in models
            for label, at in model.directions
            if at == site and 0 < int((rows["label"] == label).sum()) < len(rows)
        ]
        units = [model.directions[label, site].vector_D for model, label in keys]
        width = activations.of(site, 0).shape[1]
        if any(len(unit_D) != width for unit_D in units):
            raise InputError(
                f"transfer: directions of width {len(units[0])} at {site}, activations of {width}; "
                "they are of models of another width"
            )
        read_KD = torch.cat(
            [
                torch.empty(0, width),
                *(u[None] for u in units),
                random_directions(n_random, width, seed),
            ]
        ).double()
        scores_NK = np.empty((len(rows), len(read_KD)))
        for row, place_N in rows.reset_index(drop=True).groupby("row").indices.items():
            acts_TD = activations.of(site, int(row)).double()
            for place in place_N:
                start, stop = rows.iloc[place][["start", "stop"]]
                scores_NK[place] = (read_KD @ acts_TD[start:stop].mean(0)).numpy()
        for column, (model, label) in enumerate(keys):
            is_label_N = (rows["label"] == label).to_numpy()
            null_K = auroc_columns(scores_NK[:, len(keys) :], is_label_N) if n_random else [np.nan]
            statistic = weighted_auroc(scores_NK[:, column], is_label_N)
            interval = hierarchical_bootstrap(statistic, {"item": unit_N}, n_boot=n_boot, seed=seed)
            found.append(
                {
                    "source": model.source,
                    "target": target,
                    "label": label,
                    "site": str(site),
                    **interval.columns(),
                    "random_95": float(np.quantile(np.maximum(null_K, 1 - np.array(null_K)), 0.95)),
                    "n_windows": int(is_label_N.sum()),
                    "n_others": int((~is_label_N).sum()),
                }
            )
    if not found:
        raise InputError("transfer: no label of the windows has a direction and others beside it")
    return pd.DataFrame(found)


def _corrected(a_2SD: np.ndarray, b_2SD: np.ndarray) -> float:
    if a_2SD.shape[1] != b_2SD.shape[1]:
        raise InputError(
            f"cosine table: {a_2SD.shape[1]} and {b_2SD.shape[1]} splits; make both with the same"
        )
    there_S = ~(np.isnan(a_2SD).any((0, 2)) | np.isnan(b_2SD).any((0, 2)))
    if 2 * there_S.sum() < len(there_S):
        return float("nan")
    a, b = a_2SD[:, there_S], b_2SD[:, there_S]
    between = float((a * b[::-1]).sum()) / 2
    within = float((a[0] * a[1]).sum()), float((b[0] * b[1]).sum())
    if min(within) <= 0:
        return float("nan")
    return between / float(np.sqrt(within[0] * within[1]))
