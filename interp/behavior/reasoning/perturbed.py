"""Answers to perturbed chains beside those to the chains as they were, and what moved.

What is to be read from them, and in which direction, stands in `perturbing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from interp.behavior.generating.decoding import Decoding
from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.reasoning.trials import UNCHANGED, Grade, Trials, told, trial_answers
from interp.behavior.tables import check_columns
from interp.checkpoints import LoadedModel
from interp.errors import InputError

MEASURES = (
    *("same", "right_before", "right_after", "right_lost"),
    *("abstains_before", "abstains_after", "unread"),
)


def perturbed_answers(
    loaded: LoadedModel,
    asked: Trials,
    decoding: Decoding,
    grade: Grade,
    *,
    token_budget: int = 8192,
    root: Path | None = None,
) -> pd.DataFrame:
    """What the model answers to each trial, and model.

    Args:
        loaded: the model whose chains they are.
        asked: as from one of the functions of `perturbing`.
        decoding: with `thinking` where a chain is gone on with, and without behind filler, which a
            suffix has ended.
        grade: grades the answers.
        token_budget: most tokens in a batch.
        root: where replies are kept, as by `collect`.

    Raises:
        InputError: the decoding is of the other kind, or as `told`.
    """
    ended = bool((asked.frame["arm"] == "filler").any())
    if ended == (decoding.thinking is not None):
        raise InputError(
            "perturbed answers: the decoding thinks, but filler has ended the chain" if ended else
            "perturbed answers: the decoding does not think, but the chain is to be gone on with"
        )  # fmt: skip
    said = told(loaded, asked, decoding, token_budget=token_budget, root=root)
    return trial_answers(asked, said, grade).assign(model=loaded.checkpoint.name)


def before_after(answers: pd.DataFrame) -> pd.DataFrame:
    """Each perturbed trial beside the one that is not.

    Args:
        answers: one row a trial: prompt_id, sample, arm, place, answer, says, outcome; further
            columns are kept.

    Returns:
        The perturbed trials with before and after (answers), same, right_before, right_after,
        right_lost (right before and no more), abstains_before, abstains_after, as 0 and 1; NaN
        where an answer is not read, or of which it is not known whether it is right; and unread,
        1 where either answer is not read.

    Raises:
        InputError: no rows, a missing column, a trial twice, or one without its unchanged one.
    """
    needed = ("prompt_id", "sample", "arm", "place", "answer", "says", "outcome")
    check_columns("answers of trials", answers, needed, ("prompt_id",))
    key = [name for name in ("model", "prompt_id", "sample") if name in answers]
    twice = answers.duplicated([*key, "arm", "place"])
    if twice.any():
        row = answers[twice].iloc[0]
        raise InputError(
            f"answers of trials, prompt {row['prompt_id']}: {row['arm']} at {row['place']} twice; "
            "give the trials of one kind and one seed at a time"
        )
    unchanged = answers["arm"] == UNCHANGED
    # Filler has one unchanged trial for all lengths, which stands at no place.
    key += [] if (answers[unchanged]["place"] < 0).all() else ["place"]
    intact = answers[unchanged][[*key, "answer", "says", "outcome"]]
    named = intact.rename(columns={n: f"{n}_intact" for n in ("answer", "says", "outcome")})
    both = answers[~unchanged].merge(named, "left", on=key, validate="m:1", indicator=True)
    alone = both["_merge"] != "both"
    if alone.any():
        row = both[alone].iloc[0]
        raise InputError(
            f"answers of trials, prompt {row['prompt_id']}: no unchanged trial beside the "
            f"{row['arm']} at {row['place']}; ask for both, and give one kind of trial at a time"
        )
    read = both["says"].notna() & both["says_intact"].notna()
    graded = both["outcome"].notna() & both["outcome_intact"].notna()
    right_before, right_after = both["outcome_intact"] == "correct", both["outcome"] == "correct"
    measured = {
        "same": (both["says"] == both["says_intact"]).where(read),
        "right_before": right_before.where(graded),
        "right_after": right_after.where(graded),
        "right_lost": (right_before & ~right_after).where(graded),
        "abstains_before": (both["says_intact"] == "abstain").where(read),
        "abstains_after": (both["says"] == "abstain").where(read),
        "unread": ~read,
    }
    kept = [name for name in answers.columns if name not in ("answer", "says", "outcome")]
    return both[kept].assign(
        before=both["answer_intact"],
        after=both["answer"],
        **{name: values.astype(float) for name, values in measured.items()},
    )


def perturbed_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    against: str | None = None,
    by: Sequence[str] = ("arm",),
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Shares by model, and differences paired by chain.

    Where a chain has several trials in a group, as with a mistake in each of its steps, it counts
    once, by their mean: long chains weigh no more than short ones.

    Args:
        items: as from `before_after`, with model and the units.
        units: as for `contrast_table`.
        against: the model that others are compared with.
        by: columns whose groups stand apart: ("arm", "place") for filler by its length.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table`; excluded are chains without a trial that is read, and unread, which is
        over all chains, is the share of trials that the other measures leave out.

    Raises:
        InputError: as `contrast_table`.
    """
    check_columns("perturbed items", items, ("model", *by, *units, *MEASURES), units)
    key = list(dict.fromkeys(["model", *by, "prompt_id", "sample", *units]))
    # Means over what is read; the mean of nothing is NaN.
    chains = items.groupby(key, sort=False, dropna=False)[list(MEASURES)].mean().reset_index()
    of = {name: name for name in MEASURES}
    return contrast_table(chains, of, units=units, against=against, by=by, seed=seed, n_boot=n_boot)
