"""Prompt sets as files: one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path

from interp.errors import InputError
from interp.prompts.promptset import PromptSet


def read_prompts(path: Path) -> PromptSet:
    """Reads a JSONL file whose keys are the columns of a `PromptSet`; empty lines are skipped.

    Raises:
        InputError: no such file, a line that is not a JSON object in UTF-8 (with its number), or
            as `PromptSet.from_records`.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a prompt set ({error})") from error
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(record, dict):
            raise InputError(f"{path}, line {number}: expected an object with the keys of a prompt")
        records.append(record)
    if not records:
        raise InputError(f"{path}: no prompts in it; expected one JSON object a line")
    try:
        return PromptSet.from_records(records)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
