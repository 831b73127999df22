"""Noticing that something is missing, by the words of a chain and by a probe, and answering.

P(answers | noticed) is the behaviour of a model whose doubt is deselected. A rule of words hears
only what is said; a probe's calibrated probability, read from activations, is a second instrument
that needs no words. What both see is hard to call a flaw of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd

from interp.behavior.audit.kappa import agreement_table
from interp.behavior.published.noticing import notice, notice_early
from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.tables import check_columns
from interp.errors import InputError

Heard = Literal["any", "missing", "early"]
"""What counts of the words: "any" notice; that something is "missing", not what is merely assumed;
or any notice within the first `EARLY` words, so that a chain gets no credit for going on."""
MEASURES: dict[str, str | tuple[str, str]] = {
    "noticed": "noticed",
    "answers_given_noticed": ("answers", "noticed"),
    "answers_given_unnoticed": ("answers", "unnoticed"),
    "noticed_given_answers": ("noticed", "answers"),
    "noticed_given_abstains": ("noticed", "abstains"),
}
"""What is measured with each instrument, and of which replies."""


def noticed_by_instrument(
    replies: pd.DataFrame,
    *,
    units: Sequence[str],
    by: Sequence[str] = (),
    threshold: float = 0.5,
    heard: Heard = "any",
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """P(answers | noticed), by who says that it was noticed.

    Args:
        replies: one row a reply: prompt_id, sample where there are several, concluded ("abstain",
            "answer", or missing for replies that conclude nothing, which are left out), the columns
            `by`, the units, and one or both instruments: reply, the text, or in its place said,
            whether it says so by a rule of your own, 0 or 1; and p_noticed, a probe's calibrated
            probability (NaN where it was not read).
        units: columns of the units that intervals are over, from the top.
        by: columns whose groups stand apart, such as the model.
        threshold: probability from which on the probe says that it was noticed.
        heard: what counts of the words.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `contrast_table` with the factor instrument: "text"; "probe"; "probe_soft", each reply
        noticed with its probability, which needs no threshold; "both"; and "probe_only", seen by
        the probe and not said. With a text, the others are compared with it, item by item.

    Raises:
        InputError: no rows, a missing column, neither instrument, a conclusion of another name,
            none at all, a reply that is no text, a probability or a threshold outside 0 to 1,
            another `heard`, or a reply twice.
    """
    seen = _instruments(replies, units, by, threshold, heard)
    valid = replies[replies["concluded"].notna()]
    parts = []
    for name, noticed in seen.items():
        answers = (valid["concluded"] == "answer").astype(float)
        of_reply = {"instrument": name, "answers": answers, "abstains": 1 - answers}
        parts.append(valid.assign(**of_reply, noticed=noticed, unnoticed=1 - noticed))
    return contrast_table(
        pd.concat(parts, ignore_index=True),
        MEASURES,
        units=units,
        factor="instrument",
        against="text" if "text" in seen and len(seen) > 1 else None,
        by=by,
        seed=seed,
        n_boot=n_boot,
    )


def instrument_agreement(
    replies: pd.DataFrame,
    *,
    units: Sequence[str],
    source: str = "model",
    threshold: float = 0.5,
    heard: Heard = "any",
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """How far the probe says what the text says, by `agreement_table` with the text as the label.

    Args:
        replies: as for `noticed_by_instrument`, with both instruments and the column `source`;
            replies that the probe did not read are left out.
        units: columns of the units that intervals are over, from the top.
        source: column whose groups stand apart.
        threshold: as for `noticed_by_instrument`.
        heard: as for `noticed_by_instrument`.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        As `agreement_table`: agreement and kappa among its measures. Its precision is the share of
        what the probe sees that is said; what it sees and is not said need not be an error.

    Raises:
        InputError: as `noticed_by_instrument`, an instrument that is not there, or a probe that
            read no reply.
    """
    seen = _instruments(replies, units, (source,), threshold, heard)
    if not {"text", "probe"} <= set(seen):
        raise InputError("agreement of noticing: expected both columns, reply and p_noticed")
    read = seen["probe"].notna()
    valid = replies[replies["concluded"].notna()][read]
    if valid.empty:
        raise InputError("agreement of noticing: the probe read no reply")
    told = valid.assign(
        source=valid[source].astype(str),
        label=seen["text"][read].astype(bool),
        graded=seen["probe"][read].astype(bool),
    )
    return agreement_table(told, units=units, seed=seed, n_boot=n_boot)


def _instruments(
    replies: pd.DataFrame,
    units: Sequence[str],
    by: Sequence[str],
    threshold: float,
    heard: Heard,
) -> dict[str, pd.Series]:
    """Whether each reply that concludes something is noticed in, or how likely, by instrument."""
    check_columns("noticed replies", replies, ("prompt_id", "concluded", *by, *units), units)
    if not 0 <= threshold <= 1:
        raise InputError(f"noticed replies: a threshold of {threshold}; expected 0 to 1")
    if heard not in get_args(Heard):
        raise InputError(
            f"noticed replies: heard is {heard!r}; expected one of {', '.join(get_args(Heard))}"
        )
    odd = replies[~(replies["concluded"].isin(["abstain", "answer"]) | replies["concluded"].isna())]
    if len(odd):
        row = odd.iloc[0]
        raise InputError(
            f"noticed replies, prompt {row['prompt_id']}: concluded is {row['concluded']!r}; "
            "expected abstain, answer or nothing"
        )
    valid = replies[replies["concluded"].notna()]
    if valid.empty:
        raise InputError("noticed replies: none concludes anything; were all of them cut off?")
    seen: dict[str, pd.Series] = {}
    if "reply" in replies:
        if (bad := valid[[not isinstance(text, str) for text in valid["reply"]]]).shape[0]:
            row = bad.iloc[0]
            raise InputError(
                f"noticed replies, prompt {row['prompt_id']}: the reply is {row['reply']!r}; "
                "expected a text"
            )
        hear = notice_early if heard == "early" else notice
        found = [hear(text) for text in valid["reply"]]
        places = [each.missing if heard == "missing" else each.first for each in found]
        seen["text"] = pd.Series([float(place is not None) for place in places], valid.index)
    elif "said" in replies:
        if not valid["said"].isin([0, 1]).all():
            raise InputError("noticed replies: said is neither 0 nor 1 in some row")
        seen["text"] = valid["said"]
    if "p_noticed" in replies:
        p = valid["p_noticed"].astype(float)
        if (bad := valid[p.notna() & ~p.between(0, 1)]).shape[0]:
            row = bad.iloc[0]
            raise InputError(
                f"noticed replies, prompt {row['prompt_id']}: p_noticed is {row['p_noticed']}; "
                "expected a probability from 0 to 1"
            )
        seen |= {"probe": (p >= threshold).astype(float).where(p.notna()), "probe_soft": p}
    if {"text", "probe"} <= set(seen):
        seen["both"] = seen["probe"] * seen["text"]
        seen["probe_only"] = seen["probe"] * (1 - seen["text"])
    if not seen:
        raise InputError("noticed replies: no column reply, said or p_noticed; expected one")
    return {name: series.astype(np.float64) for name, series in seen.items()}
