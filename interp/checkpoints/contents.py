"""What counts as a checkpoint: the files that decide what it computes, and their hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from interp.checkpoints import files
from interp.errors import InputError

Parts = dict[str, Path | None]
"""Files of a checkpoint by the name that they count under; None for one that is left out."""

_CONFIG_FILES = ("config.json", "generation_config.json")
_TEMPLATE = "chat_template.jinja"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    _TEMPLATE,
)


def model_parts(folder: Path, *, allow_pickle: bool = False, code: bool = False) -> Parts:
    """Config and weights, and the checkpoint's own code where that is run.

    Raises:
        InputError: the folder is no checkpoint.
    """
    files.check_folder(folder)
    named = [folder / name for name in _CONFIG_FILES]
    named += files.weight_files(folder, allow_pickle=allow_pickle)
    return _there([*named, *(folder.glob("*.py") if code else ())])


def adapter_parts(folder: Path, *, allow_pickle: bool = False) -> Parts:
    """Config and weights of an adapter.

    Raises:
        InputError: there are no weights in the folder.
    """
    named = [folder / files.ADAPTER_CONFIG]
    named += files.weight_files(folder, stem="adapter_model", allow_pickle=allow_pickle)
    return {f"adapter/{name}": path for name, path in _there(named).items()}


def tokenizer_parts(folder: Path, chat_template: str | Path = "own") -> Parts:
    """Tokenizer and chat template.

    Args:
        folder: of the tokenizer.
        chat_template: "own", "none", or a file in place of its own.

    Raises:
        InputError: there is no such file.
    """
    parts = _there([folder / name for name in _TOKENIZER_FILES])
    if chat_template == "own":
        return parts
    return parts | {_TEMPLATE: checked_template(chat_template)}


def checked_template(chat_template: str | Path) -> Path | None:
    """The file that a choice of chat template names; None for "own" and "none".

    Raises:
        InputError: there is no such file.
    """
    if not isinstance(chat_template, Path):
        return None
    if not chat_template.is_file():
        raise InputError(f"chat template {chat_template}: no such file; expected a Jinja template")
    return chat_template


def identity(parts: Parts) -> str:
    """SHA-256 (hex) over parts of a checkpoint."""
    digest = hashlib.sha256()
    for name, path in sorted(parts.items()):
        digest.update(f"{name} {files.file_sha256(path) if path else None}\n".encode())
    return digest.hexdigest()


def _there(paths: list[Path]) -> Parts:
    return {path.name: path for path in paths if path.is_file()}
