"""Graded answers beside their confidences, one row an answer and source, as tables read them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from interp.behavior.calibration.confidence import verbalised_confidence
from interp.behavior.tables import check_columns, check_outcomes
from interp.errors import InputError

SOURCES = (
    *("top_probability", "margin", "entropy", "token_probability"),
    *("sequence_probability", "normalised_probability", "min_probability"),
)
"""The confidences of `reply_confidence` that lie in [0, 1]."""


def confidence_items(
    items: pd.DataFrame,
    confidences: pd.DataFrame,
    *,
    units: Sequence[str],
    sources: Sequence[str] = SOURCES,
    verbalised: str | None = None,
    scale: float = 1.0,
    majority_share: str | None = None,
    without: float | None = None,
) -> pd.DataFrame:
    """What `calibration_table`, `reliability_table` and `risk_coverage_table` take.

    Args:
        items: one row a graded reply: prompt_id, outcome ("abstain", "correct" or "wrong"), the
            units, and the columns named below. Replies that abstain are no answers: they are left
            out.
        confidences: one row a prompt: prompt_id and a column a source, as from `reply_confidence`;
            also others, such as the P(IK) of `interp.probes.p_ik`.
        units: columns of the units of intervals, from the top.
        sources: columns of the confidences to take.
        verbalised: column of the items with the text that puts a confidence into words; read by
            `verbalised_confidence`, as the source "verbalised".
        scale: what a bare number in that text is out of.
        majority_share: column of the items with the share of samples that say what the answer says;
            as the source "majority share".
        without: what an answer counts that has no confidence in a column of `sources`, since its
            reply has no span: 0 in RLSF. None leaves it missing, and the tables say for how many
            answers there is one ("stated").

    Returns:
        Columns prompt_id, source, confidence, correct (bool) and the units; source by source, each
        in the order of the items.

    Raises:
        InputError: no rows, units or sources, a missing column, an outcome of another name, a
            prompt with two rows of confidences or none, or nothing but abstentions.
    """
    if isinstance(sources, str) or not (sources or verbalised or majority_share):
        raise InputError(f"confidence items: sources are {sources!r}; name at least one column.")
    needed = ["prompt_id", "outcome", *units]
    needed += [column for column in (verbalised, majority_share) if column is not None]
    check_columns("graded replies", items, needed, units)
    check_columns("confidences", confidences, ("prompt_id", *sources), units)
    check_outcomes("graded replies", items)
    answers = items[items["outcome"] != "abstain"].reset_index(drop=True)
    if answers.empty:
        raise InputError(
            f"graded replies: all {len(items)} abstain; confidence is measured on answers."
        )
    of_prompt = _by_prompt(confidences, answers)[[*sources]].astype(float)
    filled = of_prompt if without is None else of_prompt.fillna(without)
    columns: dict[str, pd.Series] = {source: filled[source] for source in sources}
    if verbalised is not None:
        columns["verbalised"] = pd.Series(
            [
                verbalised_confidence(text, scale=scale) if isinstance(text, str) else None
                for text in answers[verbalised]
            ],
            dtype=float,
        )
    if majority_share is not None:
        columns["majority share"] = answers[majority_share]
    place = answers[["prompt_id", *(unit for unit in units if unit != "prompt_id")]]
    correct_A = answers["outcome"] == "correct"
    parts = [
        place.assign(source=source, confidence=confidence_A, correct=correct_A)
        for source, confidence_A in columns.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["prompt_id", "source", "confidence", "correct"]
    return table[[*first, *(column for column in place if column != "prompt_id")]]


def _by_prompt(confidences: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The rows of the answers' prompts, in the order of the answers."""
    twice = confidences["prompt_id"][confidences["prompt_id"].duplicated()]
    if len(twice):
        raise InputError(
            f"confidences, prompt {twice.iloc[0]}: two rows; expected one a prompt, so join "
            "samples one at a time."
        )
    missing = answers["prompt_id"][~answers["prompt_id"].isin(confidences["prompt_id"])]
    if len(missing):
        raise InputError(
            f"confidences, prompt {missing.iloc[0]}: no row for its answer; read the confidence of "
            "every reply that was graded."
        )
    return confidences.set_index("prompt_id").loc[answers["prompt_id"]].reset_index()
