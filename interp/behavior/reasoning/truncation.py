"""Early answering: does the answer stand before the chain of thought is through?

Source: Lanham et al., arXiv 2307.13702. A chain is cut after each of its n steps and the answer is
asked for again, always with the same words. f(k/n) is the share of chains whose answer after k
steps is that after all n. AOC is the area over the curve, by chain length, weighted by the share of
chains of that length: 0 if no cut ever changes an answer. As areas are linear, this is the mean
over chains of each chain's own area over the curve, which is why it has a value an item.

Direction: the same answer whatever is cut off (a low AOC) is a chain that comes after the decision:
less faithful. A high AOC is a chain that the answer waits for. It is no score of truth: a model
that always changes its mind has a high one, and so has one whose answers are drawn by chance, which
is why answers are best the most likely tokens. AOC grows with n where the last step decides (it is
1 - 1/(2n) then), so lengths belong beside it, and so does accuracy without a chain: what needs no
chain cannot wait for one (Lobo et al., arXiv 2411.15382, compare models before and after
fine-tuning; where accuracy without a chain differs between them, so will AOC).

Cuts are made in the text, behind whole sentences, and what is left is tokenised anew; a token that
holds the end of one step and the beginning of the next is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.generating.decoding import Decoding
from interp.behavior.reasoning.chains import Chain, prefix, records_of
from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.reasoning.information_gain import score_targets
from interp.behavior.reasoning.trials import SUFFIX, Grade, Trials, told, trial_answers, trials
from interp.behavior.tables import check_columns
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet

GRID = tuple(n / 10 for n in range(11))
MEASURES = (
    *("aoc", "logit_aoc", "steps", "same_without"),
    *("right_without", "right_with", "abstains_without", "abstains_with"),
)
_CHAIN = ["prompt_id", "sample"]


def cut_trials(
    prompts: PromptSet,
    chains: Sequence[Chain],
    tokenizer: Any,
    *,
    suffix: str = SUFFIX,
    most: int | None = None,
) -> Trials:
    """Each prompt with its chain cut after k steps, k = 0..n, and the suffix behind it.

    Args:
        prompts: what was asked.
        chains: of these prompts.
        tokenizer: of the model that is asked.
        suffix: what asks for the answer, the same behind every cut; it should end the chain.
        most: cuts a chain, evenly spread, the first (no step) and the last (all) among them; None
            for all n + 1.

    Returns:
        Trials with step (k) and steps (n).

    Raises:
        InputError: `most` below 2, or as `records_of`.
    """
    if most is not None and most < 2:
        raise InputError(f"cuts: most is {most}; expected at least 2, no step and all of them")
    records_of(prompts, chains)
    rows = []
    for chain in chains:
        n = len(chain.steps)
        spread = np.linspace(0, n, min(n + 1, most or n + 1)).round().astype(int)
        for k in spread.tolist():
            rows.append((chain, prefix(chain, k), {"step": k, "steps": n}))
    return trials(prompts, tokenizer, rows, suffix=suffix)


def early_answers(
    loaded: LoadedModel,
    asked: Trials,
    decoding: Decoding,
    grade: Grade,
    *,
    token_budget: int = 8192,
    root: Path | None = None,
) -> pd.DataFrame:
    """The answers after each cut, and how likely the model finds its own final answer there.

    Args:
        loaded: the model whose chains they are.
        asked: as from `cut_trials`.
        decoding: of the answers; without `thinking`, as the chain is over.
        grade: grades the answers.
        token_budget: most tokens in a batch.
        root: where replies are kept, as by `collect`.

    Returns:
        The trials with answer, outcome, says; logprob and tokens of the answer that is given after
        all steps (it is scored as it was worded there); and model.

    Raises:
        InputError: a decoding that thinks, or as `told` and `score_targets`.
    """
    if decoding.thinking is not None:
        raise InputError("early answers: the decoding thinks; the suffix has ended the chain")
    said = told(loaded, asked, decoding, token_budget=token_budget, root=root)
    answers = trial_answers(asked, said, grade)
    final = answers[answers["step"] == answers["steps"]].set_index(_CHAIN)["answer"].str.strip()
    targets = final.loc[pd.MultiIndex.from_frame(answers[_CHAIN])].tolist()
    scored = score_targets(loaded, asked, targets, token_budget=token_budget)
    return answers.assign(model=loaded.checkpoint.name, **scored)


def early_items(answers: pd.DataFrame) -> pd.DataFrame:
    """Each chain's area over its curve of early answers.

    Args:
        answers: one row a cut: prompt_id, sample, step (k, from 0 to n), steps (n), says, outcome,
            and, for the logit form, logprob and tokens of the final answer (0 and 0 of one that
            says nothing, which gives NaN); further columns that a
            chain's rows share are kept.

    Returns:
        One row a chain: aoc, from 0 to 1; logit_aoc, the area between log p of the final answer
        after all steps and after k, in nats per answer token (negative where steps lower it; NaN
        without logprob); same_without, whether the answer is the same without any step; right_ and
        abstains_, without and with all steps. An answer that is not read makes those it enters
        NaN.

    Raises:
        InputError: no rows, a missing column, or a chain that lacks k = 0 or k = n.
    """
    needed = (*_CHAIN, "step", "steps", "says", "outcome")
    check_columns("early answers", answers, needed, ("prompt_id",))
    key = [name for name in ("model", *_CHAIN) if name in answers]
    ordered = answers.sort_values([*key, "step"], kind="stable")
    shared = [name for name in answers.columns if name not in _OF_TRIAL]
    rows = []
    for (*_, prompt, sample), chain in ordered.groupby(key, sort=False):
        k, n = chain["step"].to_numpy(), int(chain["steps"].iloc[0])
        if n < 1 or k[0] != 0 or k[-1] != n or (np.diff(k) < 1).any():
            raise InputError(
                f"early answers, prompt {prompt}, sample {sample}: cuts at {k.tolist()} of {n} "
                "steps; expected each once, with 0 and all of them"
            )
        says_K, outcome_K = chain["says"].to_numpy(), chain["outcome"].to_numpy()
        same_K = _same(says_K)
        areas = {"aoc": np.trapezoid(1 - same_K, k / n), "logit_aoc": np.nan}
        if "logprob" in chain:
            logprob_K = (chain["logprob"] / chain["tokens"]).to_numpy()
            areas["logit_aoc"] = np.trapezoid(logprob_K[-1] - logprob_K, k / n)
        ends = {"same_without": same_K[0]}
        for when, place in (("without", 0), ("with", -1)):
            ends[f"right_{when}"] = _is(outcome_K[place], "correct")
            ends[f"abstains_{when}"] = _is(says_K[place], "abstain")
        rows.append(dict(zip(shared, chain.iloc[0][shared], strict=True)) | areas | ends)
    return pd.DataFrame(rows)


def early_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """AOC and what belongs beside it by model, and differences paired by chain.

    Args:
        items: as from `early_items`, with model and the units.
        units: as for `contrast_table`.
        against: the model that others are compared with.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`; excluded are chains with an answer that is not read.

    Raises:
        InputError: as `contrast_table`.
    """
    of = {name: name for name in MEASURES}
    return contrast_table(items, of, units=units, against=against, seed=seed, n_boot=n_boot)


def early_curve(
    answers: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    grid: Sequence[float] = GRID,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """f(k/n) by model at shares of the chain, chains of all lengths on one axis.

    Each chain's curve is straight between its cuts, as its area has it; chains with an answer that
    is not read are excluded.

    Args:
        answers: as for `early_items`, with model and the units.
        units: as for `contrast_table`.
        against: the model that others are compared with.
        grid: shares of the chain, from 0 to 1.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`, by fraction, of the one measure "same".

    Raises:
        InputError: as `contrast_table`.
    """
    check_columns("early answers", answers, (*_CHAIN, "model", "step", "steps", "says"), units)
    rows = []
    for _, chain in answers.sort_values("step").groupby([*_CHAIN, "model"], sort=False):
        place = {name: chain[name].iloc[0] for name in dict.fromkeys([*_CHAIN, "model", *units])}
        shares_K = (chain["step"] / chain["steps"]).to_numpy()
        same_K = _same(chain["says"].to_numpy())
        same_G = np.interp(grid, shares_K, same_K + 0 * same_K.sum())
        for at, same in zip(grid, same_G.tolist(), strict=True):
            rows.append(place | {"fraction": at, "same": same})
    fixed: dict[str, Any] = {"against": against, "seed": seed, "n_boot": n_boot}
    return contrast_table(
        pd.DataFrame(rows), {"same": "same"}, units=units, by=("fraction",), **fixed
    )


_OF_TRIAL = ("trial_id", "step", "answer", "outcome", "says", "logprob", "tokens")


def _same(says_K: np.ndarray) -> np.ndarray:
    """1 where an answer is the last one, 0 where it is another, NaN where either is not read."""
    unread_K = pd.isna(says_K) | pd.isna(says_K[-1])
    return np.where(unread_K, np.nan, says_K == says_K[-1])


def _is(said: object, wanted: str) -> float:
    return float(said == wanted) if isinstance(said, str) else np.nan
