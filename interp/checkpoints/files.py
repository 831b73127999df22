"""The files of a checkpoint: which ones count, whether they are whole, and their hashes."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from interp.errors import InputError
from interp.tables import replacing

MANIFEST = "manifest.json"
ADAPTER_CONFIG = "adapter_config.json"
_LONGEST = 300
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def check_folder(folder: Path) -> None:
    """Refuses what is no folder of a checkpoint.

    Raises:
        InputError: no such folder, or no config or tokenizer in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such checkpoint folder; expected one with config.json, *.safetensors "
            "and tokenizer.json (`hf download <id> --local-dir <folder>` makes one)"
        )
    if (folder / ADAPTER_CONFIG).is_file():
        raise InputError(
            f"{folder}: {ADAPTER_CONFIG} says that it holds an adapter: `Checkpoint.find` puts it "
            "over its base model; if it is merged into the weights already, delete that file"
        )
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json in it, so this is no checkpoint folder")
    if not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"{folder}: no tokenizer.json in it; save the model's fast tokenizer there "
            "(`AutoTokenizer.from_pretrained(...).save_pretrained(folder)`)"
        )


def weight_files(folder: Path, *, stem: str = "model", allow_pickle: bool = False) -> list[Path]:
    """The files that hold the weights, all of them there; safetensors wherever there are some.

    Args:
        folder: of the checkpoint.
        stem: "model", or "adapter_model" in the folder of an adapter.
        allow_pickle: take PyTorch's pickles if there are no safetensors.

    Raises:
        InputError: there are none (the message says what there is instead), or a shard is missing.
    """
    names = [f"{stem}.safetensors"]
    if allow_pickle:
        names.append(f"{stem}.bin" if stem != "model" else "pytorch_model.bin")
    for name in names:
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
        if (folder / name).is_file():
            return [folder / name]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles and not allow_pickle:
        raise InputError(
            f"{folder}: its weights are pickles ({', '.join(pickles)}), which can run code when "
            "they are read; convert them to safetensors (`model.save_pretrained(folder)`), or say "
            "allow_pickle=True, which reads tensors from them and refuses anything else"
        )
    expected = " or ".join(names)
    raise InputError(f"{folder}: no weights in it; expected {expected}, or shards with an index")


def check_weights(folder: Path, *, stem: str = "model", allow_pickle: bool = False) -> None:
    """Refuses weights that are cut short, or not those that the manifest was written for.

    Args:
        folder: of the checkpoint.
        stem: as for `weight_files`.
        allow_pickle: as for `weight_files`.

    Raises:
        InputError: names the file.
    """
    for path in weight_files(folder, stem=stem, allow_pickle=allow_pickle):
        _check_whole(path)
    for name, expected in read_manifest(folder).get("sha256", {}).items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise InputError(
                f"{folder / name}: not the file that {MANIFEST} was written for (its SHA-256 "
                "differs); it is half-written or damaged: delete the folder and make it again"
            )


def one_line(error: Exception) -> str:
    """What an error of a library says, without its line breaks and not at any length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " ..."


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file; a file that was not touched is read only once in a process."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `save_manifest` wrote; empty for a checkpoint without a manifest.

    Raises:
        InputError: the file is not a JSON object.
    """
    path = folder / MANIFEST
    return read_json(path) if path.is_file() else {}


def save_manifest(folder: Path, content: Mapping[str, Any]) -> Path:
    """The path of a `manifest.json` written with the content and each weight file's `sha256`.

    Write it last: from then on a checkpoint whose weights differ is refused.

    Args:
        folder: of the checkpoint.
        content: whatever says how it was made.

    Raises:
        InputError: there are no weights, or the file cannot be written.
    """
    hashes = {path.name: file_sha256(path) for path in weight_files(folder)}
    text = json.dumps({**content, "sha256": hashes}, indent=1, sort_keys=True)
    with replacing(folder / MANIFEST) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return folder / MANIFEST


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: names the file that is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: not valid JSON ({error}); it is damaged: make it again"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise InputError(f"{index}: no `weight_map` in it, which lists the shards; fetch it again")
    shards = [index.parent / name for name in sorted(set(names.values()))]
    for shard in shards:
        if not shard.is_file():
            raise InputError(f"{shard}: missing, though {index.name} lists it; fetch it")
    return shards


def _check_whole(path: Path) -> None:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt"):
                pass
        else:
            torch.load(path, map_location="meta", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds something other than tensors, which could run code, so it is not "
            "read; convert it to safetensors on a machine that may run it"
        ) from error
    except (SafetensorError, OSError, RuntimeError, EOFError) as error:
        raise InputError(
            f"{path}: not a whole file of weights ({one_line(error)}); it is half-written or "
            "damaged: fetch or train it again"
        ) from error


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
