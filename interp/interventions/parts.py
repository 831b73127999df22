"""A decoder's parameters by where they act: embedding, each block, and what follows the blocks."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError


@dataclass(frozen=True)
class Parts:
    """Names in the model's state dict, by part; together they are all of it."""

    embedding: frozenset[str]
    """Token embedding and, where positions are learned, theirs."""
    blocks: tuple[frozenset[str], ...]
    """One set per block, from the first."""
    top: frozenset[str]
    """Final norm and head."""


def parts_of(loaded: LoadedModel) -> Parts:
    """Sorts every entry of the state dict into its part, by the module that owns it."""
    module_names = {id(module): name for name, module in loaded.model.named_modules()}
    block_prefixes = [module_names[id(block)] + "." for block in loaded.blocks]
    embedding_prefixes = [
        name + "."
        for name, module in loaded.model.named_modules()
        if isinstance(module, nn.Embedding) and not name.startswith(tuple(block_prefixes))
    ]
    names = loaded.model.state_dict().keys()
    blocks = tuple(
        frozenset(name for name in names if name.startswith(prefix)) for prefix in block_prefixes
    )
    embedding = frozenset(name for name in names if name.startswith(tuple(embedding_prefixes)))
    return Parts(embedding, blocks, frozenset(names) - embedding - frozenset().union(*blocks))


def untied_copy(loaded: LoadedModel, name: str) -> LoadedModel:
    """A deep copy whose head is a tensor of its own, equal to the embedding if it was tied to it.

    A tied head is embedding and top at once: changing one part would change the other.

    Args:
        loaded: what to copy.
        name: of the copy. Its checkpoint has no folder, so that it has no fingerprint either:
            nothing read from changed weights can be stored under the original's.

    Raises:
        InputError: part of the model is offloaded, so that there are no weights to change.
    """
    if any(parameter.is_meta for parameter in loaded.model.parameters()):
        raise InputError(
            f"{name}: changed weights must be in memory, and the device map offloads part of "
            f"{loaded.checkpoint.name} to the CPU or the disk; give it more or larger devices, or "
            "a narrower dtype"
        )
    model = copy.deepcopy(loaded.model)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight.detach().clone())
    if model.config.tie_word_embeddings:
        # Else the copy would be saved without its head and tied again when loaded. Embedding and
        # head on two devices are two tensors already.
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = {}
    return LoadedModel(model, loaded.tokenizer, Checkpoint(Path("unsaved", name), name))
