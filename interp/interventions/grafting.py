"""One model made of two: layers of a child under or over the layers of its parent."""

from __future__ import annotations

from typing import Any, Literal

import torch

from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.interventions.parts import Parts, parts_of, untied_copy

# Fields of a config that do not change what the forward computes from given token ids: names and
# versions, generation defaults, bounds checked nowhere, and tying, which a graft undoes.
# `max_window_layers` acts only through `layer_types`, which is compared.
_INERT_FIELDS = frozenset(
    {
        "_name_or_path",
        "transformers_version",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "initializer_range",
        "max_position_embeddings",
        "max_window_layers",
        "tie_word_embeddings",
        "use_cache",
    }
)


def graft(
    parent: LoadedModel,
    child: LoadedModel,
    n_layers: int,
    *,
    child_part: Literal["lower", "upper"] = "lower",
) -> LoadedModel:
    """The parent with its first or last blocks taken from the child.

    "lower" takes the embedding and the first `n_layers` blocks from the child, "upper" the last
    `n_layers` blocks, final norm and head. At 0 the graft is the parent and at all layers the
    child, exactly and whole: embedding, norm and head too. A tied head is untied, so that
    embedding and head can come from different models.

    Args:
        parent: gives the rest; also the tokenizer, so that grafts of every size read one text.
        child: of the same architecture and vocabulary.
        n_layers: from 0 to the number of layers.
        child_part: which end comes from the child.

    Returns:
        A new model on the parent's device; parent and child are left as they were.

    Raises:
        InputError: `n_layers` is out of range, or the two do not fit: architecture, shapes,
            dtype, or a token with two ids.
    """
    _check_fit(parent, child)
    if not 0 <= n_layers <= parent.n_layers:
        raise InputError(
            f"graft: n_layers is {n_layers}; expected 0 to {parent.n_layers}, the layers of "
            f"{parent.checkpoint.name}."
        )
    name = f"{parent.checkpoint.name} with {child_part} {n_layers} of {child.checkpoint.name}"
    grafted = untied_copy(parent, name)
    state, child_state = grafted.model.state_dict(), child.model.state_dict()
    with torch.no_grad():
        for name in _from_child(parts_of(grafted), n_layers, child_part):
            state[name].copy_(child_state[name])
    return grafted


def _from_child(parts: Parts, n_layers: int, child_part: Literal["lower", "upper"]) -> list[str]:
    if n_layers == 0:
        return []
    n_all = len(parts.blocks)
    chosen = parts.blocks[:n_layers] if child_part == "lower" else parts.blocks[n_all - n_layers :]
    names = frozenset().union(*chosen)
    if child_part == "lower" or n_layers == n_all:
        names |= parts.embedding
    if child_part == "upper" or n_layers == n_all:
        names |= parts.top
    return sorted(names)


def _check_fit(parent: LoadedModel, child: LoadedModel) -> None:
    pair = f"graft of {child.checkpoint.name} into {parent.checkpoint.name}"
    ours, theirs = _forward_config(parent), _forward_config(child)
    for field in sorted(ours.keys() | theirs.keys()):
        if ours.get(field) != theirs.get(field):
            raise InputError(
                f"{pair}: the configs differ in {field}, {theirs.get(field)!r} against "
                f"{ours.get(field)!r}; a graft needs two checkpoints of one architecture."
            )
    shapes = {name: tensor.shape for name, tensor in child.model.state_dict().items()}
    for name, tensor in parent.model.state_dict().items():
        if shapes.get(name) != tensor.shape:
            raise InputError(
                f"{pair}: {name} has shape {shapes.get(name)} against {tensor.shape}; a graft "
                "needs two checkpoints of one architecture."
            )
    if parent.model.dtype != child.model.dtype:
        raise InputError(
            f"{pair}: dtypes {child.model.dtype} and {parent.model.dtype}; load both in one."
        )
    vocabulary = child.tokenizer.get_vocab()
    for token, index in sorted(parent.tokenizer.get_vocab().items(), key=lambda item: item[1]):
        if vocabulary.get(token, index) != index:
            raise InputError(
                f"{pair}: token {token!r} has id {vocabulary[token]} against {index}; a graft "
                "needs one vocabulary."
            )


def _forward_config(loaded: LoadedModel) -> dict[str, Any]:
    """The config's fields that matter to the forward; dtype is compared on the weights."""
    config = loaded.model.config.to_dict()
    inert = _INERT_FIELDS | {"dtype"}
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type") == "dynamic":
        inert -= {"max_position_embeddings"}  # this kind of rotary embedding scales by it
    return {field: value for field, value in config.items() if field not in inert}
