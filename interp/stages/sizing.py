"""How large a stage is, in words that two stages share when they take about as long."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from interp.stages.common import ModelRef, Stage
from interp.stages.questions import PromptFile, WorldPrompts
from interp.stages.train import Train

_NAMED = ("seed", "device", "infra")
"""What says which stage it is and where it runs; none of it makes the stage longer."""


def stage_size(stage: Stage, shape: str = "") -> str:
    """The size key of a stage: its largest model, what a training does, and unusual settings.

    Args:
        stage: any.
        shape: "width x layers" of models that are not trained yet.

    Returns:
        Such as "96x6", "96x6 base 800 steps", "4096x32 2000 prompts" or "96x6 #1f3a9c"; the last
        part stands for settings other than the usual ones.
    """
    found = shape_of(stage) or shape
    if isinstance(stage, Train):
        parts = [found, stage.recipe.name, f"{stage.recipe.n_steps} steps"]
        kept = stage.snapshots
        return " ".join([*parts, f"{kept} snapshots"] if kept else parts) + _unusual(stage)
    rows = sum(_rows(Path(file.path)) for file in _within(stage, PromptFile))
    return " ".join([found, f"{rows} prompts"] if rows else [found]) + _unusual(stage)


def shape_of(stage: Stage) -> str:
    """Width x layers of a stage's largest model; empty if none of them stands on the disk."""
    if isinstance(stage, Train):
        return f"{stage.shape.d_model}x{stage.shape.n_layers}"
    shapes = [shape for ref in _within(stage, ModelRef) if (shape := _shape(Path(ref.folder)))]
    return "{}x{}".format(*max(shapes)) if shapes else ""


def _shape(folder: Path) -> tuple[int, int] | None:
    config = folder / "config.json"
    if not config.is_file():
        return None
    told = json.loads(config.read_text(encoding="utf-8"))
    told = told.get("text_config", told)  # of a model that also sees or hears
    width, layers = (told.get("hidden_size", told.get("n_embd")), told.get("num_hidden_layers"))
    return int(width or 0), int(layers or told.get("n_layer", 0))


def _rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _unusual(stage: Stage) -> str:
    """A hash of the settings that are not the usual ones; empty if all of them are."""
    settings = {
        name: value.model_dump(mode="json")
        for name, value in stage
        if name not in _NAMED
        and isinstance(value, pydantic.BaseModel)
        and not isinstance(value, (Stage, ModelRef, PromptFile, WorldPrompts))
        and value != type(stage).model_fields[name].default
    }
    if isinstance(stage, Train):  # its name, shape and steps are said
        settings = {name: settings[name] for name in ("world_size",) if name in settings}
    if not settings:
        return ""
    return f" #{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]}"


def _within(value: Any, kind: type[pydantic.BaseModel]) -> Iterator[Any]:
    """All parts of a stage that are of a kind, those of stages it names among them."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, pydantic.BaseModel):
        for _, part in value:
            yield from _within(part, kind)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _within(part, kind)
