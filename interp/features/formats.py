"""The file formats dictionaries are published in, each read into what SAELens builds one from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from interp.errors import InputError

Weights = dict[str, Tensor]
Content = tuple[dict[str, Any], Weights]
"""A config as SAELens reads it, and tensors by the names it gives them."""


@dataclass(frozen=True)
class Format:
    """How one library lays a dictionary out.

    Attributes:
        name: of the library or release.
        config: file of the config ("" if the weights say it all).
        weights: file of the weights.
        convert: config and tensors as they stand -> `Content`.
    """

    name: str
    config: str
    weights: str
    convert: Callable[[dict[str, Any], Weights, Path], Content]

    def stands_in(self, folder: Path) -> bool:
        """Whether all of its files are there."""
        return all((folder / name).is_file() for name in (self.config, self.weights) if name)

    def read(self, folder: Path) -> Content:
        """Config and tensors.

        Raises:
            InputError: a file is damaged, or a tensor that is expected is not among those found.
        """
        config = _read_json(folder / self.config) if self.config else {}
        return self.convert(config, _read_tensors(folder / self.weights), folder)


def format_of(folder: Path) -> Format:
    """The format of a folder.

    Raises:
        InputError: it is none of the known ones, or no folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of a dictionary")
    for known in FORMATS:
        if known.stands_in(folder):
            return known
    expected = "; ".join(
        f"{known.name}: {' and '.join(name for name in (known.config, known.weights) if name)}"
        for known in FORMATS
    )
    found = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise InputError(f"{folder}: not a dictionary of a known format ({expected}); found {found}")


def _sae_lens(config: dict[str, Any], weights: Weights, folder: Path) -> Content:
    return config, weights


def _gemma_scope(config: dict[str, Any], weights: Weights, folder: Path) -> Content:
    """Lieberum et al. 2024 (arXiv 2408.05147): a JumpReLU whose encoder sees the raw input."""
    _require(weights, ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"), folder)
    return _config("jumprelu", weights["W_enc"], apply_b_dec_to_input=False), weights


def _llama_scope(config: dict[str, Any], weights: Weights, folder: Path) -> Content:
    """He et al. 2024 (arXiv 2410.20526): trained on activations scaled to a mean norm of sqrt(d).

    The scale s is folded in: with codes in raw units (divided by s), encoder and decoder stay and
    biases and threshold are divided by s, which is the same function of the raw activation.
    """
    _require(weights, ("encoder.weight", "decoder.weight", "encoder.bias", "decoder.bias"), folder)
    try:
        norm = config["dataset_average_activation_norm"]["in"]
        threshold = config["jump_relu_threshold"]
    except KeyError as error:
        raise InputError(f"{folder}: hyperparams.json lacks the key {error}") from error
    encoder_DM = weights["encoder.weight"].T
    scale = encoder_DM.shape[0] ** 0.5 / norm
    return _config("jumprelu", encoder_DM, apply_b_dec_to_input=False), {
        "W_enc": encoder_DM,
        "W_dec": weights["decoder.weight"].T,
        "b_enc": weights["encoder.bias"] / scale,
        "b_dec": weights["decoder.bias"] / scale,
        "threshold": torch.full((encoder_DM.shape[1],), threshold / scale),
    }


def _sparsify(config: dict[str, Any], weights: Weights, folder: Path) -> Content:
    """EleutherAI's: TopK whose input is centred by the decoder's bias."""
    _require(weights, ("encoder.weight", "encoder.bias", "W_dec", "b_dec"), folder)
    if "k" not in config:
        raise InputError(f"{folder}: cfg.json lacks the key 'k'")
    if config.get("transcode") or config.get("activation", "topk") != "topk":
        raise InputError(
            f"{folder}: a {config.get('activation', 'topk')} "
            f"{'transcoder' if config.get('transcode') else 'dictionary'} of sparsify; only TopK "
            "autoencoders are read"
        )
    encoder_DM = weights["encoder.weight"].T
    return _config("topk", encoder_DM, apply_b_dec_to_input=True, k=config["k"]), {
        "W_enc": encoder_DM,
        "b_enc": weights["encoder.bias"],
        "W_dec": weights["W_dec"],
        "b_dec": weights["b_dec"],
    }


def _dictionary_learning(config: dict[str, Any], weights: Weights, folder: Path) -> Content:
    """Marks, Karvonen and Mueller's: TopK, BatchTopK (by its threshold) and plain ReLU."""
    kind = config.get("trainer", {}).get("dict_class")
    if kind not in ("AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        raise InputError(
            f"{folder}: dict_class {kind!r} of dictionary_learning; expected AutoEncoder, "
            "AutoEncoderTopK, BatchTopKSAE or MatryoshkaBatchTopKSAE"
        )
    if kind == "MatryoshkaBatchTopKSAE":
        _require(weights, ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"), folder)
        encoder_DM, decoder_MD, b_enc_M = weights["W_enc"], weights["W_dec"], weights["b_enc"]
    else:
        _require(weights, ("encoder.weight", "decoder.weight", "encoder.bias"), folder)
        encoder_DM, decoder_MD = weights["encoder.weight"].T, weights["decoder.weight"].T
        b_enc_M = weights["encoder.bias"]
    bias = "bias" if "bias" in weights else "b_dec"
    _require(weights, (bias,), folder)
    parts = {"W_enc": encoder_DM, "W_dec": decoder_MD, "b_enc": b_enc_M, "b_dec": weights[bias]}
    if kind == "AutoEncoder":
        return _config("standard", encoder_DM, apply_b_dec_to_input=True), parts
    if kind == "AutoEncoderTopK":
        k = int(weights["k"]) if "k" in weights else config["trainer"]["k"]
        return _config("topk", encoder_DM, apply_b_dec_to_input=True, k=k), parts
    _require(weights, ("threshold",), folder)
    parts["threshold"] = weights["threshold"].float().expand(encoder_DM.shape[1]).clone()
    return _config("jumprelu", encoder_DM, apply_b_dec_to_input=True), parts


def _config(architecture: str, encoder_DM: Tensor, **fields: Any) -> dict[str, Any]:
    d_in, d_sae = encoder_DM.shape
    return {
        "architecture": architecture,
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "normalize_activations": "none",
        "reshape_activations": "none",
        **fields,
    }


def _require(weights: Mapping[str, Tensor], names: tuple[str, ...], folder: Path) -> None:
    missing = [name for name in names if name not in weights]
    if missing:
        raise InputError(
            f"{folder}: the weights lack {', '.join(missing)}; expected {', '.join(names)}, found "
            f"{', '.join(sorted(weights)) or 'none'}"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of settings")
    return content


def _read_tensors(path: Path) -> Weights:
    """Tensors of a safetensors, npz or (tensors only) torch file."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: torch.from_numpy(file[name]) for name in file.files}
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, ValueError, OSError, RuntimeError, EOFError) as error:
        raise InputError(f"{path}: damaged, or no file of tensors ({error})") from error
    except Exception as error:  # an unpickler's own class; what it refuses is code
        raise InputError(f"{path}: holds more than tensors, and is not read ({error})") from error
    return {name: value for name, value in loaded.items() if isinstance(value, Tensor)}


FORMATS = (
    Format("sae_lens", "cfg.json", "sae_weights.safetensors", _sae_lens),
    Format("sparsify", "cfg.json", "sae.safetensors", _sparsify),
    Format("gemma_scope", "", "params.npz", _gemma_scope),
    Format("llama_scope", "hyperparams.json", "checkpoints/final.safetensors", _llama_scope),
    Format("dictionary_learning", "config.json", "ae.pt", _dictionary_learning),
)
