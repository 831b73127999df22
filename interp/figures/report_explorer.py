"""The explorer of a report: its data as it stands in the page, and its first rows as plain HTML."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from interp.errors import InputError
from interp.figures.report_prompts import inert

STATIC_ROWS = 12
"""Questions shown in print and where no script runs, fewer of many models."""
_MOST_REPLIES = 60
_LONGEST = 300
"""Signs of an answer in these rows."""


@dataclass(frozen=True)
class Reply:
    """One model's reply to one question, as a plain row shows it."""

    model: str
    outcome: str
    score: str
    answer: str


@dataclass(frozen=True)
class Question:
    """One question with its replies, as a plain row shows it."""

    asked: str
    facts: str
    replies: list[Reply]


@dataclass(frozen=True)
class Explorer:
    """What the template needs.

    Attributes:
        json: the data, safe inside an element.
        first: questions shown without a script, by the first model's score.
        shown, total: questions in the data, and asked.
        score: name of the abstention score; "" for none.
        by: whose score sorts.
        strips: layers, positions and end of the scale; None without projections.
    """

    json: Markup
    first: list[Question]
    shown: int
    total: int
    score: str
    by: str
    strips: dict[str, Any] | None

    @classmethod
    def of(cls, text: str, run_id: str, where: str) -> Explorer | None:
        """From the text that `prompts_json` made; None for a run that asked nothing.

        Args:
            text: the JSON.
            run_id: of the report.
            where: the text is from, for messages.

        Raises:
            InputError: not such a text, or of another run.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InputError(f"{where}: not JSON ({error}); run the study again") from error
        if not isinstance(data, dict) or not {"run", "models", "rows", "texts"} <= set(data):
            raise InputError(f"{where}: not the questions of a run; run the study again")
        if data["run"] != run_id:
            raise InputError(
                f"{where}: of run {data['run']}, but the report is of run {run_id}. Run the study "
                "again, or delete the file for a report without its questions."
            )
        if not data["rows"]:
            return None
        n_first = min(STATIC_ROWS, max(3, _MOST_REPLIES // len(data["models"])))
        again = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
        return cls(
            Markup(inert(again)),
            [_question(row, data) for row in sorted(data["rows"], key=_by_score)[:n_first]],
            len(data["rows"]),
            data["total"],
            data["score"],
            data["models"][0],
            data["strips"],
        )


def _by_score(row: list[Any]) -> tuple[bool, float]:
    """The highest score of the first model first, as in the explorer itself."""
    scores = [reply[3] for reply in row[7][0] if reply[3] is not None]
    return (not scores, -scores[0] if scores else 0.0)


def _question(row: list[Any], data: dict[str, Any]) -> Question:
    seed, way, group, due, name, text, _, replies, _ = row
    said = {None: "", 0: "has an answer", 1: "abstention is due"}[due]
    facts = [data["groups"][group], data["ways"][way], f"seed {seed}", name if text else "", said]
    return Question(
        text or name,
        " \N{MIDDLE DOT} ".join(fact for fact in facts if fact),
        [
            Reply(
                model,
                data["outcomes"][outcome],
                "" if score is None else f"{score:.3g}".replace("-", "\N{MINUS SIGN}"),
                _short(data["texts"][answer]),
            )
            for model, of_model in zip(data["models"], replies, strict=True)
            for outcome, answer, _, score in of_model
        ],
    )


def _short(answer: str) -> str:
    return answer if len(answer) <= _LONGEST else f"{answer[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
