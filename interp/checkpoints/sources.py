"""Where a checkpoint comes from: a folder, an adapter over one, or the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from interp.checkpoints import files
from interp.errors import InputError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_WANTED = ["*.json", "*.safetensors", "*.jinja"]
_PICKLED = ["pytorch_model*.bin", "adapter_model.bin"]
# Other formats of the same weights, and what training left behind.
_UNWANTED = ["*/*", "consolidated*"]
_ORGANISM = "organism:"


@dataclass(frozen=True)
class Located:
    """What a source stands for, on this machine.

    Attributes:
        path: folder of the weights.
        adapter: folder of an adapter over them.
        name: short, fit for a file's name.
    """

    path: Path
    adapter: Path | None
    name: str


def locate(
    source: str | Path,
    *,
    revision: str | None = None,
    base: str | Path | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Located:
    """Finds a source, from the Hub's cache on this machine where it is there, else from the Hub.

    Args:
        source: a folder of a checkpoint or of a PEFT adapter, or a Hugging Face id of either.
        revision: branch, tag or commit, of an id.
        base: what an adapter stands over, in place of what its config names.
        allow_pickle: fetch pickled weights where there are no others.
        trust_remote_code: fetch the checkpoint's own Python files too.

    Raises:
        InputError: it is nowhere, or cannot be fetched; one line that says what to do.
    """
    folder_of = partial(_folder, allow_pickle=allow_pickle, code=trust_remote_code)
    folder = folder_of(source, revision)
    name = _name(source, folder, revision)
    if not (folder / files.ADAPTER_CONFIG).is_file():
        if base is not None:
            raise InputError(f"{source}: not an adapter (no {files.ADAPTER_CONFIG}), so no base")
        return Located(folder, None, name)
    path = _base_of(folder, folder_of) if base is None else folder_of(base, None)
    if (path / files.ADAPTER_CONFIG).is_file():
        raise InputError(
            f"{folder}: its base {path} is an adapter too; merge that one into its own base "
            "(`merge_and_unload()`), save the result and give it as `base`"
        )
    return Located(path, folder, name)


def name_of(folder: Path) -> str:
    """What a folder is called by default; in the Hub's cache, the model it holds."""
    folder = folder.absolute()
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        return folder.parent.parent.name.rsplit("--", 1)[1]
    return folder.name or folder.resolve().name


def _folder(source: str | Path, revision: str | None, *, allow_pickle: bool, code: bool) -> Path:
    text = str(source)
    if text.startswith(_ORGANISM):
        member = text.removeprefix(_ORGANISM)
        raise InputError(
            f"'{text}': a member of the embedded lineage, which is trained here: "
            f"`interp organism train {member}` makes it and prints its folder; give that folder"
        )
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"{folder}: a folder has no revision ('{revision}'); leave it out")
        return folder
    if isinstance(source, Path) or not _HUB_ID.fullmatch(text):
        raise InputError(
            f"{folder}: no such folder; expected one with config.json, *.safetensors and "
            "tokenizer.json, or a Hugging Face id such as Qwen/Qwen2.5-1.5B"
        )
    wanted = [*_WANTED, "*.py"] if code else _WANTED
    fetched = _fetch(text, revision, wanted)
    if allow_pickle and not any(fetched.glob("*.safetensors")):
        return _fetch(text, revision, [*wanted, *_PICKLED])
    return fetched


def _base_of(adapter: Path, folder_of: Callable[[str, str | None], Path]) -> Path:
    """Folder of the model that an adapter says it was trained over."""
    config = files.read_json(adapter / files.ADAPTER_CONFIG)
    named = config.get("base_model_name_or_path")
    if not named:
        raise InputError(
            f"{adapter / files.ADAPTER_CONFIG}: does not name the model that the adapter was "
            "trained over; give it as `base`, or write it there as base_model_name_or_path"
        )
    for folder in (Path(named), adapter / named):
        if folder.is_dir():
            return folder
    try:
        return folder_of(named, config.get("revision"))
    except InputError as error:
        raise InputError(
            f"{adapter}: the base that this adapter names cannot be found: {error}; or give it "
            "as `base`"
        ) from error


def _fetch(repository: str, revision: str | None, patterns: list[str]) -> Path:
    at = "" if revision is None else f" at revision '{revision}'"
    by_hand = f"`hf download {repository}{f' --revision {revision}' if revision else ''}"
    try:
        folder = snapshot_download(
            repository, revision=revision, allow_patterns=patterns, ignore_patterns=_UNWANTED
        )
    except GatedRepoError as error:
        raise InputError(
            f"'{repository}'{at}: its owners give it only to those who accept their licence: do so "
            f"at https://huggingface.co/{repository}, then `hf auth login`, and try again"
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(
            f"'{repository}': no revision '{revision}'; "
            f"https://huggingface.co/{repository}/tree/main lists its branches and tags"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"'{repository}'{at}: neither a folder here nor a model on the Hub; mind the spelling, "
            "or `hf auth login` if it is private"
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError, OSError) as error:
        raise InputError(
            f"'{repository}'{at}: no such folder here, not whole in the cache "
            f"({constants.HF_HUB_CACHE}), and not to be had from the Hub "
            f"({files.one_line(error)}); where there is a network, {by_hand} --local-dir "
            "<folder>`, and give that folder"
        ) from error
    return Path(folder)


def _name(source: str | Path, folder: Path, revision: str | None) -> str:
    name = name_of(folder) if Path(source).expanduser().is_dir() else str(source).split("/")[-1]
    return name if revision is None else f"{name}@{revision.replace('/', '_')}"
