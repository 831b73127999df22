"""Loads a checkpoint's folder, and checks what came out before anybody computes with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from interp.checkpoints.anatomy import block_list
from interp.checkpoints.contents import checked_template
from interp.checkpoints.files import one_line, read_json
from interp.errors import InputError
from interp.settings import resolve_device

_DTYPES: dict[str, Any] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "auto": "auto",
}
_ATTENTION = ("eager", "sdpa", "flash_attention_2")


def load_tokenizer(folder: Path, chat_template: str | Path = "own") -> PreTrainedTokenizerFast:
    """The tokenizer that `tokenizer.json` describes, to the letter.

    `AutoTokenizer` chooses a class by the model's type and may rebuild the tokenizer from its
    vocabulary: a Qwen2 checkpoint with a tokenizer of another kind then reads every text as no
    tokens at all, without an error.

    Args:
        folder: of the tokenizer.
        chat_template: "own", "none", or a Jinja file.

    Raises:
        InputError: the files cannot be read.
    """
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises no narrower class
        raise InputError(f"{folder}: its tokenizer cannot be loaded: {one_line(error)}") from error
    if chat_template != "own":
        given = checked_template(chat_template)
        tokenizer.chat_template = None if given is None else given.read_text(encoding="utf-8")
    return tokenizer


def load_model(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    device_map: Any = None,
    attention: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> PreTrainedModel:
    """The model in eval mode, checked against its weights, its config and the tokenizer.

    Args:
        folder: of the checkpoint.
        tokenizer: that it is going to be used with.
        device: as for `Checkpoint.load`; so are the next three.
        dtype: as for `Checkpoint.load`.
        device_map: as for `Checkpoint.load`.
        attention: as for `Checkpoint.load`.
        allow_pickle: as in `Checkpoint`.
        trust_remote_code: as in `Checkpoint`.

    Raises:
        InputError: an unknown dtype, attention or architecture, weights that don't fit the config,
            or a tokenizer that doesn't fit the model.
    """
    _check_options(device, dtype, device_map, attention)
    check_architecture(folder, trust_remote_code)
    placed = {} if device_map is None else {"device_map": device_map}
    # Left to transformers: scaled-dot-product attention wherever it computes the same, eager where
    # it would not (Gemma 2's soft-capping).
    chosen = {} if attention is None else {"attn_implementation": attention}
    target = resolve_device(device)
    try:
        with _quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=_DTYPES[dtype],
                local_files_only=True,
                use_safetensors=None if allow_pickle else True,
                weights_only=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name
                **placed,
                **chosen,
            )
    except Exception as error:  # transformers, and a checkpoint's own code, raise what they like
        asked = "".join(f" with {name}={value!r}" for name, value in (placed | chosen).items())
        raise InputError(f"{folder}: does not load{asked}: {one_line(error)}") from error
    model, report = loaded  # `output_loading_info` makes it a pair
    _check_report(folder, model, report)
    _check_tokenizer(folder, model, tokenizer)
    if device_map is None:
        model.to(target)
    elif model.get_input_embeddings().weight.is_meta:
        raise InputError(
            f"{folder}: device_map {device_map!r} offloads the input embedding; keep it on a device"
        )
    return model.eval()


def _check_options(device: str, dtype: str, device_map: Any, attention: str | None) -> None:
    if dtype not in _DTYPES:
        raise InputError(f"dtype '{dtype}': expected one of {', '.join(_DTYPES)}")
    if device_map is not None and device != "cpu":
        raise InputError(
            f"device '{device}' and device_map {device_map!r} exclude each other; give one of them"
        )
    if attention is None:
        return
    if attention not in _ATTENTION:
        raise InputError(f"attention '{attention}': expected one of {', '.join(_ATTENTION)}")
    if attention == "flash_attention_2" and dtype == "float32":
        raise InputError(
            "attention 'flash_attention_2' computes in bfloat16 or float16 only; give such a dtype"
        )


def check_architecture(folder: Path, trust_remote_code: bool) -> None:
    """Refuses what transformers, or the checkpoint's own code if it may run, has no model for.

    Raises:
        InputError: says which.
    """
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    own_code = (config.get("auto_map") or {}).get("AutoModelForCausalLM")
    if trust_remote_code and own_code and "--" in own_code:
        repository = own_code.partition("--")[0]
        raise InputError(
            f"{folder}: its code is not in it but in '{repository}' on the Hub, where it can "
            f"change; copy the .py files here and take '{repository}--' out of config.json"
        )
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or (own_code and trust_remote_code):
        return
    lacking = (
        f"{folder}: transformers {transformers.__version__} has no causal language model of type "
        f"{kind!r}"
    )
    if own_code:
        raise InputError(
            f"{lacking}, and the checkpoint's own code ({own_code}) is not run unless asked for: "
            "read it, and if you trust it, say trust_remote_code=True"
        )
    raise InputError(f"{lacking}; check `model_type` in config.json, or upgrade transformers")


def _check_report(folder: Path, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Refuses weights and config that are not of one model."""
    missing = sorted(report["missing_keys"])
    if missing:
        raise InputError(
            f"{folder}: the weights lack {len(missing)} of the model's tensors, {missing[0]} among "
            "them; transformers would fill them with random numbers"
        )
    mismatched = sorted(report["mismatched_keys"])
    if mismatched:
        name, found, expected = mismatched[0]
        raise InputError(
            f"{folder}: config.json and weights disagree on the shape of {len(mismatched)} "
            f"tensors: {name} is {tuple(found)}, expected {tuple(expected)}"
        )
    blocks, n_expected = block_list(model), model.config.num_hidden_layers
    if len(blocks) != n_expected:
        raise InputError(f"{folder}: {len(blocks)} blocks, but config.json says {n_expected}")
    left_over = sorted(name for name in report["unexpected_keys"] if _belongs(name, model))
    if left_over:
        raise InputError(
            f"{folder}: config.json has no place for {len(left_over)} of the weights' tensors, "
            f"{left_over[0]} among them; config and weights are not of one model"
        )


def _belongs(name: str, model: PreTrainedModel) -> bool:
    """Whether a tensor's name lies in the embedding, the blocks, the norm or the head.

    Other heads (of values or rewards) may stand beside them.
    """
    prefix = f"{model.base_model_prefix}."
    parts = {part for part, _ in model.named_children()} - {model.base_model_prefix}
    parts |= {part for part, _ in model.base_model.named_children()}
    return name.removeprefix(prefix).split(".")[0] in parts


def _check_tokenizer(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    embedding: Any = model.get_input_embeddings()
    token, index = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    n_rows = embedding.weight.shape[0]
    if index >= n_rows:
        raise InputError(
            f"{folder}: the tokenizer's token {token!r} has id {index}, but the model embeds only "
            f"{n_rows} tokens; tokenizer and weights are not of one model"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' own report on what it loaded: that is judged here."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
