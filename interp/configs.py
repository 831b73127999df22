"""Ground floor: YAML files read into pydantic models; errors say which key and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from interp.errors import InputError

Model = TypeVar("Model", bound=pydantic.BaseModel)


def nearest(name: str, among: Iterable[str]) -> str:
    """A question naming the most similar of `among`, or nothing if none is similar.

    Args:
        name: as it was written.
        among: the names there are.
    """
    close = difflib.get_close_matches(name, list(among), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def packaged(folder: str) -> list[str]:
    """Names of the YAML files that the package ships in `interp/<folder>/`."""
    files = resources.files("interp").joinpath(folder).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def locate(name_or_path: str, folder: str) -> Path:
    """The YAML file of a packaged name, or of a path.

    Args:
        name_or_path: "organism", or a path that ends in .yaml or .yml.
        folder: of the package that holds the named files: "studies", "lineages".

    Raises:
        InputError: neither such a packaged name nor such a file.
    """
    if name_or_path in packaged(folder):
        return Path(str(resources.files("interp").joinpath(folder, f"{name_or_path}.yaml")))
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.exists():
        if not path.is_file():
            raise InputError(
                f"{path}: no such file; packaged {folder}: {', '.join(packaged(folder))}"
            )
        return path
    raise InputError(
        f"'{name_or_path}' is neither one of the packaged {folder} ({', '.join(packaged(folder))}) "
        f"nor a YAML file{nearest(name_or_path, packaged(folder))}"
    )


def read(path: Path) -> dict[str, Any]:
    """The keys of a YAML file, as they stand there.

    Args:
        path: of the file.
        model: the pydantic class that says what may stand in it.

    Raises:
        InputError: not YAML, or no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of keys, found {type(content).__name__}")
    return content


def load(path: Path, model: type[Model]) -> Model:
    """Reads a YAML file into `model`.

    Raises:
        InputError: not YAML, a key that does not exist (with the nearest one that does), a key
            that is missing, or a value of the wrong kind; the message names file and key.
    """
    content = read(path)
    try:
        return model.model_validate(content)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {_explain(error, model)}") from error


def _explain(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> str:
    # A misspelt key is also a missing one; its spelling is what has to be mended.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return f"unknown key '{where}'{nearest(key, _keys_beside(model, first['loc']))}"
    if first["type"] == "missing":
        return f"the key '{where}' is missing"
    return f"'{where}': {first['msg']} (found {first['input']!r})"


def _keys_beside(model: type[pydantic.BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand where the unknown one does."""
    schema = model.model_json_schema()
    node = schema
    for step in location[:-1]:
        if "properties" in node and step in node["properties"]:
            node = node["properties"][step]
        else:
            node = node.get("additionalProperties") or node.get("items") or {}
        options = [node, *node.get("anyOf", [])]
        reference = next((option["$ref"] for option in options if "$ref" in option), None)
        if reference:
            node = schema["$defs"][reference.rsplit("/", 1)[1]]
    return list(node.get("properties", {}))
