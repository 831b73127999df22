"""PEFT adapters: their layers put into a model, or into a copy that shares the model's weights."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import peft
from peft import PeftConfig, PeftModel
from transformers import PreTrainedModel

from interp.checkpoints import files
from interp.errors import InputError

KINDS = (
    "ADALORA",
    "HRA",
    "IA3",
    "LN_TUNING",
    "LOHA",
    "LOKR",
    "LORA",
    "OFT",
    "TRAINABLE_TOKENS",
    "VERA",
)
"""Kinds of adapters that act inside of a model's own modules, so that its blocks can be read and
hooked as ever. Others act before its first block (prompts and prefixes) or around its forward."""

_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""How LoRA may start. By the others (PiSSA, OLoRA, ...) PEFT takes what the adapter starts from out
of the base's weights, in place, also when it only loads the adapter."""


def check_adapter(folder: Path, *, allow_pickle: bool = False) -> None:
    """Refuses an adapter that is not whole, or of a kind that cannot be read block by block.

    Raises:
        InputError: says what is wrong with the folder.
    """
    stated = files.read_json(folder / files.ADAPTER_CONFIG)
    kind = stated.get("peft_type")
    if kind not in KINDS:
        raise InputError(
            f"{folder}: an adapter of kind {kind}; those that act inside of the model's modules "
            f"can be read ({', '.join(KINDS)}). Merge it into its base where PEFT can "
            "(`merge_and_unload()`) and save the result"
        )
    if stated.get("alora_invocation_tokens"):
        raise InputError(
            f"{folder}: it acts only behind its invocation tokens, by hooks around the whole "
            "model (aLoRA), which block by block reading leaves out"
        )
    try:
        _config(folder)
    except Exception as error:  # each kind of adapter checks its settings in its own way
        raise InputError(
            f"{folder / files.ADAPTER_CONFIG}: PEFT {peft.__version__} cannot read it: "
            f"{files.one_line(error)}"
        ) from error
    files.check_weights(folder, stem="adapter_model", allow_pickle=allow_pickle)


def attach(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with the adapter's layers put in, as `PeftModel.from_pretrained` does it.

    Args:
        model: is changed; its own parameters stay as they are.
        folder: of a checked adapter.

    Returns:
        The model itself, not PEFT's wrapper around it: its blocks are where they were.

    Raises:
        InputError: the adapter was not made for this model, or part of the model is offloaded.
    """
    own = list(model.parameters())
    were_trained = [parameter.requires_grad for parameter in own]
    if any(parameter.is_meta for parameter in own):
        raise InputError(
            f"{folder}: an adapter needs its base in memory, but the device map offloads part of it"
        )
    config = _config(folder)
    try:
        wrapped = PeftModel(model, config)
        report = wrapped.load_adapter(str(folder), "default", torch_device="cpu")
    except Exception as error:  # which one depends on the kind of adapter
        raise _no_fit(folder, model, files.one_line(error)) from error
    for how, names in (("lacks", report.missing_keys), ("has a layer for", report.unexpected_keys)):
        if names:
            raise _no_fit(folder, model, f"it {how} {sorted(names)[0]}")
    # PEFT freezes what it did not add, and a pair shares these parameters.
    for parameter, flag in zip(own, were_trained, strict=True):
        parameter.requires_grad_(flag)
    adapted: Any = wrapped.get_base_model()  # the model given, which PEFT types as a Module
    return adapted.eval()


def attach_to_copy(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """A copy of the model with the adapter in it, on the weights of the model itself.

    Both can be used at any time, in any order: no switch is turned.

    Args:
        model: is left as it is.
        folder: of a checked adapter.

    Raises:
        InputError: as for `attach`, or the adapter changes its base's own weights, so that they
            cannot be shared.
    """
    start = getattr(_config(folder), "init_lora_weights", True)
    if start not in _STARTS:
        raise InputError(
            f"{folder}: this adapter changes the weights of its base as well "
            f"(init_lora_weights={start!r}), so the two cannot share them; load the base and the "
            "adapter one after the other"
        )
    return attach(sharing_copy(model), folder)


def sharing_copy(model: PreTrainedModel) -> PreTrainedModel:
    """The same model in modules of its own, over the same parameters and buffers."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _config(folder: Path) -> Any:
    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = True
    return config


def _no_fit(folder: Path, model: PreTrainedModel, why: str) -> InputError:
    return InputError(
        f"{folder}: this adapter does not fit its base ({type(model).__name__} of "
        f"{model.config._name_or_path}): {why}"
    )
