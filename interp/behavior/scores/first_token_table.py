"""Which replies begin with a token of the set of first tokens, and how many of these abstain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.unit_shares import unit_share
from interp.behavior.grading.kinds import ABSTAINING_KINDS
from interp.behavior.scores.continuations import Continuations
from interp.behavior.scores.first_tokens import first_token_sets
from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError
from interp.prompts import PromptSet, render
from interp.stats import Interval

REPLY_COLUMNS = ("prompt_id", "first_token", "outcome", "split")


def first_token_table(
    tokenizer: Any,
    prompts: PromptSet,
    continuations: Continuations,
    replies: pd.DataFrame | None = None,
    *,
    units: Sequence[str] = ("pair_id",),
    kinds: Collection[str] = ABSTAINING_KINDS,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """What the set of first tokens is, and how well it tells which replies abstain.

    Args:
        tokenizer: of the model.
        prompts: rendered with the tokenizer's own chat template.
        continuations: in the language of the prompts.
        replies: graded replies to these prompts, any number to each: prompt_id, first_token (the
            id of the first token said; missing for an empty reply), outcome ("abstain", "correct"
            or "wrong"), split, which must be "dev" as continuations are chosen by this table, and
            the units.
        units: columns of the units that intervals are over, from the top.
        kinds: those that count as abstaining.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        One row a token: what ("token"), token (its id), text, begins (the continuations), kinds
        (theirs), chosen (whether it is in the set). With replies also n (those that begin with it),
        precision (the share of these that abstain), recall (the share of abstaining replies that
        begin with it), each with _lo and _hi (95%, `unit_share`), and a last row (what is "set")
        for the whole.

    Raises:
        InputError: as `first_tokens`, a missing column, no rows, an outcome of another name, a
            prompt that is not there, or replies of another split.
    """
    prompt_ids, texts = prompts.frame["prompt_id"].tolist(), render(prompts, tokenizer)
    sets, set_N = first_token_sets(tokenizer, prompt_ids, texts, continuations, kinds=kinds)
    kind_of = dict(zip(continuations.texts, continuations.kind_of_each, strict=True))
    begins: dict[int, dict[str, None]] = {}
    for found in sets:
        for token, of_token in found.begins.items():
            begins.setdefault(token, {}).update(dict.fromkeys(of_token))
    chosen = {token for found in sets for token in found.chosen}
    rows: list[dict[str, Any]] = [
        {
            "what": "token",
            "token": token,
            "text": tokenizer.decode([token]),
            "begins": " | ".join(begins[token]),
            "kinds": " | ".join(dict.fromkeys(kind_of[text] for text in begins[token])),
            "chosen": token in chosen,
        }
        for token in sorted(begins, key=lambda token: token not in chosen)
    ]
    if replies is not None:
        _check_replies(replies, prompt_ids, units)
        said_N = replies["first_token"].to_numpy(dtype=float, na_value=np.nan)
        row_of = {prompt_id: row for row, prompt_id in enumerate(prompt_ids)}
        set_of_N = set_N[[row_of[prompt_id] for prompt_id in replies["prompt_id"]]]
        within_N = np.array(
            [said in sets[number].chosen for said, number in zip(said_N, set_of_N, strict=True)]
        )
        of_rows = [said_N == row["token"] for row in rows] + [within_N]
        rows.append({"what": "set", "text": "", "begins": "", "kinds": "", "chosen": True})
        for row, begins_N in zip(rows, of_rows, strict=True):
            row |= _against_replies(replies, begins_N, units, seed, n_boot)
    return pd.DataFrame(rows).astype({"token": "Int64"})


def _against_replies(
    replies: pd.DataFrame, begins_N: np.ndarray, units: Sequence[str], seed: int, n_boot: int
) -> dict[str, float]:
    abstains_N = (replies["outcome"] == "abstain").to_numpy()

    def share(part_N: np.ndarray, whole_N: np.ndarray) -> Interval:
        if not whole_N.any():
            return Interval(np.nan, np.nan, np.nan)
        levels = {unit: replies[unit].to_numpy()[whole_N] for unit in units}
        return unit_share(part_N[whole_N], levels, seed=seed, n_boot=n_boot)

    return {
        "n": int(begins_N.sum()),
        **share(abstains_N, begins_N).columns("precision"),
        **share(begins_N, abstains_N).columns("recall"),
    }


def _check_replies(replies: pd.DataFrame, prompt_ids: Sequence[str], units: Sequence[str]) -> None:
    check_columns("first tokens: the replies", replies, (*REPLY_COLUMNS, *units), units)
    check_outcomes("first tokens: the replies", replies)
    for bad_N, expected in (
        (~replies["prompt_id"].isin(prompt_ids), "a prompt that is among those given"),
        (replies["split"] != "dev", "the split dev: what is chosen here is not reported there"),
    ):
        if bad_N.any():
            row = replies[bad_N].iloc[0]
            raise InputError(
                f"first tokens, reply to prompt {row['prompt_id']}: split {row['split']!r}; "
                f"expected {expected}."
            )
