"""Prompt sets: rows of prompts with their labels, checked once so that later stages need not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp import configs
from interp.errors import InputError

SCENARIOS = (
    "answer_unknown",
    "false_premise",
    "stale",
    "subjective",
    "underspecified_context",
    "underspecified_intent",
)
"""Why a question calls for abstention (AbstentionBench, arXiv 2506.09038)."""

COLUMNS = (
    "prompt_id",
    "pair_id",
    "text",
    "messages",
    "should_abstain",
    "scenario",
    "answers",
    "entity",
    "dataset",
    "split",
    "meta",
)
_REQUIRED = ("prompt_id", "should_abstain")
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Prompts in a fixed order.

    Attributes:
        frame: one row a prompt, with the columns `prompt_id` (unique), `pair_id` (of the minimal
            pair), either `text` (used as it is) or `messages` (list of `role` and `content`, the
            last one the user's; rendered with the model's chat template), `should_abstain`,
            `scenario` (one of `SCENARIOS`), `answers` (list of accepted ones), `entity` (as the
            prompt spells it), `dataset`, `split`, and `meta` (a dict; its `mode` "cot" asks for a
            chain of thought).

    Raises:
        InputError: a column is missing or unknown, or a row breaks the rules above; the message
            names the row and the prompt.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        _check_columns(self.frame)
        for number, row in enumerate(self.frame.to_dict("records")):
            _check_row(row, f"row {number} (prompt {row['prompt_id']!r})")
        repeated = self.frame["prompt_id"][self.frame["prompt_id"].duplicated()]
        if len(repeated):
            raise InputError(
                f"prompt set: two rows have the prompt_id {repeated.iloc[0]!r}; each needs its own"
            )

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]]) -> PromptSet:
        """Builds a set from dicts, one a row.

        What may be left out: `pair_id` (the prompt's own id), `scenario` and `entity` (None),
        `answers` and `meta` (empty), `dataset` and `split` (""), and one of `text` and `messages`.

        Raises:
            InputError: an unknown key (with the nearest known one), a missing one, or a bad row.
        """
        rows = []
        for number, record in enumerate(records):
            for key in record:
                if key not in COLUMNS:
                    raise InputError(
                        f"prompt set, row {number}: unknown key '{key}'"
                        f"{configs.nearest(key, COLUMNS)}; the columns are {', '.join(COLUMNS)}"
                    )
            for key in _REQUIRED:
                if key not in record:
                    raise InputError(f"prompt set, row {number}: the key '{key}' is missing")
            defaults = {"pair_id": record["prompt_id"], "dataset": "", "split": ""}
            # Fresh ones for each row: a dict that all rows share would be changed for all.
            empty: dict[str, Any] = {"answers": [], "meta": {}}
            rows.append({**dict.fromkeys(COLUMNS), **defaults, **empty, **record})
        frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
        return cls(frame)

    @classmethod
    def concat(cls, sets: Sequence[PromptSet]) -> PromptSet:
        """One set after the other.

        Raises:
            InputError: two of them share a prompt_id.
        """
        return cls(pd.concat([prompts.frame for prompts in sets], ignore_index=True))

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: np.ndarray | None = None, **equals: Any) -> PromptSet:
        """The rows where the mask is True and every named column equals its value.

        Args:
            mask: one boolean a row.
            equals: column -> value.

        Raises:
            InputError: the mask is not one boolean a row, or a column does not exist.
        """
        keep_N = np.ones(len(self), dtype=bool)
        if mask is not None:
            if mask.shape != keep_N.shape or mask.dtype != bool:
                raise InputError(
                    f"prompt set: a mask of {mask.dtype} and shape {mask.shape} for {len(self)} "
                    "rows; expected one boolean each"
                )
            keep_N &= mask
        for column, value in equals.items():
            if column not in COLUMNS:
                raise InputError(
                    f"prompt set: no column '{column}'{configs.nearest(column, COLUMNS)}"
                )
            keep_N &= np.array([entry == value for entry in self.frame[column]], dtype=bool)
        return PromptSet(self.frame[keep_N].reset_index(drop=True))

    @property
    def labels(self) -> np.ndarray:
        """`should_abstain` as booleans, shape (n,)."""
        return self.frame["should_abstain"].to_numpy(dtype=bool)

    @property
    def groups(self) -> np.ndarray:
        """What must stay in one fold, shape (n,): the entity, or the pair where there is none."""
        rows = zip(self.frame["entity"], self.frame["pair_id"], strict=True)
        return np.array([pair if entity is None else entity for entity, pair in rows], dtype=object)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all rows in their order; equal contents, equal fingerprints."""
        digest = hashlib.sha256()
        for row in self.frame[list(COLUMNS)].to_dict("records"):
            row["should_abstain"] = bool(row["should_abstain"])
            digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()


def _check_columns(frame: pd.DataFrame) -> None:
    for column in frame.columns:
        if column not in COLUMNS:
            raise InputError(
                f"prompt set: unknown column '{column}'{configs.nearest(str(column), COLUMNS)}; "
                "put further information into `meta`"
            )
    for column in COLUMNS:
        if column not in frame.columns:
            raise InputError(
                f"prompt set: the column '{column}' is missing; `PromptSet.from_records` fills in "
                "what may be left out"
            )


def _check_row(row: Mapping[str, Any], where: str) -> None:
    for column in ("prompt_id", "pair_id"):
        if not isinstance(row[column], str) or not row[column]:
            raise _bad(where, column, row[column], "a string that is not empty")
    for column in ("dataset", "split"):
        if not isinstance(row[column], str):
            raise _bad(where, column, row[column], "a string")
    if (row["text"] is None) == (row["messages"] is None):
        raise InputError(f"prompt set, {where}: expected either `text` or `messages`, one of them")
    if row["text"] is not None and (not isinstance(row["text"], str) or not row["text"].strip()):
        raise _bad(where, "text", row["text"], "a string that is not empty")
    if row["messages"] is not None:
        _check_messages(row["messages"], where)
    if not isinstance(row["should_abstain"], bool | np.bool_):
        raise _bad(where, "should_abstain", row["should_abstain"], "True or False")
    if row["scenario"] is not None and row["scenario"] not in SCENARIOS:
        raise _bad(where, "scenario", row["scenario"], f"None or one of {', '.join(SCENARIOS)}")
    if not isinstance(row["answers"], list) or not all(isinstance(a, str) for a in row["answers"]):
        raise _bad(where, "answers", row["answers"], "a list of strings")
    if row["entity"] is not None and (
        not isinstance(row["entity"], str) or not row["entity"].strip()
    ):
        raise _bad(where, "entity", row["entity"], "None or a string that is not empty")
    if not isinstance(row["meta"], dict):
        raise _bad(where, "meta", row["meta"], "a dict")
    try:
        json.dumps(row["meta"])
    except (TypeError, ValueError) as error:
        raise InputError(f"prompt set, {where}: `meta` is not plain JSON: {error}") from error


def _check_messages(messages: Any, where: str) -> None:
    expected = "a list of {'role': ..., 'content': ...} whose last role is 'user'"
    if not isinstance(messages, list) or not messages:
        raise _bad(where, "messages", messages, expected)
    for message in messages:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise _bad(where, "messages", message, expected)
        if message["role"] not in _ROLES or not isinstance(message["content"], str):
            raise _bad(where, "messages", message, f"a role among {', '.join(_ROLES)} and a text")
    if messages[-1]["role"] != "user" or not messages[-1]["content"].strip():
        raise _bad(where, "messages", messages[-1], expected)


def _bad(where: str, column: str, found: Any, expected: str) -> InputError:
    shown = repr(found) if len(repr(found)) <= 80 else repr(found)[:77] + "..."
    return InputError(f"prompt set, {where}: `{column}` is {shown}; expected {expected}")
