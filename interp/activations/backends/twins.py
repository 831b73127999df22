"""What libraries that rewrite modules are given, and what those modules may hold."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from interp.checkpoints import LoadedModel
from interp.checkpoints.adapters import sharing_copy


def twin(loaded: LoadedModel) -> LoadedModel:
    """The same model in modules of its own, for libraries that rewrite the modules they are given.

    The weights are shared, so it costs no memory, and what is done to them shows in both; modules,
    config and hooks are copies. What the model is at the moment, grafted or with an adapter in it,
    the twin is too.
    """
    return replace(loaded, model=sharing_copy(loaded.model))


def adapters(module: nn.Module) -> list[nn.Module]:
    """The adapter layers (of PEFT) in a module, and modules that an adapter holds copies of."""
    marks = ("base_layer", "original_module")
    return [part for part in module.modules() if any(hasattr(part, mark) for mark in marks)]
