"""What most of k sampled replies say: abstention that one sample hides, or that votes bring out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from interp.behavior.grading.outcomes import Outcome
from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError
from interp.stats import hierarchical_bootstrap, weighted_mean

SAMPLE_COLUMNS = ("prompt_id", "group", "mode", "vote", "outcome")
KS = (1, 2, 4, 8)
MEASURES = (*get_args(Outcome), "tied")


def majority_votes(
    samples: pd.DataFrame, ks: Sequence[int] = KS, *, seed: int = 0, n_orders: int = 16
) -> pd.DataFrame:
    """Outcome of the vote among k of each prompt's samples, over many choices of the k.

    The k are neighbours in a ring of the samples, at each of its places, in `n_orders` random
    rings: so each sample votes equally often, and k = 1 and k = all are exact. In a tie each of the
    answers with most votes wins with equal chance.

    Args:
        samples: one row a sampled reply: prompt_id, mode, vote (what it says, such as the
            normalised answer; abstentions share one), outcome of that vote.
        ks: sizes of the vote.
        seed: of the rings.
        n_orders: rings.

    Returns:
        One row a mode, prompt and k: mode, prompt_id, k, the chance of each outcome ("abstain",
        "correct", "wrong"), and tied, the chance of a tie at the top.

    Raises:
        InputError: no rows, a missing column or vote, an outcome of another name, a vote of two
            outcomes in one prompt, a k below 1 or above a prompt's samples.
    """
    _check(samples, ks)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for (mode, prompt), said in samples.groupby(["mode", "prompt_id"], sort=False):
        vote_S, labels = pd.factorize(said["vote"])
        outcomes = said.groupby("vote")["outcome"].first()
        is_L = np.array([[outcomes[x] == name for name in get_args(Outcome)] for x in labels])
        ring_OS = rng.permuted(np.tile(vote_S, (n_orders, 1)), axis=1)
        one_hot_OSL = np.eye(len(labels))[ring_OS]
        for k in ks:
            if k > len(said):
                raise InputError(
                    f"majority vote, prompt {prompt}, mode {mode}: {len(said)} samples, k is {k}; "
                    "sample more replies or ask for a smaller k."
                )
            counts_OSL = sum(np.roll(one_hot_OSL, -shift, axis=1) for shift in range(k))
            top_OSL = counts_OSL == counts_OSL.max(-1, keepdims=True)
            n_top_OS = top_OSL.sum(-1)
            chance_L = (top_OSL / n_top_OS[..., None]).mean((0, 1))
            shares = dict(zip(get_args(Outcome), (chance_L @ is_L).tolist(), strict=True))
            tied = {"tied": float((n_top_OS > 1).mean())}
            rows.append({"mode": mode, "prompt_id": prompt, "k": k} | shares | tied)
    return pd.DataFrame(rows)


def majority_table(
    samples: pd.DataFrame,
    *,
    units: Sequence[str],
    ks: Sequence[int] = KS,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Majority@k: outcomes of the vote among k samples by group, with intervals.

    Abstention on unknown questions that grows with k is there in the samples and lost in the one
    that is read; TruthRL (arXiv 2509.25760) sees the growth vanish with fine-tuning.

    Args:
        samples: as for `majority_votes`, with group and the units, both the same for all samples of
            a prompt.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",).
        ks: sizes of the vote.
        seed: of the rings and the bootstrap.
        n_boot: resamples.

    Returns:
        Columns mode, group, k, measure ("abstain", "correct", "wrong", "tied"), estimate, lo, hi
        (95%, `hierarchical_bootstrap`), n (prompts).

    Raises:
        InputError: as `majority_votes`, no units, or a prompt with two groups or units.
    """
    check_columns("samples", samples, (*SAMPLE_COLUMNS, *units), units)
    votes = majority_votes(samples, ks, seed=seed)
    places = samples[["mode", "prompt_id", "group", *units]].drop_duplicates()
    places = places.loc[:, ~places.columns.duplicated()]
    torn = places.duplicated(["mode", "prompt_id"])
    if torn.any():
        raise InputError(
            f"samples, prompt {places[torn]['prompt_id'].iloc[0]}: its rows differ in group or "
            f"{', '.join(units)}; expected one of each a prompt."
        )
    placed = votes.merge(places, on=["mode", "prompt_id"], validate="many_to_one")
    rows: list[dict[str, Any]] = []
    for (mode, group, k), here in placed.groupby(["mode", "group", "k"], sort=False):
        levels = {unit: here[unit].to_numpy() for unit in units}
        for measure in MEASURES:
            value = hierarchical_bootstrap(
                weighted_mean(here[measure].to_numpy()), levels, n_boot=n_boot, seed=seed
            )
            place = {"mode": mode, "group": group, "k": k, "measure": measure}
            rows.append(place | value.columns() | {"n": len(here)})
    return pd.DataFrame(rows)


def _check(samples: pd.DataFrame, ks: Sequence[int]) -> None:
    needed = ("prompt_id", "mode", "vote", "outcome")
    check_columns("samples", samples, needed, ("prompt_id",))
    if not ks or min(ks) < 1:
        raise InputError(f"majority vote: k is {list(ks)}; expected sizes of 1 and more.")
    check_outcomes("samples", samples)
    if samples["vote"].isna().any():
        first = samples["prompt_id"][samples["vote"].isna()].iloc[0]
        raise InputError(f"samples, prompt {first}: no vote; expected what it answered.")
    kinds = samples.groupby(["mode", "prompt_id", "vote"], sort=False)["outcome"].nunique()
    if (kinds > 1).any():
        mode, prompt, vote = kinds.index[kinds > 1][0]
        raise InputError(
            f"samples, prompt {prompt}, mode {mode}: the vote {vote!r} has two outcomes; give "
            "equal replies equal grades, or different votes."
        )
