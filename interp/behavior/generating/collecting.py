"""Replies that are kept as they come, so that a killed run is completed and not repeated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from interp.activations.disk import explained, locked, seal, unseal
from interp.behavior.generating.decoding import Decoding, Reply
from interp.behavior.generating.generation import replies
from interp.checkpoints import LoadedModel
from interp.progress import Progress, report
from interp.prompts import PromptSet
from interp.tables import code_version

REQUEST = "request.json"


def collect(
    loaded: LoadedModel,
    prompts: PromptSet,
    decoding: Decoding,
    root: Path,
    *,
    token_budget: int = 8192,
    task: str = "replies",
) -> list[Reply]:
    """Replies to all prompts; batches that are already on disk are read from there.

    Each batch is one file, which is there whole or not at all, and batches are always made of the
    same prompts: so a run that was killed ends with the same replies as one that was not.

    Args:
        loaded: the model.
        prompts: rendered with the model's own chat template.
        decoding: how replies are drawn.
        root: the replies stand in a folder in it that is named by all that decides them:
            checkpoint, dtype, prompts, decoding, batches, code.
        token_budget: most tokens in a batch, padding and replies included.
        task: what a progress display calls it.

    Returns:
        In the order of the prompts, the samples of each beside each other.

    Raises:
        InputError: as `replies`, a disk that cannot be written to, or a file that is damaged.
    """
    request = _request(loaded, prompts, decoding, token_budget)
    folder = root / hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    found: list[tuple[int, Reply]] = []
    with locked(folder):
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / REQUEST).exists():
                seal(folder / REQUEST, request)
        there = {int(path.stem): path for path in sorted(folder.glob("[0-9]*.json"))}
        for path in there.values():
            found += [(row, _reply(of_row)) for row, of_row in unseal(path)["replies"]]
        n_replies = len(prompts) * decoding.samples
        report(Progress(task, len(found), n_replies))
        for number, rows, batch in replies(
            loaded, prompts, decoding, token_budget=token_budget, skip=list(there)
        ):
            written = list(zip(rows, batch, strict=True))
            with explained(folder):
                content = {"replies": [[row, asdict(reply)] for row, reply in written]}
                seal(folder / f"{number:06d}.json", content)
            found += written
            report(Progress(task, len(found), n_replies))
    return [reply for _, reply in sorted(found, key=lambda entry: (entry[0], entry[1].sample))]


def reply_frame(collected: list[Reply]) -> pd.DataFrame:
    """One row a reply: its fields, of the tokens their number and the first, and truncated."""
    rows = [
        {key: value for key, value in asdict(reply).items() if key != "tokens"}
        | {
            "n_tokens": len(reply.tokens),
            "first_token": reply.tokens[0] if reply.tokens else None,
            "truncated": reply.truncated,
        }
        for reply in collected
    ]
    return pd.DataFrame(rows)


def _request(
    loaded: LoadedModel, prompts: PromptSet, decoding: Decoding, token_budget: int
) -> dict[str, Any]:
    return {
        "checkpoint": loaded.checkpoint.fingerprint,
        "dtype": str(next(loaded.model.parameters()).dtype),
        "device": loaded.device.type,
        "prompts": prompts.fingerprint,
        "decoding": decoding.model_dump(mode="json"),
        "token_budget": token_budget,
        "code_version": code_version(),
    }


def _reply(fields: dict[str, Any]) -> Reply:
    return Reply(**fields | {"tokens": tuple(fields["tokens"])})
