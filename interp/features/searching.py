"""Which latents say "I don't know this": every latent scored, to be picked from on dev."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.ranks import mann_whitney, p_of_units
from interp.features.rows import Labels, labels_of, one_each, units_of
from interp.stats import benjamini_hochberg

Direction = Literal["unknown", "known"]
Effect = Literal["separation", "auroc", "cohens_d"]
EFFECTS: tuple[Effect, ...] = ("separation", "auroc", "cohens_d")
_NO_EFFECT: dict[Effect, float] = {"separation": 0.0, "auroc": 0.5, "cohens_d": 0.0}


def search(
    codes: SparseCodes,
    labels: Labels,
    levels: Mapping[str, Labels],
    *,
    direction: Direction = "unknown",
    kinds: Labels | None = None,
    generic: SparseCodes | None = None,
    max_generic: float = 0.02,
    q: float = 0.05,
    rank_by: Effect = "separation",
) -> pd.DataFrame:
    """Scores every latent for telling unanswerable from answerable, on the rows to choose by.

    The separation score is the difference between the classes in how often a latent fires; the
    worst kind of entity counts, and latents that fire on generic text are left out (Ferrando et
    al. 2024, "Do I Know This Entity?", arXiv 2411.14257). Beside it stand AUROC and Cohen's d
    (pooled variance), which also see how strongly it fires.

    Each p is of a two-sided Mann-Whitney test (normal approximation, ties and continuity
    corrected) on one mean code for the rows of a class in a unit, since rows of one entity are
    not independent. Units are taken as independent; the intervals of `confirm` know more levels.

    Args:
        codes: of the rows to choose by (dev), at one position each.
        labels: True where the model should abstain (unknown).
        levels: unit of each row, by the name of the level, from the top (scenario, entity, ...).
        direction: "unknown" seeks latents that fire where it should abstain, "known" those that
            fire where it should answer (inhibitors of abstention); effects are positive, and
            AUROCs above 0.5, in the direction that is sought.
        kinds: scenario or entity type of each row; each must have rows of both classes.
        generic: codes of generic text (tokens of a pre-training corpus) by the same dictionary.
        max_generic: frequency there from which a latent counts as unspecific.
        q: false discovery rate (Benjamini-Hochberg over all M latents, those that never fire
            having p = 1).
        rank_by: what the order goes by, in its worst kind.

    Returns:
        A row a latent, those that pass first, the best first: latent, direction,
        frequency_unknown, frequency_known, frequency_generic (NaN without `generic`), separation,
        auroc, cohens_d, the same in the worst kind (`worst_...`, each in the kind where it is
        least), worst_kind (of `rank_by`), p, q, passes (specific, significant, and all three
        effects of the sought sign in every kind).

    Raises:
        InputError: labels, levels or kinds that do not fit the rows, a class missing (in a kind,
            too), or generic codes of another dictionary.
    """
    label_N = labels_of(codes, labels)
    unit_N = units_of(codes, levels)
    kind_N = np.full(len(codes), "all") if kinds is None else one_each(codes, kinds, "kinds")
    sought_N = label_N if direction == "unknown" else ~label_N
    effects = _effects(codes, sought_N)
    by_kind = {}
    for kind in pd.unique(kind_N):
        of_kind_N = kind_N == kind
        if label_N[of_kind_N].all() or not label_N[of_kind_N].any():
            raise InputError(
                f"search: all rows of the kind {kind} have the label {label_N[of_kind_N][0]}; "
                "the worst kind needs both classes in each, so drop or merge it"
            )
        by_kind[kind] = _effects(codes.rows(of_kind_N), sought_N[of_kind_N])
    worst = {name: np.min([part[name] for part in by_kind.values()], axis=0) for name in EFFECTS}
    worst_kind = np.argmin([part[rank_by] for part in by_kind.values()], axis=0)
    p_M = p_of_units(codes, sought_N, unit_N)
    q_M = benjamini_hochberg(p_M)
    generic_M = np.full(codes.n_latents, np.nan)
    if generic is not None:
        if generic.n_latents != codes.n_latents:
            raise InputError(
                f"search: generic codes over {generic.n_latents} latents, the others over "
                f"{codes.n_latents}; encode both by one dictionary"
            )
        generic_M = generic.frequency
    passes_M = (q_M < q) & ~(generic_M >= max_generic)
    for name in EFFECTS:
        passes_M &= worst[name] > _NO_EFFECT[name]
    table = pd.DataFrame(
        {
            "latent": np.arange(codes.n_latents),
            "direction": direction,
            "frequency_unknown": codes.rows(label_N).frequency,
            "frequency_known": codes.rows(~label_N).frequency,
            "frequency_generic": generic_M,
            **{str(name): value for name, value in effects.items()},
            **{f"worst_{name}": value for name, value in worst.items()},
            "worst_kind": np.array(list(by_kind), dtype=object)[worst_kind],
            "p": p_M,
            "q": q_M,
            "passes": passes_M,
        }
    )
    order = ["passes", f"worst_{rank_by}", "auroc"]
    return table.sort_values(order, ascending=False, kind="stable", ignore_index=True)


def _effects(codes: SparseCodes, label_N: np.ndarray) -> dict[Effect, np.ndarray]:
    """Every effect of a label on every latent."""
    sums, squares, frequency = [], [], []
    for class_N in (label_N, ~label_N):
        part = codes.rows(class_N)
        frequency.append(part.frequency)
        value_E = part.value.astype(float)
        mean_M = np.bincount(part.index, value_E, part.n_latents) / len(part)
        apart_M = np.bincount(part.index, (value_E - mean_M[part.index]) ** 2, part.n_latents)
        sums.append(mean_M)
        squares.append(apart_M + (1 - part.frequency) * len(part) * mean_M**2)
    difference_M = sums[0] - sums[1]
    deviation_M = np.sqrt((squares[0] + squares[1]) / max(len(codes) - 2, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        cohens_d_M = np.where(difference_M == 0, 0.0, difference_M / deviation_M)
    return {
        "separation": frequency[0] - frequency[1],
        "auroc": mann_whitney(codes, label_N)[0],
        "cohens_d": cohens_d_M,
    }
