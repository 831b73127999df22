"""How steering a strategy up and down changes how often it is used, and what is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from interp.activations import Site
from interp.behavior import Decoding, Reply, replies
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.errors import InputError
from interp.interventions.edits import Add
from interp.interventions.hooks import intervene
from interp.prompts import Encoded, PromptSet
from interp.stats import Interval, hierarchical_bootstrap, weighted_mean

LabelsOf = Callable[[list[Reply]], Sequence[Sequence[str]]]
"""Labels of the sentences of each reply."""
CorrectOf = Callable[[list[Reply]], Sequence[bool]]
"""Whether each reply is right."""


def steering_table(
    loaded: LoadedModel,
    prompts: PromptSet,
    directions: Mapping[str, Direction],
    decoding: Decoding,
    labels_of: LabelsOf,
    correct_of: CorrectOf,
    *,
    coefficients: Sequence[float] = (-1.0, 1.0),
    n_random: int = 20,
    seed: int,
    n_boot: int = 2000,
    token_budget: int = 8192,
) -> pd.DataFrame:
    """How often each strategy is used, and how often replies are right, with each steered.

    The vector is added at every token of prompt and reply, as in Venhoff et al. 2025. A reply's
    frequency of a label is its share of the reply's labelled sentences; changes are paired with
    the unsteered reply to the same prompt.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        directions: of each strategy, where it is to be added.
        decoding: how replies are drawn.
        labels_of: labels of the sentences of replies; of those that are not in `directions`, only
            the number counts.
        correct_of: which replies are right.
        coefficients: in units of each direction's norm; below 0 steers away.
        n_random: random directions of the same norm. Strategies of one site and norm share them.
        seed: of the random directions and of the intervals (by entity or pair of the prompts).
        n_boot: resamples.
        token_budget: of a batch.

    Returns:
        Columns steered (label; "" for no steering), coefficient, kind ("none", "strategy",
        "random"), draw, measure (label or "accuracy"), estimate, lo, hi, change, change_lo,
        change_hi (against no steering; without limits for random draws, which are the null), p
        ((1 + random draws that change as much, either way) / (1 + draws)), n (replies of the
        change), n_unlabelled (replies without a labelled sentence, left out of frequencies).

    Raises:
        InputError: no directions or coefficients, a coefficient of 0, not one list of labels and
            one mark a reply, or as `replies`.
    """
    if not directions or not coefficients or 0 in coefficients:
        raise InputError(
            f"steering table: {len(directions)} directions, coefficients {list(coefficients)}; "
            "expected one or more of each, none of them 0, which is always run"
        )
    labels = list(directions)
    groups_N = np.repeat(prompts.groups, decoding.samples)

    def measured(site: Site | None, vector_D: Tensor | None, dose: float) -> dict[str, np.ndarray]:
        edits = None
        if site is not None and vector_D is not None:
            add = Add(site, vector_D, dose)

            def edits(encoded: Encoded, rows: list[int]) -> Any:
                everywhere_BT = encoded.attention_mask_BT.bool()
                return intervene(loaded, [add], everywhere_BT, generated=True)

        written = in_order(
            replies(loaded, prompts, decoding, token_budget=token_budget, edits=edits)
        )
        return _measures(written, labels, labels_of, correct_of)

    def rows_of(values: dict[str, np.ndarray], limits: bool, **keys: Any) -> list[dict[str, Any]]:
        return [
            keys
            | {"measure": name}
            | _summary(value_N, plain[name], groups_N, limits, n_boot=n_boot, seed=seed)
            for name, value_N in values.items()
        ]

    plain = measured(None, None, 0.0)
    rows = rows_of(plain, True, steered="", coefficient=0.0, kind="none", draw=0)
    nulls: dict[tuple[Site, float], list[dict[str, np.ndarray]]] = {}
    for label, direction in directions.items():
        for coefficient in coefficients:
            site, dose = direction.site, coefficient * direction.norm
            keys = {"steered": label, "coefficient": coefficient}
            if (site, dose) not in nulls:
                random_KD = random_directions(n_random, loaded.d_model, seed)
                nulls[site, dose] = [measured(site, random_D, dose) for random_D in random_KD]
            drawn: list[dict[str, Any]] = []
            for draw, null in enumerate(nulls[site, dose]):
                drawn += rows_of(null, False, **keys, kind="random", draw=draw)
            steered = measured(site, direction.vector_D, dose)
            for row in rows_of(steered, True, **keys, kind="strategy", draw=0):
                same = [abs(null["change"]) for null in drawn if null["measure"] == row["measure"]]
                # A null that leaves nothing labelled counts as one that reaches it.
                reached = sum(not change < abs(row["change"]) for change in same)
                p = (1 + reached) / (1 + n_random) if n_random else float("nan")
                rows.append(row | {"p": p})
            rows += drawn
    return pd.DataFrame(rows)


def in_order(batches: Iterator[tuple[int, list[int], list[Reply]]]) -> list[Reply]:
    """What `replies` yields, in the order of the prompts, the samples of each beside each other."""
    found = [pair for _, rows, batch in batches for pair in zip(rows, batch, strict=True)]
    return [reply for _, reply in sorted(found, key=lambda pair: (pair[0], pair[1].sample))]


def _measures(
    written: list[Reply], labels: Sequence[str], labels_of: LabelsOf, correct_of: CorrectOf
) -> dict[str, np.ndarray]:
    """Shares of each label, NaN without a labelled sentence, and whether each reply is right."""
    found, correct = labels_of(written), correct_of(written)
    if len(found) != len(written) or len(correct) != len(written):
        raise InputError(
            f"steering table: {len(found)} lists of labels and {len(correct)} marks for "
            f"{len(written)} replies; expected one each"
        )
    shares = {
        label: np.array([list(of).count(label) / len(of) if len(of) else np.nan for of in found])
        for label in labels
    }
    return shares | {"accuracy": np.asarray(correct, dtype=float)}


def _summary(
    value_N: np.ndarray, plain_N: np.ndarray, groups_N: np.ndarray, limits: bool, **options: Any
) -> dict[str, Any]:
    """The mean and its change, over the replies that have a value; without limits, no interval."""
    change_N, nan = value_N - plain_N, float("nan")
    row: dict[str, Any] = {}
    for name, of_N in ((None, value_N), ("change", change_N)):
        there_N = ~np.isnan(of_N)
        found = Interval(float(of_N[there_N].mean()) if there_N.any() else nan, nan, nan)
        if limits and there_N.any():
            levels = {"item": groups_N[there_N]}
            found = hierarchical_bootstrap(weighted_mean(of_N[there_N]), levels, **options)
        row |= found.columns(name)
    n_unlabelled = int(np.isnan(value_N).sum())
    return row | {"p": nan, "n": int((~np.isnan(change_N)).sum()), "n_unlabelled": n_unlabelled}
