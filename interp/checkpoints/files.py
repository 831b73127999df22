"""The files of a checkpoint: which ones count, whether they are whole, and their hashes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from interp.errors import InputError
from interp.tables import replacing

MANIFEST = "manifest.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_CONFIG_FILES = ("config.json", "generation_config.json")
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
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
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: no config.json in it, so this is no checkpoint folder")
    if not (folder / "tokenizer.json").is_file():
        raise InputError(
            f"{folder}: no tokenizer.json in it; save the model's fast tokenizer there "
            "(`AutoTokenizer.from_pretrained(...).save_pretrained(folder)`)"
        )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights, all of them there.

    Raises:
        InputError: there are none (the message says what there is instead), or a shard is missing.
    """
    if (folder / _INDEX).is_file():
        shards = sorted(set(read_json(folder / _INDEX)["weight_map"].values()))
        for shard in shards:
            if not (folder / shard).is_file():
                raise InputError(f"{folder / shard}: missing, though {_INDEX} lists it; fetch it")
        return [folder / shard for shard in shards]
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise InputError(
            f"{folder}: its weights are pickles ({', '.join(pickles)}), which can run code when "
            "they are read; convert them to safetensors (`model.save_pretrained(folder)`)"
        )
    if (folder / "adapter_model.safetensors").is_file():
        raise InputError(
            f"{folder}: holds an adapter without its base model; merge them "
            "(`merge_and_unload()`) and save the result"
        )
    raise InputError(f"{folder}: no weights in it; expected {_WEIGHTS} or shards with {_INDEX}")


def check_weights(folder: Path) -> None:
    """Refuses weights that are cut short, or not those that the manifest was written for.

    Raises:
        InputError: names the file.
    """
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{path}: not a whole safetensors file ({error}); it is half-written or damaged: "
                "fetch or train it again"
            ) from error
    for name, expected in read_manifest(folder).get("sha256", {}).items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise InputError(
                f"{folder / name}: not the file that {MANIFEST} was written for (its SHA-256 "
                "differs); it is half-written or damaged: delete the folder and make it again"
            )


def identity(folder: Path) -> str:
    """SHA-256 (hex) over everything that decides what the model computes from a prompt.

    That is config, weights, tokenizer and chat template; not the manifest or a model card.

    Raises:
        InputError: the folder is no checkpoint.
    """
    check_folder(folder)
    names = [*_CONFIG_FILES, *TOKENIZER_FILES, *(path.name for path in weight_files(folder))]
    return _combined(folder, names)


def tokenizer_identity(folder: Path) -> str:
    """SHA-256 (hex) over tokenizer and chat template."""
    return _combined(folder, TOKENIZER_FILES)


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
    """Writes `manifest.json` with the content and, under `sha256`, the hash of each weight file.

    Write it last: from then on a checkpoint whose weights differ is refused.

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


def _combined(folder: Path, names: tuple[str, ...] | list[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(names):
        if (folder / name).is_file():
            digest.update(f"{name} {file_sha256(folder / name)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
