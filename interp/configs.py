"""Ground floor: YAML files read into pydantic models; errors say which line and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from interp._lines import Source
from interp.errors import InputError

Model = TypeVar("Model", bound=pydantic.BaseModel)
MOST_LISTED = 5
"""Errors of one file that a message lists; the others are counted."""
LONGEST_VALUE = 120
"""Characters of a wrong value that are shown."""


def nearest(name: str, among: Iterable[str]) -> str:
    """A question naming the most similar of `among`, or nothing if none is similar.

    Args:
        name: as it was written.
        among: the names there are.
    """
    close = _nearest(name, among)
    return f" (did you mean '{close}'?)" if close else ""


def _nearest(name: str, among: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(name, list(among), n=1, cutoff=0.5)), "")


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


def read(path: Path) -> Source:
    """The keys of a YAML file, with the lines they stand on.

    Args:
        path: of the file.

    Raises:
        InputError: not YAML, no mapping, or a key that stands twice.
    """
    try:
        source = Source(path.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not valid YAML: {error}") from error
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}, {_syntax(error)}") from error
    except yaml.reader.ReaderError as error:
        raise InputError(f"{path}: not valid YAML: {error}".replace("\n", " ")) from error
    if not isinstance(source.content, dict):
        found = type(source.content).__name__
        raise InputError(f"{path}: expected a mapping of keys, found {found}")
    if source.repeated:
        raise InputError(_listed(path, source.repeated))
    return source


def load(path: Path, model: type[Model]) -> Model:
    """Reads a YAML file into `model`.

    Args:
        path: of the file.
        model: the pydantic class that says what may stand in it.

    Raises:
        InputError: as `read`, a key that does not exist (with the nearest one that does), a key
            that is missing, or a value of the wrong kind. The message names file, line and key;
            of several errors it lists the first five.
    """
    source = read(path)
    try:
        return model.model_validate(source.content)
    except pydantic.ValidationError as error:
        raise InputError(_listed(path, _explain(error, model, source))) from error


def _syntax(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.context, error.problem) if part)
    return f"line {mark.line + 1 if mark else 1}: not valid YAML: {said}"


def _listed(path: Path, errors: Iterable[tuple[int, str]]) -> str:
    """One message of errors with their lines: the first, then the others below it."""
    first, *others = [f"line {line}: {said}" for line, said in sorted(set(errors))]
    rest = [f"  {said}" for said in others[: MOST_LISTED - 1]]
    more = len(others) - len(rest)
    return "\n".join([f"{path}, {first}", *rest, *([f"  and {more} more"] if more else [])])


def _explain(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], source: Source
) -> list[tuple[int, str]]:
    """What is wrong, each with its line."""
    unknown, other, misspelt = [], {}, set()
    for found in error.errors():
        location = found["loc"]
        if found["type"] == "extra_forbidden":
            near = _nearest(str(location[-1]), _keys_beside(model, location))
            misspelt.add((*location[:-1], near))
            where = ".".join([*source.path(location[:-1]), str(location[-1])])
            asked = f" (did you mean '{near}'?)" if near else ""
            unknown.append((source.line(location), f"unknown key '{where}'{asked}"))
        elif found["type"] == "missing":
            where = ".".join([*source.path(location[:-1]), str(location[-1])])
            said = f"the key '{where}' is missing"
            other[location] = (source.line(location[:-1], of_value=True), said)
        else:
            # A value that is none of several kinds has an error for each; the first one is said.
            place = tuple(source.path(location))
            other.setdefault(place, (source.line(location), _of_value(place, found)))
    # A misspelt key is also a missing one; its spelling is what has to be mended.
    return unknown + [said for location, said in other.items() if location not in misspelt]


def _of_value(place: tuple[str, ...], found: Any) -> str:
    said = str(found["msg"]).removeprefix("Value error, ")
    if not place:  # of keys that do not go together
        return said
    value = repr(found["input"])
    shown = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}..."
    return f"'{'.'.join(place)}': {said} (found {shown})"


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
