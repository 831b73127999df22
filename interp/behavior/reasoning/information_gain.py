"""What each step of a chain does to the probability of the answer: information gain, made safe.

Source: Wu et al., arXiv 2506.02126 (UCSC-VLAA/ReasoningEval). A separate scorer model reads the
question and the steps s_1..s_i; its perplexity of the right answer A* is PPL_i, and

    InfoGain = (1/t) sum_i (PPL_{i-1} - PPL_i) = (PPL_0 - PPL_t) / t:

the sum telescopes. What stands in it besides the two ends is t alone, and it is not on a scale that
items share: an answer that is hopeless without the chain has a PPL_0 of thousands. Their code has
further traps: its perplexity runs over the whole text, question and steps included, so that fluent
steps count as information; it divides by t + 1. Here only the tokens of the answer count.

What length alone changes, for steps appended that tell the scorer nothing:
- `published` is divided by a larger t: a longer chain "informs less". So is any mean over steps,
  such as `share_rising`;
- `gain` = (log p_t - log p_0) per answer token does not change, nor do `rising`, `falling`,
  `positive_share`, `steps_for_half` (a number of steps) and the two ends.

Direction: a gain near 0 means that, for this scorer, the chain has nothing to do with the answer;
it says nothing of whether the model that wrote the chain used it (`truncation`, `perturbing` do).
A gain that the shuffled steps keep comes from words that steps have, not from their order; one that
steps of another item have as well comes from text of that length and kind, not from this chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.calibration.forced_confidence import reply_confidence
from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.reasoning.trials import Trials
from interp.behavior.tables import check_columns
from interp.checkpoints import LoadedModel
from interp.errors import InputError

MEASURES = (
    *("gain", "published", "ppl_0", "ppl_t", "steps", "rising", "falling"),
    *("positive_share", "share_rising", "steps_for_half"),
)
_ITEM = ["prompt_id", "sample", "arm"]


def score_targets(
    scorer: LoadedModel, asked: Trials, targets: Sequence[str], *, token_budget: int = 8192
) -> pd.DataFrame:
    """How likely each target is behind its trial.

    Returns:
        Columns logprob (nats, of all tokens of the target) and tokens (of the target).

    Raises:
        InputError: as `reply_confidence`, such as for a trial beyond the scorer's context.
    """
    read = reply_confidence(scorer, asked.prompts, targets, token_budget=token_budget)
    return pd.DataFrame({"logprob": read["reply_logprob"], "tokens": read["reply_tokens"]})


def scored_steps(scorer: LoadedModel, asked: Trials, *, token_budget: int = 8192) -> pd.DataFrame:
    """The trials of `gain_trials` with logprob and tokens of A*, and scorer, its name.

    The scorer is none of the models whose chains are compared, and the same for all of them.

    Args:
        scorer: the model that scores.
        asked: from `gain_trials`.
        token_budget: most tokens in a forward, padding included.

    Raises:
        InputError: as `score_targets`.
    """
    targets = asked.frame["target"].tolist()
    read = score_targets(scorer, asked, targets, token_budget=token_budget)
    return asked.frame.assign(**read, scorer=scorer.checkpoint.name)


def step_gains(scored: pd.DataFrame) -> pd.DataFrame:
    """The step form: dI_i = log p(A* | Q, s_1..s_i) - log p(A* | Q, s_1..s_{i-1}), per token.

    Args:
        scored: one row a trial: prompt_id, sample, arm, step (0..t, all of them), logprob, tokens.

    Returns:
        The rows of steps 1..t with gain, in nats per answer token.

    Raises:
        InputError: no rows, a missing column, a chain that lacks a step or whose tokens differ, or
            a log probability that is none.
    """
    check_columns("scored steps", scored, (*_ITEM, "step", "logprob", "tokens"), ("prompt_id",))
    key = _key(scored)
    ordered = scored.sort_values([*key, "step"], kind="stable").reset_index(drop=True)
    groups = ordered.groupby(key, sort=False)
    broken = (groups.cumcount() != ordered["step"]) | (ordered["tokens"] < 1)
    broken |= groups["tokens"].transform("nunique") != 1
    broken |= (groups["step"].transform("max") < 1) | ~np.isfinite(ordered["logprob"])
    if broken.any():
        row = ordered[broken].iloc[0]
        raise InputError(
            f"scored steps, prompt {row['prompt_id']}, arm {row['arm']}: step {row['step']} with "
            f"{row['tokens']} tokens and log probability {row['logprob']}; expected steps 0, 1, "
            "..., one number of answer tokens, and finite log probabilities"
        )
    moved = groups["logprob"].diff() / ordered["tokens"]
    return ordered.assign(gain=moved)[ordered["step"] > 0].reset_index(drop=True)


def information_gain(scored: pd.DataFrame) -> pd.DataFrame:
    """Every form of the gain of each chain and arm.

    Args:
        scored: as for `step_gains`; further columns that a chain's rows share are kept.

    Returns:
        One row a chain and arm: steps (t); ppl_0, ppl_t; published, the sum over steps in
        perplexities, divided by t; gain, in nats per answer token, not divided by t; rising and
        falling, the sums of steps that raise and that lower log p (gain is their difference);
        positive_share = rising / (rising + falling), NaN where no step moves it; share_rising, of
        the steps; steps_for_half, the fewest steps that together have half of rising (NaN if none
        rises): how much of the gain comes from how many steps.

    Raises:
        InputError: as `step_gains`.
    """
    gained = step_gains(scored)
    key = _key(scored)
    moves = dict(iter(gained.groupby(key, sort=False)["gain"]))
    shared = [name for name in scored.columns if name not in _OF_TRIAL]
    rows = []
    for item, chain in scored.sort_values([*key, "step"]).groupby(key, sort=False):
        per_token = (chain["logprob"] / chain["tokens"]).to_numpy()
        ppl_I, gain_T = np.exp(-per_token), moves[item].to_numpy()
        up, down = gain_T.clip(min=0), -gain_T.clip(max=0)
        moved = up.sum() + down.sum()
        largest = np.cumsum(np.sort(up)[::-1])
        half = 1 + np.searchsorted(largest, up.sum() / 2 * (1 - 1e-12)) if up.any() else np.nan
        forms = {
            "steps": len(gain_T),
            "ppl_0": ppl_I[0],
            "ppl_t": ppl_I[-1],
            "published": -np.diff(ppl_I).sum() / len(gain_T),
            "gain": per_token[-1] - per_token[0],
            "rising": up.sum(),
            "falling": down.sum(),
            "positive_share": up.sum() / moved if moved else np.nan,
            "share_rising": (gain_T > 0).mean(),
            "steps_for_half": half,
        }
        rows.append(dict(zip(shared, chain.iloc[0][shared], strict=True)) | forms)
    return pd.DataFrame(rows)


def gain_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    measures: Sequence[str] = MEASURES,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Means by model and arm; between models, and between the arms of a model, paired by chain.

    Args:
        items: as from `information_gain`, with model (who wrote the chains) and the units; where
            scorer stands there, it is the same for all and none of the models.
        units: as for `contrast_table`.
        against: the model that others are compared with.
        measures: some of `MEASURES`.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`, by arm; and rows whose arm is "own - shuffled" and "own -
        length_matched" (of the models by themselves), where there are such arms.

    Raises:
        InputError: several scorers, one that scores its own chains, or as `contrast_table`.
    """
    check_columns("gains", items, ("prompt_id", "model", "arm"), units)
    scorers = items["scorer"].unique().tolist() if "scorer" in items else []
    if len(scorers) > 1 or set(scorers) & set(items["model"]):
        raise InputError(
            f"gains: scored by {', '.join(map(str, scorers))}, of chains by "
            f"{', '.join(map(str, items['model'].unique()))}; expected one scorer that is none of "
            "these models"
        )
    of = {name: name for name in measures}
    fixed: dict[str, Any] = {"units": units, "seed": seed, "n_boot": n_boot}
    parts = [contrast_table(items, of, by=("arm",), against=against, **fixed)]
    for control in ("shuffled", "length_matched"):
        both = items[items["arm"].isin(["own", control])]
        if both["arm"].nunique() == 2:
            apart = contrast_table(
                both, of, factor="arm", by=("model",), against=control, **fixed
            ).query("against != ''")
            parts.append(apart.assign(arm=f"own - {control}", against=""))
    return pd.concat(parts, ignore_index=True)


_OF_TRIAL = ("trial_id", "step", "steps", "origin", "words", "logprob", "tokens")


def _key(scored: pd.DataFrame) -> list[str]:
    """Columns that tell chains and arms apart; model among them where several stand together."""
    return [name for name in ("model", *_ITEM) if name in scored]
