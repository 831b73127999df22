"""What holds of the latents that a search picked: on test rows, with intervals and baselines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.rows import Labels, labels_of, units_of
from interp.features.searching import search
from interp.stats import Weighted, auroc, hierarchical_bootstrap, weighted_auroc


def confirm(
    picked: pd.DataFrame,
    codes: SparseCodes,
    labels: Labels,
    levels: Mapping[str, Labels],
    *,
    seen: Labels,
    baselines: Mapping[str, np.ndarray] | None = None,
    kinds: Labels | None = None,
    generic: SparseCodes | None = None,
    max_generic: float = 0.02,
    q: float = 0.05,
    seed: int,
    n_boot: int = 5000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Reports latents that `search` picked on dev, on test rows that had no part in the choice.

    Args:
        picked: some rows of `search`'s table, of one direction.
        codes: of the test rows, by the same dictionary.
        labels: as in `search`.
        levels: as in `search`.
        seen: the lowest level's units (entities, pairs) that the choice was made on.
        baselines: a score for each test row, higher meaning unknown, that a latent is set beside:
            `dense_probe`, `token_lookup`.
        kinds: as in `search`.
        generic: as in `search`.
        max_generic: as in `search`.
        q: as in `search`, but over the picked latents alone.
        seed: of the resampling.
        n_boot: number of resamples.
        level: coverage of the intervals.

    Returns:
        `search`'s columns on the test rows, in the order picked, and `dev_separation`, `dev_auroc`,
        `separation_lo`, `separation_hi`, `auroc_lo`, `auroc_hi`
        (`interp.stats.hierarchical_bootstrap`), and for each baseline its AUROC, `NAME_auroc`, and
        by how much the latent's is above it on the same rows, `over_NAME`, `_lo`, `_hi`.

    Raises:
        InputError: nothing picked, or both directions; a unit that the choice was made on among
            the test rows; a baseline without one score a row; or as `search`.
    """
    label_N = labels_of(codes, labels)
    directions = set(picked["direction"])
    if len(directions) != 1:
        raise InputError(
            f"confirm: {len(picked)} latents picked, of the directions {sorted(directions)}; "
            "expected some, of one direction"
        )
    unit_N = units_of(codes, levels)
    again = sorted(set(unit_N.tolist()) & set(np.asarray(seen).tolist()), key=str)
    if again:
        raise InputError(
            f"confirm: {len(again)} units, {again[0]!r} first, are among the rows that the latents "
            "were picked on; split so that no unit is in both"
        )
    chosen = picked["latent"].to_numpy()
    table = search(
        codes.latents(chosen),
        label_N,
        levels,
        direction=directions.pop(),
        kinds=kinds,
        generic=None if generic is None else generic.latents(chosen),
        max_generic=max_generic,
        q=q,
    ).sort_values("latent", ignore_index=True)
    sought_N = label_N if (table["direction"] == "unknown").all() else ~label_N
    rivals = {
        name: (auroc(scores_N, label_N), weighted_auroc(scores_N, label_N))
        for name, scores_N in (baselines or {}).items()
    }
    rows = []
    for values_N in codes.dense(chosen).T:
        weighted = {
            "separation": _weighted_separation(values_N != 0, sought_N),
            "auroc": weighted_auroc(values_N, sought_N),
        }
        for name, (_, rival) in rivals.items():
            weighted[f"over_{name}"] = _difference(weighted["auroc"], rival)
        row = {f"{name}_auroc": value for name, (value, _) in rivals.items()}
        for name, statistic in weighted.items():
            found = hierarchical_bootstrap(
                statistic, levels, n_boot=n_boot, seed=seed, level=level, strata=sought_N
            )
            row |= found.columns(name)
        rows.append(row)
    measured = pd.DataFrame(rows)
    kept = {"latent": chosen, "dev_separation": picked["separation"], "dev_auroc": picked["auroc"]}
    table = table.assign(**{name: np.asarray(value) for name, value in kept.items()})
    return table.join(measured.drop(columns=["separation", "auroc"]))


def _weighted_separation(active_N: np.ndarray, label_N: np.ndarray) -> Weighted:
    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        rates = []
        for class_N in (label_N, ~label_N):
            weights = weights_BN[:, class_N]
            with np.errstate(invalid="ignore"):
                rates.append(weights @ active_N[class_N] / weights.sum(1))
        return rates[0] - rates[1]

    return statistic


def _difference(ours: Weighted, theirs: Weighted) -> Weighted:
    return lambda weights_BN: ours(weights_BN) - theirs(weights_BN)
