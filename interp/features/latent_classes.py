"""Classes of latents between two models: shared, reused, lost or new, with cut-offs from a null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from interp.errors import InputError
from interp.features.latent_scaling import LatentScaling


@dataclass(frozen=True)
class Cutoffs:
    """Below which a latent of one model counts as missing in the other.

    Attributes:
        nu_reconstruction: 0.5 as published.
        nu_error: 0.2 as published.
        own: share of the owner's strength from which the other model counts as writing the latent.
        null_rate: share of the null's latents that these call lost or new; NaN without a null.
    """

    nu_reconstruction: float = 0.5
    nu_error: float = 0.2
    own: float = 0.5
    null_rate: float = float("nan")

    @classmethod
    def from_null(
        cls,
        nulls: Sequence[LatentScaling],
        *,
        rate: float = 0.05,
        min_active: int = 20,
        first: int = 0,
        second: int = 1,
    ) -> Cutoffs:
        """The published cut-offs, shrunk together until the null passes.

        Args:
            nulls: of pairs in which nothing is lost or new: crosscoders over two copies, or seeds,
                of one model, or two dictionaries of one model (`scale_dictionaries`), from at
                least two seeds each. Their latents are pooled.
            rate: of the null's latents, at most, are lost or new.
            min_active: as in `classify`.
            first: model of the null that stands for the parent.
            second: for the child.

        Raises:
            InputError: no null, no active latent in it, or a rate outside [0, 1).
        """
        if not nulls or not 0 <= rate < 1:
            raise InputError(
                f"latent scaling: {len(nulls)} nulls at a rate of {rate}; expected at least one "
                "and a rate in [0, 1)."
            )
        table = pd.concat([classify(null, first, second, min_active=min_active) for null in nulls])
        table = table[table["class"] != "silent"]
        if table.empty:
            raise InputError(
                f"latent scaling: no latent of the null is active in {min_active} rows; give it "
                "more rows."
            )
        plain = cls()
        # A latent is lost or new once both cut-offs, times a common factor, lie above its ratios.
        factor_M = np.maximum(
            table["nu_reconstruction"] / plain.nu_reconstruction, table["nu_error"] / plain.nu_error
        ).where(~_written_by_both(table, plain), np.inf)
        factor = min(np.sort(factor_M)[int(rate * len(factor_M))], 1.0)
        return cls(
            plain.nu_reconstruction * factor,
            plain.nu_error * factor,
            null_rate=float((factor_M < factor).mean()),
        )


def classify(
    scaling: LatentScaling,
    parent: int = 0,
    child: int = 1,
    *,
    cutoffs: Cutoffs | None = None,
    min_active: int = 20,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row a latent: its class, and the ratios that it rests on with their intervals.

    - lost: the parent's, and the child has less than `nu_reconstruction` of it in its
      reconstruction and less than `nu_error` in what that leaves over. new: the same, the child's.
    - reused: both models write the latent, each along its own direction at least `own` as strongly
      as the owner, but less than that along the owner's direction: the same inputs, another
      meaning. Directions are compared as they are, so the models must share a basis.
    - shared: all others.
    - neither: of three models, the third's alone: at most `nu_error` of it in these two.
    - silent: active in fewer than `min_active` rows, so that nothing is known.

    Intervals are from a jackknife over folds, with Student's t.

    Args:
        scaling: of the two models, and perhaps others.
        parent: its place among the models.
        child: its place.
        cutoffs: as published, unless calibrated on a null.
        min_active: rows below which a latent is silent.
        level: coverage of the intervals.

    Returns:
        Columns latent, class, owner, n_active, cosine (of the two decoder vectors), relative_norm
        (0 the parent's alone, 1 the child's), and nu_reconstruction, nu_error, own_reconstruction,
        own_error, each also with _lo and _hi.

    Raises:
        InputError: a model that is not there, or one model twice.
    """
    models = len(scaling.gram_CCM)
    if parent == child or not {parent, child} <= set(range(models)):
        raise InputError(
            f"latent scaling: parent {parent} and child {child} of {models} models; expected two "
            f"different numbers from 0 to {models - 1}."
        )
    cutoffs = cutoffs or Cutoffs()
    length_CM = np.sqrt(np.einsum("ccm->cm", scaling.gram_CCM))
    longest_M = length_CM[[parent, child]].max(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine_M = scaling.gram_CCM[parent, child] / (length_CM[parent] * length_CM[child])
        relative_M = ((length_CM[child] - length_CM[parent]) / longest_M + 1) / 2
    table = pd.DataFrame(
        {
            "latent": np.arange(len(longest_M)),
            "owner": np.where(length_CM[child] > length_CM[parent], child, parent),
            "n_active": scaling.active_FM.sum(0).astype(int),
            "cosine": cosine_M,
            "relative_norm": relative_M,
        }
    )
    half = _half_widths(scaling, parent, child, level)
    for name, ratio_M in scaling.ratios(parent, child).items():
        table[name] = ratio_M
        table[f"{name}_lo"], table[f"{name}_hi"] = ratio_M - half[name], ratio_M + half[name]
    nu_r, nu_e = table["nu_reconstruction"], table["nu_error"]
    both = _written_by_both(table, cutoffs)
    missing = (nu_r < cutoffs.nu_reconstruction) & (nu_e < cutoffs.nu_error) & ~both
    turned = both & (nu_r < cutoffs.own) & (nu_e < cutoffs.own)
    faint = longest_M <= max(cutoffs.nu_error, 0) * length_CM.max(0)
    lost = missing & (table["owner"] == parent)
    found = np.select(
        [table["n_active"] < min_active, faint, turned, lost, missing],
        ["silent", "neither", "reused", "lost", "new"],
        "shared",
    )
    table.insert(1, "class", found)
    return table


def _written_by_both(table: pd.DataFrame, cutoffs: Cutoffs) -> pd.Series:
    return (table["own_reconstruction"] >= cutoffs.own) & (table["own_error"] >= cutoffs.own)


def _half_widths(
    scaling: LatentScaling, parent: int, child: int, level: float
) -> dict[str, np.ndarray]:
    """Half the interval of each ratio, from all folds but one, each in turn."""
    n_folds = len(scaling.square_FM)
    if n_folds < 2:
        return {
            name: np.full_like(ratio_M, np.nan)
            for name, ratio_M in scaling.ratios(parent, child).items()
        }
    left_out = [scaling.ratios(parent, child, 1 - fold_F) for fold_F in np.eye(n_folds)]
    factor = student.ppf((1 + level) / 2, n_folds - 1) * np.sqrt((n_folds - 1) ** 2 / n_folds)
    return {
        name: factor * np.std([ratios[name] for ratios in left_out], axis=0, ddof=1)
        for name in left_out[0]
    }
