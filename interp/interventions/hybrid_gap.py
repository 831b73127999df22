"""The share of the way from a base model to its reasoning descendant that a hybrid goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from interp.activations import Site
from interp.behavior import Decoding, Reply, replies
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions.hybrid import hybrid_replies
from interp.interventions.hybrid_steps import ARMS, Categorise, Written
from interp.interventions.strategy_steering import in_order
from interp.prompts import PromptSet
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_mean, weighted_ratio

BASE, THINK = "base", "think"
ITEM_COLUMNS = (
    "prompt_id",
    "item",
    "sample",
    "arm",
    "draw",
    "correct",
    "n_steps",
    "n_steered",
    "oracle_bits",
    "timing_bits",
)


def hybrid_items(
    base: LoadedModel,
    thinker: LoadedModel,
    prompts: PromptSet,
    decoding: Decoding,
    written: Written,
    categorise: Categorise,
    site: Site,
    correct_of: Callable[[list[Reply]], Sequence[bool]],
    *,
    oracle: Mapping[str, Sequence[int]] | None = None,
    n_draws: int = 5,
    seed: int = 0,
    token_budget: int = 8192,
) -> pd.DataFrame:
    """Every arm on the same prompts: the two models, the hybrid, and what it is compared with.

    Random timing steers the share of steps that the full arm did. An arm that lacks what it needs
    (a bias, an oracle) is left out.

    Args:
        base: as for `hybrid_replies`, like all that is not here.
        thinker: its replies are the arm "think", to prompts in its own chat template.
        prompts: not those that layers, vectors or coefficients were chosen on.
        decoding: of all arms.
        written: into the base model.
        categorise: category of the thinker's state.
        site: of that state.
        correct_of: which replies are right.
        oracle: by prompt id, the category of each step.
        n_draws: of the random arms.
        seed: of the first draw.
        token_budget: of a batch.

    Returns:
        One row a reply, columns `ITEM_COLUMNS`: `item` is the prompt's entity or pair; bits as
        from `advice_bits`, and 0 of what an arm does not take from the thinker.

    Raises:
        InputError: `n_draws` below 1, not one mark a reply, or as `hybrid_replies`.
    """
    if n_draws < 1:
        raise InputError(f"hybrid items: n_draws is {n_draws}; expected at least 1")
    items = dict(zip(prompts.frame["prompt_id"], prompts.groups, strict=True))
    frames = []

    def add(arm: str, draw: int, found: list[Reply], bits: pd.DataFrame | None = None) -> None:
        correct = correct_of(found)
        if len(correct) != len(found):
            raise InputError(f"hybrid items: {len(correct)} marks for {len(found)} replies")
        frame = pd.DataFrame(
            {
                "prompt_id": [reply.prompt_id for reply in found],
                "item": [items[reply.prompt_id] for reply in found],
                "sample": [reply.sample for reply in found],
                "arm": arm,
                "draw": draw,
                "correct": np.asarray(correct, dtype=bool),
                "n_steps": [len(reply.tokens) + (reply.ending == "end") for reply in found],
            }
        )
        if bits is None:
            frame = frame.assign(n_steered=0, oracle_bits=0.0, timing_bits=0.0)
        else:
            counted = bits.drop(columns="n_steps")
            frame = frame.merge(counted, on=["prompt_id", "sample"], validate="one_to_one")
        frames.append(frame[list(ITEM_COLUMNS)])

    for arm, model in ((BASE, base), (THINK, thinker)):
        add(arm, 0, in_order(replies(model, prompts, decoding, token_budget=token_budget)))
    share = None
    for arm in ARMS:
        lacks = {"bias_only": written.bias is None, "oracle": oracle is None}
        for draw in range(n_draws if arm.startswith("random") else 1):
            if lacks.get(arm):
                continue
            hybrid = hybrid_replies(
                base,
                thinker,
                prompts,
                decoding,
                written,
                categorise,
                site,
                arm=arm,
                share=share,
                oracle=oracle,
                seed=seed + draw,
                token_budget=token_budget,
            )
            share = hybrid.share_steered if arm == "full" else share
            n_categories = 1 if arm == "bias_only" else len(written.directions)
            bits = advice_bits(hybrid.steps, n_categories, timed=arm != "random_timing")
            add(arm, draw, hybrid.replies, bits)
    return pd.concat(frames, ignore_index=True)


def advice_bits(steps: pd.DataFrame, n_categories: int, *, timed: bool = True) -> pd.DataFrame:
    """What the thinker tells the base model: bits of each reply.

    `oracle_bits`: at each steered step which of K categories, log2 K bits, and which coefficient,
    the entropy of the coefficients of that category over all the steps (0 where each category has
    one). `timing_bits`: which of the reply's steps, log2 of (n_steps choose n_steered).

    Args:
        steps: columns prompt_id, sample, steered, category, coefficient; one row a step.
        n_categories: K; 1 where the category says nothing.
        timed: False where chance chose the steps.

    Returns:
        Columns prompt_id, sample, n_steps, n_steered, oracle_bits, timing_bits.

    Raises:
        InputError: K is below 1 or below the categories there are.
    """
    steered = steps[steps["steered"]]
    n_found = 1 if n_categories == 1 else int(steered["category"].max() + 1 if len(steered) else 0)
    if n_categories < max(1, n_found):
        raise InputError(f"advice bits: {n_categories} categories; expected {max(1, n_found)}")
    entropy = steered.groupby("category")["coefficient"].agg(_entropy)
    bits_S = np.zeros(len(steps))
    bits_S[steps["steered"]] = np.log2(n_categories) + entropy.reindex(steered["category"])
    by_reply = steps.assign(oracle_bits=bits_S).groupby(["prompt_id", "sample"], sort=False)
    found = by_reply.agg(
        n_steps=("steered", "size"),
        n_steered=("steered", "sum"),
        oracle_bits=("oracle_bits", "sum"),
    ).reset_index()
    n, k = found["n_steps"], found["n_steered"]
    choices = (gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)) / np.log(2)
    return found.assign(timing_bits=choices.clip(lower=0) if timed else 0.0)


def gap_table(items: pd.DataFrame, *, seed: int, n_boot: int = 2000) -> pd.DataFrame:
    """Accuracy of each arm and the share of the gap it recovers: (arm - base) / (think - base).

    Args:
        items: as from `hybrid_items`; draws and samples of a prompt are averaged.
        seed: of the intervals.
        n_boot: resamples of the items; numerator and denominator are resampled together.

    Returns:
        Columns arm, accuracy, gap (think - base), recovered, share_steered (each with _lo and
        _hi), oracle_bits, timing_bits (means a reply), n_prompts, n_replies. The limits of
        `recovered` are NaN where those of the gap hold 0: a share of nothing.

    Raises:
        InputError: a missing column, no arm "base" or "think", or an arm that lacks a prompt.
    """
    missing = [name for name in ITEM_COLUMNS if name not in items]
    arms = [] if missing else list(dict.fromkeys(items["arm"]))
    if missing or not {BASE, THINK} <= set(arms):
        raise InputError(
            f"gap table: columns missing: {', '.join(missing) or 'none'}; arms: "
            f"{', '.join(arms) or 'none'}; expected '{BASE}' and '{THINK}' among them"
        )
    correct = items.pivot_table("correct", "prompt_id", "arm", aggfunc="mean", sort=True)
    if correct.isna().any(axis=None):
        lacking = str(correct.columns[correct.isna().any()][0])
        raise InputError(f"gap table: the arm '{lacking}' lacks prompts that others have")
    of_prompt = items.drop_duplicates("prompt_id").set_index("prompt_id")["item"]
    levels = {"item": of_prompt.loc[correct.index].to_numpy()}

    def interval(statistic: Weighted) -> Interval:
        return hierarchical_bootstrap(statistic, levels, n_boot=n_boot, seed=seed)

    gap_N = (correct[THINK] - correct[BASE]).to_numpy()
    gap = interval(weighted_mean(gap_N))
    rows: list[dict[str, Any]] = []
    for arm in arms:
        of_arm = items[items["arm"] == arm]
        counts = of_arm.groupby("prompt_id")[["n_steered", "n_steps"]].sum().loc[correct.index]
        recovered = interval(weighted_ratio((correct[arm] - correct[BASE]).to_numpy(), gap_N))
        if not (gap.lo > 0 or gap.hi < 0):
            recovered = Interval(recovered.estimate, float("nan"), float("nan"))
        rows.append(
            {
                "arm": arm,
                **interval(weighted_mean(correct[arm].to_numpy(float))).columns("accuracy"),
                **gap.columns("gap"),
                **recovered.columns("recovered"),
                **interval(weighted_ratio(*counts.to_numpy(float).T)).columns("share_steered"),
                "oracle_bits": float(of_arm["oracle_bits"].mean()),
                "timing_bits": float(of_arm["timing_bits"].mean()),
                "n_prompts": len(correct),
                "n_replies": len(of_arm),
            }
        )
    return pd.DataFrame(rows)


def _entropy(values: pd.Series) -> float:
    share_V = values.value_counts(normalize=True).to_numpy()
    return float(-(share_V * np.log2(share_V)).sum()) + 0.0
