"""Lines of evidence that rest on replies alone, and why others were not measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from interp.stages.behave import behaviour_lines
from interp.stages.transfer import LINE_OF_POSITION

if TYPE_CHECKING:
    from interp.prompts import PromptSet

LINES = {
    "transfer": ("transfer", "refit", "nonlinear"),
    "relearn": ("relearn_all", "relearn_upper"),
}
"""Deciding lines of evidence by the stage that measures them."""


def behaviour_measures(
    items: pd.DataFrame,
    questions: PromptSet,
    parents: Mapping[str, str],
    unit_N: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """What replies say of every model beside its parent (a root beside itself).

    Args:
        items: a row a reply, those of a model in the order of the questions.
        questions: that were asked, with the answers that are known.
        parents: model -> its parent, or "".
        unit_N: what is resampled, of each reply of a model.
        seed: of the bootstrap.

    Returns:
        Columns seed, member, line, estimate, lo, hi: as `behaviour_lines`.
    """
    of_model = {str(name): rows for name, rows in items.groupby("member", sort=False)}
    parts = []
    for name, parent in parents.items():
        rows, before = of_model[name], of_model[parent or name]
        abstained, stood = (
            (table["outcome"] == "abstain").to_numpy(dtype=float) for table in (rows, before)
        )
        lines = behaviour_lines(
            abstained,
            stood,
            right_where_due(rows, questions),
            rows["should_abstain"].to_numpy(dtype=bool),
            unit_N,
            seed=seed,
        )
        parts.append(lines.assign(seed=seed, member=name))
    return pd.concat(parts, ignore_index=True)[["seed", "member", "line", "estimate", "lo", "hi"]]


def right_where_due(rows: pd.DataFrame, questions: PromptSet) -> np.ndarray | None:
    """Whether each reply holds the answer to a question that calls for abstention.

    Somebody knows it, and the file says it: a child that does too abstains less because it knows
    more. None where the file lacks the answer to any such question.

    Args:
        rows: replies of one model: prompt_id, should_abstain, text.
        questions: that were asked.
    """
    from interp.behavior.grading.outcomes import holds_answer

    frame = questions.frame
    answers = dict(zip(frame["prompt_id"], frame["answers"], strict=True))
    due = rows["should_abstain"].astype(bool)
    if not all(answers[prompt] for prompt in rows["prompt_id"][due]):
        return None
    said = zip(rows["prompt_id"], rows["text"], strict=True)
    return np.array(
        [bool(answers[prompt]) and holds_answer(text, answers[prompt]) for prompt, text in said],
        dtype=float,
    )


def unmeasured(
    skipped: Mapping[tuple[str, str], str], members: Iterable[str], positions: Iterable[str]
) -> dict[tuple[str, str], str]:
    """Why a deciding line of a member is missing: (member, line) -> why.

    Args:
        skipped: (member, stage) -> why it was left out.
        members: the models.
        positions: where activations are read.
    """
    found = {
        (name, line): why for (name, stage), why in skipped.items() for line in LINES.get(stage, ())
    }
    if "transfer" not in {LINE_OF_POSITION.get(position) for position in positions}:
        for name in members:
            for line in LINES["transfer"]:
                why = "not every question names an entity, at whose end the line is read"
                found.setdefault((name, line), why)
    return found
