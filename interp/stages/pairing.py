"""What one cell tells of a parent and its child: transfer, geometry, preservation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd
import pydantic

from interp.stages.reading import Cell, Readings
from interp.stats import Interval, auroc, hierarchical_bootstrap, weighted_auroc

if TYPE_CHECKING:
    from torch import Tensor

    from interp.probes import Alignment, Fold
    from interp.prompts import PromptSet, Target


Key = TypeVar("Key", bound=Hashable)


class TransferSettings(pydantic.BaseModel):
    """Folds, nulls and margins of the transfer stage."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    levels: tuple[str, ...] = ("scenario", "dataset", "pair")
    """Nested units that are resampled; the last one is what folds keep together."""
    n_splits: int = 5
    n_boot: int = 1000
    """Resamples behind each interval."""
    n_halvings: int = 50
    """Random halvings behind the cosine free of shared noise."""
    n_unrelated: int = 50
    """Concepts that mean nothing (labels shuffled) behind the null of a cosine."""
    margin: float = pydantic.Field(default=0.05, gt=0)
    """The largest loss or gain of AUROC that does not matter."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Both models' activations of one target's rows, and what all cells share.

    Attributes:
        parent, child: readings of the rows.
        ids: of the prompts.
        label_M: their classes.
        levels: nested units of the rows; the last one is what folds keep together.
        folds: outer folds, the same for both models.
        settings: resamples and margins.
        seed: of folds and resamples.
    """

    parent: Readings
    child: Readings
    ids: list[str]
    label_M: np.ndarray
    levels: dict[str, np.ndarray]
    folds: list[Fold]
    settings: TransferSettings
    seed: int

    @classmethod
    def of(
        cls,
        target: Target,
        prompts: PromptSet,
        parent: Readings,
        child: Readings,
        settings: TransferSettings,
        seed: int,
    ) -> Pair:
        """The rows of a target."""
        from interp.probes import grouped_folds
        from interp.prompts import levels_of

        rows_M, label_M = target.rows_M, target.labels_M
        levels = {
            name: unit_N[rows_M] for name, unit_N in levels_of(prompts, settings.levels).items()
        }
        group_M = levels[settings.levels[-1]]
        folds = grouped_folds(group_M, label_M, settings.n_splits, seed)
        ids = prompts.frame["prompt_id"].to_numpy()[rows_M].tolist()
        acts = parent.at(rows_M), child.at(rows_M)
        return cls(*acts, ids, label_M, levels, folds, settings, seed)

    @property
    def group_M(self) -> np.ndarray:
        """What folds keep together."""
        return list(self.levels.values())[-1]

    def acts(self, cell: Cell) -> tuple[Tensor, Tensor]:
        """The parent's and the child's activations."""
        return self.parent[cell], self.child[cell]

    def auroc(self, scores_M: np.ndarray) -> Interval:
        """AUROC of held-out scores with its interval."""
        return hierarchical_bootstrap(
            weighted_auroc(scores_M, self.label_M),
            self.levels,
            n_boot=self.settings.n_boot,
            seed=self.seed,
            strata=self.label_M,
        )

    def retained(
        self,
        parent_M: np.ndarray,
        child_M: np.ndarray,
        controls: Mapping[str, np.ndarray] | None = None,
    ) -> Interval:
        """What the child keeps of the parent's AUROC above the controls."""
        from interp.probes import rho

        return rho(
            parent_M,
            child_M,
            self.label_M,
            self.levels,
            controls=controls,
            seed=self.seed,
            n_boot=self.settings.n_boot,
        )

    def nested(self, acts: Mapping[Key, Tensor]) -> np.ndarray:
        """Held-out scores of features, each with the penalty that its inner folds chose."""
        from interp.probes import nested_scores

        return nested_scores(acts, self.label_M, self.group_M, self.folds, seed=self.seed).scores_KN


