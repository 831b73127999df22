"""Data of the per-prompt explorer: every question, what each model replied, as one JSON text.

Replies repeat, so they stand once and are named by their place. A whole question is kept or left
out, with the replies of all models, and which are kept hangs on a hash of the question's id alone:
never on what was replied.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from interp.errors import InputError
from interp.figures.report_strips import Strips

MAX_BYTES = 3_000_000
"""Of the JSON text. With figures and tables a report stays below 15 MB."""
SCORES = ("score", "sequence", "normalised", "first_token_score")
"""Columns that hold the abstention score, the first of them that is there."""
_PER_REPLY = 32
"""Most bytes of a reply beside its texts: places, score, brackets."""
_NEEDED = ("member", "prompt_id", "answer", "outcome")
NO_OUTCOME = "no outcome"


@dataclass(frozen=True)
class Columns:
    """What the columns of a table of replies mean; "" where there is none.

    Attributes:
        way: how a question was put.
        group: what questions are told apart by.
        score: of abstention.
        full: a reply before its conclusion was taken from it.
    """

    way: str
    group: str
    score: str
    full: str

    @classmethod
    def of(cls, items: pd.DataFrame) -> Columns:
        """Of the embedded lineage's replies (`Ask`) or of any models' (`Answering`).

        Raises:
            InputError: a column is missing.
        """
        if missing := [name for name in _NEEDED if name not in items]:
            raise InputError(
                f"table 'items' lacks {', '.join(missing)}; expected a row a reply, as from "
                "`interp.stages`"
            )
        way = next((name for name in ("mode", "elicitation") if name in items), "")
        several = [n for n in ("dataset", "scenario") if n in items and items[n].nunique() > 1]
        group = "group" if "group" in items else (several or ["dataset"])[0]
        score = next((name for name in SCORES if name in items), "")
        return cls(way, group if group in items else "", score, "text" if "text" in items else "")


def prompts_json(
    items: pd.DataFrame,
    run_id: str,
    *,
    questions: Mapping[tuple[int, str], str] | None = None,
    projections: pd.DataFrame | None = None,
    max_bytes: int = MAX_BYTES,
) -> str:
    r"""The explorer's data.

    Args:
        items: a row a reply: member, prompt_id, answer, outcome; and, where they are there, seed,
            question, mode or elicitation, group, dataset or scenario, should_abstain, entity,
            kind, text (the whole reply), sample, and an abstention score.
        run_id: of the run that the replies are from.
        questions: by seed and prompt_id, what was asked, where `items` has no column `question`.
        projections: member, prompt_id, layer, position, projection; optional.
        max_bytes: of the text.

    Returns:
        JSON in ASCII, with no "<", ">" or "&" in it, so that no text of a model can end the
        element that it stands in. Equal tables give equal text.

    Raises:
        InputError: `items` lacks a column, or `projections` does.
    """
    columns = Columns.of(items)
    models = [str(name) for name in dict.fromkeys(items["member"])]
    strips = None if projections is None or projections.empty else Strips.of(projections)
    asked = _questions(items, columns, models, questions or {}, strips)
    kept = _kept(asked, max_bytes)
    places: dict[str, dict[str, int]] = {"texts": {}, "outcomes": {}, "groups": {}, "ways": {}}
    rows = [_row(question, places) for question in kept]
    data = {
        "run": run_id,
        "models": models,
        "score": columns.score,
        "total": len(asked),
        "strips": None if strips is None else strips.header,
        **{name: list(of) for name, of in places.items()},
        "rows": rows,
    }
    return inert(json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False))


def inert(text: str) -> str:
    r"""JSON text in which no markup can stand: "<", ">" and "&" become \u003c, \u003e, \u0026."""
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _questions(
    items: pd.DataFrame,
    columns: Columns,
    models: list[str],
    texts: Mapping[tuple[int, str], str],
    strips: Strips | None,
) -> list[dict[str, Any]]:
    """A record a question, with the replies of every model in their order."""
    found: dict[tuple[int, str, str], dict[str, Any]] = {}
    place = {name: i for i, name in enumerate(models)}
    for row in items.to_dict("records"):
        seed, way = int(row.get("seed", 0)), str(row.get(columns.way, ""))
        key = (seed, way, str(row["prompt_id"]))
        question = found.get(key)
        if question is None:
            text = row.get("question") or texts.get((seed, key[2])) or ""
            question = found[key] = {
                "seed": seed, "way": way, "id": key[2], "text": str(text),
                "group": str(row.get(columns.group, "")), "due": _due(row),
                "entity": str(row.get("entity") or ""),
                "replies": [[] for _ in models],
                "strips": None if strips is None else strips.at(models, seed, key[2]),
            }  # fmt: skip
        answer = _said(row["answer"])
        whole = _said(row.get(columns.full, answer))
        question["replies"][place[str(row["member"])]].append(
            {
                "outcome": _outcome(row),
                "answer": answer or whole,
                "whole": whole if answer and whole != answer else None,
                "score": _rounded(row.get(columns.score)),
            }
        )
    return list(found.values())


def _due(row: Mapping[str, Any]) -> int | None:
    """Whether abstention is due: 1, 0, or None where nothing says so."""
    if "should_abstain" in row:
        return int(bool(row["should_abstain"]))
    return int(row["group"] != "known") if "group" in row else None


def _outcome(row: Mapping[str, Any]) -> str:
    """Of a reply that has none, its kind: "refusal", "truncated"."""
    for name in ("outcome", "kind"):
        if isinstance(row.get(name), str) and row[name]:
            return str(row[name])
    return NO_OUTCOME


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _rounded(value: Any) -> float | None:
    """With four significant digits; None for no number."""
    if value is None or value is pd.NA or not abs(float(value)) < float("inf"):
        return None
    return float(f"{float(value):.4g}") + 0.0


def _kept(asked: list[dict[str, Any]], max_bytes: int) -> list[dict[str, Any]]:
    """As many questions as fit, drawn by a hash of their id, in the order of the table."""
    order = sorted(
        range(len(asked)), key=lambda i: (hashlib.sha256(asked[i]["id"].encode()).digest(), i)
    )
    seen: set[str] = set()
    kept: list[int] = []
    left = max_bytes - 2_000  # names of models and groups
    for i in order:
        cost, new = _cost(asked[i], seen)
        if cost > left:
            break
        left -= cost
        seen |= new
        kept.append(i)
    return [asked[i] for i in sorted(kept)]


def _cost(question: Mapping[str, Any], seen: set[str]) -> tuple[int, set[str]]:
    """Most bytes that a question adds, and the texts that come with it."""
    replies = [reply for of_model in question["replies"] for reply in of_model]
    texts = {reply[part] for reply in replies for part in ("answer", "whole") if reply[part]}
    new = texts - seen
    own = (question["id"], question["text"], question["entity"], *(question["strips"] or ()), *new)
    length = sum(len(inert(json.dumps(text))) + 1 for text in own)
    return length + _PER_REPLY * (len(replies) + 2) + 2 * len(question["replies"]), new


def _row(question: Mapping[str, Any], places: dict[str, dict[str, int]]) -> list[Any]:
    """Seed, way, group, due, id, text, entity, replies by model, strips by model.

    A reply is its outcome, its answer, the whole of it (-1 if that is no more) and its score.
    """

    def place(where: str, value: str) -> int:
        return places[where].setdefault(value, len(places[where]))

    replies = [
        [
            [
                place("outcomes", reply["outcome"]),
                place("texts", reply["answer"]),
                -1 if reply["whole"] is None else place("texts", reply["whole"]),
                reply["score"],
            ]
            for reply in of_model
        ]
        for of_model in question["replies"]
    ]
    way, group = place("ways", question["way"]), place("groups", question["group"])
    head = [question["seed"], way, group, question["due"]]
    return [
        *head,
        question["id"],
        question["text"],
        question["entity"],
        replies,
        question["strips"],
    ]
