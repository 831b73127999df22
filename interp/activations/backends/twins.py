"""What libraries that rewrite modules are given, and what those modules may hold."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

from torch import nn

from interp.checkpoints import LoadedModel


def twin(loaded: LoadedModel) -> LoadedModel:
    """The same model in modules of its own, for libraries that rewrite the modules they are given.

    The weights are shared, so it costs no memory, and what is done to them shows in both; modules,
    config and hooks are copies. What the model is at the moment, grafted or with an adapter in it,
    the twin is too.
    """
    model = loaded.model
    weights = itertools.chain(model.parameters(), model.buffers())
    return replace(loaded, model=copy.deepcopy(model, {id(weight): weight for weight in weights}))


def adapters(module: nn.Module) -> list[nn.Module]:
    """The adapter layers (of PEFT) in a module."""
    return [part for part in module.modules() if hasattr(part, "base_layer")]
