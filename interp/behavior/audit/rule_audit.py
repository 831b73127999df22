"""The grader by rule against labels of real replies, on questions its phrases were not tuned on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from interp.behavior.audit.labelled import HALVES, labelled_replies
from interp.behavior.grading.kinds import ABSTAINING_KINDS, ReplyKind, reply_kind
from interp.behavior.grading.lexicons import Lexicon
from interp.configs import nearest
from interp.errors import InputError
from interp.progress import Progress, report

NOT_ANSWERING: tuple[ReplyKind, ...] = (*ABSTAINING_KINDS, "refuse")


@dataclass(frozen=True)
class Audited:
    """What a source's label says, and which kinds of reply say the same.

    Attributes:
        labels: of the source, that count as positive.
        kinds: of the grader, that count as positive.
    """

    labels: tuple[str, ...]
    kinds: tuple[ReplyKind, ...]


SOURCES: Mapping[str, Audited] = {
    "mip": Audited(("abstain",), ABSTAINING_KINDS),
    "umwp_traces": Audited(("abstain",), ABSTAINING_KINDS),
    "triviaqa": Audited(("refusal",), NOT_ANSWERING),
    "xstest": Audited(("full_refusal", "partial_refusal"), NOT_ANSWERING),
    "truthfulqa": Audited(("uninformative",), ("abstain", "clarify", "refuse", "none")),
}
"""Abstaining is what the first two label; the others label refusals, or what says nothing."""


def rule_audit(folder: Path, *, half: str = "apart", language: str = "en") -> pd.DataFrame:
    """Replies with their label and their kind, as `agreement_table` and `confusion_table` take.

    Labels without a decision (a broken format, a trace without a box) are left out.

    Args:
        folder: holds a folder a source, as for `labelled_replies`.
        half: "apart", questions that phrases were not tuned on (of what is alike in the halves,
            `interp.behavior.audit.labelled` tells), or "tune".
        language: of the lexicon.

    Returns:
        prompt_id, question_id, source, model, kind, label and graded (bool: positive).

    Raises:
        InputError: another half, as `labelled_replies`, or no decided reply in that half.
    """
    if half not in HALVES:
        raise InputError(
            f"no half '{half}'{nearest(half, HALVES)}; there are {' and '.join(HALVES)}"
        )
    lexicon, parts = Lexicon.load(language), []
    for number, (source, audited) in enumerate(SOURCES.items()):
        report(Progress("grade labelled replies", number, len(SOURCES)))
        rows = labelled_replies(source, folder)
        kept = (rows["split_half"] == half) & ~rows["label"].isin(["format_error", "none"])
        rows = rows[kept].reset_index(drop=True)
        kinds = [
            reply_kind(row.reply, lexicon, question=row.question, truncated=bool(row.truncated))
            for row in rows.itertuples()
        ]
        parts.append(
            pd.DataFrame(
                {
                    "prompt_id": rows["reply_id"],
                    "question_id": rows["question_id"],
                    "source": source,
                    "model": rows["model"],
                    "kind": kinds,
                    "label": rows["label"].isin(audited.labels),
                    "graded": pd.Series(kinds, dtype=object).isin(audited.kinds),
                }
            )
        )
    report(Progress("grade labelled replies", len(SOURCES), len(SOURCES)))
    graded = pd.concat(parts, ignore_index=True)
    if graded.empty:
        raise InputError(f"{folder}: no labelled reply with a decision in the half '{half}'")
    return graded
