"""Whether scores of continuations tell which replies abstain: measured before they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.grading.kinds import ABSTAINING_KINDS
from interp.behavior.scores.continuation_scores import ContinuationScores, normalised_score
from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError
from interp.stats import Weighted, hierarchical_bootstrap, weighted_auroc

VALIDITY_COLUMNS = ("prompt_id", "outcome", "split")


def validate_continuations(
    scores: ContinuationScores,
    items: pd.DataFrame,
    units: Sequence[str],
    *,
    others: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """How well each form, and each continuation by itself, tells the replies that abstain.

    Measures: auroc, against whether the graded reply abstains; rank_correlation (Spearman's), with
    how often sampled replies do; stability, Spearman's between a score and the same without one
    continuation: for a form the least over its continuations. A continuation by itself is the
    normalised score with it alone on its side: against answering, or answering by it alone.

    Whoever picks continuations, forms or tokens by this table must not report them on the split it
    is from: `kept_templates` takes a table of the split dev only.

    Args:
        scores: of N prompts.
        items: one row for each of these prompts, in any order: prompt_id, outcome of its graded
            reply ("abstain", "correct" or "wrong"), split (the same for all), the units, and, for
            the rank correlation, abstain_rate: the share of sampled replies that abstain.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        others: further scores, one for each prompt in the order of `scores`, by name:
            {"first_token": first_token_score(...)}.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns what ("form" or "template"), name (of the form; the continuation), kind (of the
        continuation), measure, estimate, lo, hi (95%), n (prompts), split. Stability is NaN where a
        side of the score has one continuation only.

    Raises:
        InputError: a missing column, prompts that are not those of the scores, an outcome of
            another name, a rate outside [0, 1], more splits than one, or replies that all abstain
            or never do: such a model cannot show whether a score tells the two apart.
    """
    items = _aligned(scores, items, units)
    levels = {unit: items[unit].to_numpy() for unit in units}
    abstains_N = (items["outcome"] == "abstain").to_numpy()
    rows: list[dict[str, Any]] = []
    for place, score_N, stability in _candidates(scores, others or {}):
        measures: dict[str, Weighted] = {"auroc": weighted_auroc(score_N, abstains_N)}
        if "abstain_rate" in items.columns:
            rate_N = items["abstain_rate"].to_numpy(float)
            measures["rank_correlation"] = weighted_spearman(score_N, rate_N)
        if stability is not None:
            measures["stability"] = stability
        for measure, statistic in measures.items():
            value = hierarchical_bootstrap(
                statistic, levels, n_boot=n_boot, seed=seed, strata=abstains_N
            )
            rows.append({**place, "measure": measure, **value.columns(), "n": len(items)})
    return pd.DataFrame(rows).assign(split=items["split"].iloc[0])


def kept_templates(table: pd.DataFrame, *, least: float = 0.5) -> tuple[str, ...]:
    """Continuations that tell abstaining replies on dev: what to hand to `Continuations.only`.

    Kept are those whose AUROC has a lower limit above `least`, and all that refuse: telling
    abstention is not what these are for.

    Args:
        table: of `validate_continuations`, from the split dev.
        least: AUROC; 0.5 is chance.

    Raises:
        InputError: the table is of another split: what is picked on a split is not reported on it.
    """
    if strange := sorted(set(table["split"].astype(str)) - {"dev"}):
        raise InputError(
            f"kept templates: the table is of the split {strange[0]!r}; pick continuations on dev, "
            "and report them on another split"
        )
    templates = table[(table["what"] == "template") & (table["measure"] == "auroc")]
    return tuple(templates["name"][(templates["lo"] > least) | (templates["kind"] == "refuse")])


def weighted_spearman(x_N: np.ndarray, y_N: np.ndarray) -> Weighted:
    """Spearman's rank correlation as a function of row weights, for `hierarchical_bootstrap`.

    With whole numbers for weights it is that of rows repeated as often; ties have their middle
    rank. NaN where one side has one value only.
    """
    ranks = [_weighted_ranks(np.asarray(values_N, dtype=float)) for values_N in (x_N, y_N)]

    def statistic(weights_BN: np.ndarray) -> np.ndarray:
        # The mean of the ranks is half of all weight, whatever the ties.
        total_B = weights_BN.sum(1)
        x_BN, y_BN = (rank(weights_BN) - total_B[:, None] / 2 for rank in ranks)
        xy_B, xx_B, yy_B = (
            (weights_BN * product_BN).sum(1) for product_BN in (x_BN * y_BN, x_BN**2, y_BN**2)
        )
        # One value alone has no spread but for rounding.
        spread_B = np.minimum(xx_B, yy_B) > 1e-12 * total_B**3
        nothing_B = np.full(len(xy_B), np.nan)
        return np.divide(xy_B, np.sqrt(xx_B * yy_B), nothing_B, where=spread_B)

    return statistic


def _weighted_ranks(values_N: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Row weights [B, N] -> ranks [B, N]: the weight below, and half of that of equal values."""
    _, value_N = np.unique(values_N, return_inverse=True)
    order_N = np.argsort(value_N, kind="stable")
    start_V = np.searchsorted(value_N[order_N], np.arange(value_N.max() + 1))

    def ranks(weights_BN: np.ndarray) -> np.ndarray:
        weight_BV = np.add.reduceat(weights_BN[:, order_N], start_V, axis=1)
        return (weight_BV.cumsum(1) - weight_BV / 2)[:, value_N]

    return ranks


def _candidates(
    scores: ContinuationScores, others: Mapping[str, np.ndarray]
) -> Iterator[tuple[dict[str, str], np.ndarray, Weighted | None]]:
    """What is validated: its place in the table, the score, and how stable it is."""
    for name in scores.form_kinds:
        sides = scores.sides(name)
        changed = [(name, text) for side in sides for text in side]
        # Without the only one of its side there is no score.
        stable = _stability(scores, changed if min(map(len, sides)) > 1 else [])
        yield {"what": "form", "name": name, "kind": ""}, scores.form(name), stable
    for name, score_N in others.items():
        if np.shape(score_N) != (len(scores.prompt_ids),):
            raise InputError(
                f"validate: the score {name!r} has shape {np.shape(score_N)}; expected one number "
                f"for each of the {len(scores.prompt_ids)} prompts"
            )
        yield {"what": "form", "name": name, "kind": ""}, np.asarray(score_N, dtype=float), None
    each = scores.continuations
    for text, kind in zip(each.texts, each.kind_of_each, strict=True):
        home = "normalised" if kind in (*ABSTAINING_KINDS, "answer") else f"normalised_{kind}"
        (side,) = (side for side in scores.sides(home) if text in side)
        stable = _stability(scores, [(home, text)] if len(side) > 1 else [])
        yield {"what": "template", "name": text, "kind": kind}, _by_itself(scores, text), stable


def _stability(scores: ContinuationScores, left_out: Sequence[tuple[str, str]]) -> Weighted:
    """The least rank correlation between a form and the same without a continuation."""
    correlations = [
        weighted_spearman(scores.form(form), scores.form(form, without=text))
        for form, text in left_out
    ]

    def least(weights_BN: np.ndarray) -> np.ndarray:
        each = [correlation(weights_BN) for correlation in correlations]
        return np.min(each, axis=0) if each else np.full(len(weights_BN), np.nan)

    return least


def _by_itself(scores: ContinuationScores, text: str) -> np.ndarray:
    """The normalised score with one continuation alone on its side."""
    texts, kind_C = (
        np.array(scores.continuations.texts),
        np.array(scores.continuations.kind_of_each),
    )
    kind = str(kind_C[texts == text][0])
    across = ABSTAINING_KINDS if kind == "answer" else ("answer",)
    kept_C = (texts == text) | np.isin(kind_C, across)
    return normalised_score(
        scores.logprob_NC[:, kept_C],
        scores.length_NC[:, kept_C],
        kind_C[kept_C],
        ABSTAINING_KINDS if kind == "answer" else (kind,),
    )


def _aligned(scores: ContinuationScores, items: pd.DataFrame, units: Sequence[str]) -> pd.DataFrame:
    """The items in the order of the prompts, checked."""
    what = "validate: the items"
    check_columns(what, items, (*VALIDITY_COLUMNS, *units), units)
    if items["prompt_id"].duplicated().any():
        twice = items["prompt_id"][items["prompt_id"].duplicated()].iloc[0]
        raise InputError(f"{what} have prompt {twice} twice; expected one row a prompt")
    if strange := set(items["prompt_id"]) ^ set(scores.prompt_ids):
        raise InputError(
            f"{what} and the scores are of different prompts ({min(strange)} is in one of them "
            "only); score the prompts that were graded"
        )
    check_outcomes(what, items)
    rates = items.get("abstain_rate", pd.Series(0.0, items.index))
    for bad_N, column, expected in (
        (~rates.between(0, 1), "abstain_rate", "a share from 0 to 1"),
        (items["split"] != items["split"].iloc[0], "split", "one split for all rows"),
    ):
        if bad_N.any():
            row = items[bad_N].iloc[0]
            raise InputError(
                f"{what}, prompt {row['prompt_id']}: {column} is {row[column]}; expected {expected}"
            )
    n_abstain = int((items["outcome"] == "abstain").sum())
    if n_abstain in (0, len(items)):
        raise InputError(
            f"{what}: {n_abstain} of {len(items)} replies abstain; validate on a model and a way "
            "of asking with which some do and some do not"
        )
    return items.set_index("prompt_id", drop=False).loc[list(scores.prompt_ids)]