def transferred(
    pair: Pair, cell: Cell, aligned: Mapping[tuple[str, Cell], Alignment]
) -> pd.DataFrame:
    """One row a measure: zero-shot transfer both ways, after alignment, and geometry.

    `auroc`: the parent's probe in the child; `rho`: what is retained of its AUROC in the parent
    above a half; `back`: the child's probe in the parent; `orthogonal`, `affine`: the parent's
    probe in the child after an alignment on neutral prompts; `cosine`, `norm_ratio`: of the mean
    differences; `cosine_unbiased`: free of the noise that both share; `cosine_null`: cosines with
    the child's directions of shuffled labels, their mean and 95%; `cka`: debiased.
    """
    from interp.probes import debiased_cka, transfer_scores

    parent_MD, child_MD = pair.acts(cell)
    label_M = pair.label_M
    carried = transfer_scores(parent_MD, child_MD, label_M, pair.folds)
    values = {
        "auroc": pair.auroc(carried[1]),
        "rho": pair.retained(*carried),
        "back": pair.auroc(transfer_scores(child_MD, parent_MD, label_M, pair.folds)[1]),
    }
    for kind in ("orthogonal", "affine"):
        if (kind, cell) in aligned:
            mapped_MD = aligned[kind, cell].apply(child_MD, pair.ids)
            scores_M = transfer_scores(parent_MD, mapped_MD, label_M, pair.folds)[1]
            values[kind] = pair.auroc(scores_M)
    # What the rows of a group share would count as agreement.
    first_G = [*{group: row for row, group in reversed([*enumerate(pair.group_M)])}.values()]
    firsts = parent_MD[first_G], child_MD[first_G]
    # Below the first layer that sees the name all of these are the same at the end of a template.
    varied = all(bool((acts_GD != acts_GD[0]).any()) for acts_GD in firsts)
    values["cka"] = _exact(debiased_cka(*firsts) if varied else float("nan"))
    values |= _geometry(pair, cell)
    return pd.DataFrame(
        [{"measure": measure, **value.columns()} for measure, value in values.items()]
    )


def _geometry(pair: Pair, cell: Cell) -> dict[str, Interval]:
    """How the two mean differences compare; NaN where a model has none, as before a pair parts."""
    from interp.directions import (
        cosine,
        cosine_null,
        cross_validated_cosine,
        mean_difference,
        shuffled_over_groups,
    )

    parent_MD, child_MD = pair.acts(cell)
    label_M, group_M, settings = pair.label_M, pair.group_M, pair.settings
    if not (_differs(parent_MD, label_M) and _differs(child_MD, label_M)):
        names = ("cosine", "norm_ratio", "cosine_unbiased", "cosine_null")
        return {name: _exact(float("nan")) for name in names}
    site, position = cell
    of_parent, of_child = (
        mean_difference(acts_MD, label_M, site=site, position=position, source=source)
        for source, acts_MD in (("parent", parent_MD), ("child", child_MD))
    )
    unrelated_MK = shuffled_over_groups(label_M, group_M, settings.n_unrelated, pair.seed)
    null_K = cosine_null(parent_MD, child_MD, label_M, unrelated_MK)
    unbiased = cross_validated_cosine(
        parent_MD, child_MD, label_M, n_splits=settings.n_halvings, seed=pair.seed, groups=group_M
    )
    return {
        "cosine": _exact(cosine(of_parent, of_child)),
        "norm_ratio": _exact(of_child.norm / of_parent.norm),
        "cosine_unbiased": _exact(unbiased),
        "cosine_null": Interval(float(null_K.mean()), *np.quantile(null_K, [0.025, 0.975])),
    }


def _differs(acts_MD: Tensor, label_M: np.ndarray) -> bool:
    return bool((acts_MD[label_M].mean(0) != acts_MD[~label_M].mean(0)).any())


def preserved(pair: Pair, cell: Cell, controls: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row: each model by its own probe, their difference with its 90% interval, and rho.

    The test of equivalence (TOST) is passed where that interval lies within the margin.
    """
    from interp.probes import preservation

    parent_M, child_M = (pair.nested({"own": acts_MD})[0] for acts_MD in pair.acts(cell))
    found = preservation(
        parent_M,
        child_M,
        pair.label_M,
        pair.levels,
        margin=pair.settings.margin,
        seed=pair.seed,
        n_boot=pair.settings.n_boot,
    )
    kept = pair.retained(parent_M, child_M, controls)
    of_controls = [auroc(scores_M, pair.label_M) for scores_M in controls.values()]
    return pd.DataFrame(
        [
            {
                "parent_auroc": auroc(parent_M, pair.label_M),
                "child_auroc": auroc(child_M, pair.label_M),
                "control": max([0.5, *of_controls]),
                **found.difference.columns(),
                "margin": pair.settings.margin,
                "preserved": found.preserved,
                **kept.columns("rho"),
            }
        ]
    )


def control_scores(
    pair: Pair, surface: Mapping[str, Tensor], untrained: Readings
) -> dict[Cell, dict[str, np.ndarray]]:
    """Held-out scores of what a read-out must beat: words, their number, an untrained model."""
    rows_M = pair.parent.rows_M
    of_prompts = {name: pair.nested({name: acts[rows_M]})[0] for name, acts in surface.items()}
    random_KM = pair.nested(untrained.at(rows_M))
    return {
        cell: {**of_prompts, "random": random_M}
        for cell, random_M in zip(untrained.cells, random_KM, strict=True)
    }


def _exact(value: float) -> Interval:
    return Interval(value, float("nan"), float("nan"))
