"""Loads a checkpoint's folder, and checks what came out before anybody computes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from interp.checkpoints.anatomy import block_list
from interp.errors import InputError
from interp.settings import resolve_device

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer that `tokenizer.json` describes, to the letter.

    `AutoTokenizer` chooses a class by the model's type and may rebuild the tokenizer from its
    vocabulary: a Qwen2 checkpoint with a tokenizer of another kind then reads every text as no
    tokens at all, without an error.

    Raises:
        InputError: the files cannot be read.
    """
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises no narrower class
        raise InputError(f"{folder}: its tokenizer cannot be loaded: {error}") from error


def load_model(
    folder: Path, tokenizer: PreTrainedTokenizerFast, device: str, dtype: str
) -> PreTrainedModel:
    """The model in eval mode, checked against its weights, its config and the tokenizer.

    Raises:
        InputError: an unknown dtype or architecture, weights that don't fit the config, or a
            tokenizer that doesn't fit the model.
    """
    if dtype not in _DTYPES:
        raise InputError(f"dtype '{dtype}': expected one of {', '.join(_DTYPES)}")
    target = resolve_device(device)
    try:
        # The attention implementation is left to transformers: scaled-dot-product attention
        # wherever it computes the same, eager where it would not (Gemma 2's soft-capping).
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_DTYPES[dtype],
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: does not load: {error}") from error
    model, report = loaded  # `output_loading_info` makes it a pair
    _check(folder, model, report, tokenizer)
    return model.to(target).eval()


def _check(
    folder: Path, model: PreTrainedModel, report: dict[str, Any], tokenizer: PreTrainedTokenizerFast
) -> None:
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{folder}: the weights lack {len(missing)} of the model's tensors, {missing[0]} among "
            "them; transformers would fill them with random numbers"
        )
    n_blocks, n_expected = len(block_list(model)), model.config.num_hidden_layers
    if n_blocks != n_expected:
        raise InputError(f"{folder}: {n_blocks} blocks, but config.json says {n_expected}")
    embedding: Any = model.get_input_embeddings()
    token, index = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    n_rows = embedding.weight.shape[0]
    if index >= n_rows:
        raise InputError(
            f"{folder}: the tokenizer's token {token!r} has id {index}, but the model embeds only "
            f"{n_rows} tokens; tokenizer and weights are not of one model"
        )
