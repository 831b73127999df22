"""A checkpoint without its weights: blocks, widths and tokenizer, in no memory to speak of."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from interp.checkpoints import files
from interp.checkpoints.checkpoint import Checkpoint, LoadedModel
from interp.checkpoints.loading import check_architecture, load_tokenizer
from interp.errors import InputError

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
}
"""Of the floating tensors of a safetensors file, by what its header calls them."""


def outline(checkpoint: Checkpoint, dtype: str = "float32") -> LoadedModel:
    """The model on torch's "meta" device: it has every module and shape, and no numbers.

    Args:
        checkpoint: what a process that loads it will load; an adapter's layers are left out.
        dtype: as for `Checkpoint.load`.

    Raises:
        InputError: the folder is no checkpoint, or of an architecture that is not there.
    """
    files.check_folder(checkpoint.path)
    check_architecture(checkpoint.path, checkpoint.trust_remote_code)
    config = AutoConfig.from_pretrained(
        checkpoint.path, local_files_only=True, trust_remote_code=checkpoint.trust_remote_code
    )
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(
            config,
            dtype=getattr(torch, loaded_dtype(checkpoint, dtype)),
            trust_remote_code=checkpoint.trust_remote_code,
        )
    tokenizer = load_tokenizer(checkpoint.tokenizer_folder, checkpoint.chat_template)
    return LoadedModel(model.eval(), tokenizer, checkpoint)


def loaded_dtype(checkpoint: Checkpoint, dtype: str) -> str:
    """The dtype that a checkpoint is loaded in; "auto" is its config's, or that of its weights.

    Raises:
        InputError: "auto", and neither says.
    """
    if dtype != "auto":
        return dtype
    config = files.read_json(checkpoint.path / "config.json")
    said = config.get("dtype") or config.get("torch_dtype")
    if isinstance(said, str):
        return said.removeprefix("torch.")
    for path in files.weight_files(checkpoint.path):
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                if (kind := opened.get_slice(name).get_dtype()) in _DTYPES:
                    return _DTYPES[kind]
    raise InputError(f"{checkpoint.path}: neither config nor weights say a dtype; name one")


def n_weights(checkpoint: Checkpoint) -> int:
    """Numbers in the weights' files, those of the adapter among them, by the headers alone.

    Raises:
        InputError: there are no safetensors.
    """
    paths = files.weight_files(checkpoint.path)
    if checkpoint.adapter is not None:
        paths = [*paths, *files.weight_files(checkpoint.adapter, stem="adapter_model")]
    total = 0
    for path in paths:
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - no mapping
                total += prod(opened.get_slice(name).get_shape())
    return total
