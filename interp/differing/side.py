"""One of the two studies that are compared: a finished one, or only its YAML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from interp import configs
from interp.errors import InputError
from interp.settings import figures_root
from interp.tables import read_csv

STAMP = "run.json"


@dataclass(frozen=True)
class Side:
    """What is known of a study.

    Attributes:
        name: as it was asked for.
        config: all of its settings, the usual ones too.
        code_version: that made its results; None if it has none.
        models: fingerprints by name; empty where a study trained its own.
        rule: the decision rule as data; empty where nobody was judged.
        tables: by name; None of a study that has not been run.
    """

    name: str
    config: Mapping[str, Any]
    code_version: str | None = None
    models: Mapping[str, str] | None = None
    rule: Mapping[str, Any] | None = None
    tables: Mapping[str, pd.DataFrame] | None = None

    @classmethod
    def find(cls, name_or_path: str) -> Side:
        """A study by name, folder or YAML file; a file's results are those of an equal run.

        Raises:
            InputError: no such study, or a folder or file that holds none.
        """
        path = Path(name_or_path)
        if path.suffix in (".yaml", ".yml"):
            return _of_file(path)
        folder = path if path.is_dir() else figures_root() / name_or_path
        if not folder.is_dir():
            finished = sorted(stamp.parent.name for stamp in figures_root().glob(f"*/{STAMP}"))
            raise InputError(
                f"'{name_or_path}' is no finished study{configs.nearest(name_or_path, finished)}, "
                "no folder of one and no YAML file; finished are "
                f"{', '.join(finished) or 'none'} (in {figures_root()})"
            )
        return _of_folder(name_or_path, folder)


def _of_folder(name: str, folder: Path) -> Side:
    stamp = folder / STAMP
    if not stamp.is_file():
        raise InputError(f"{folder}: no {STAMP} in it, so this is no folder of a finished study")
    try:
        run = json.loads(stamp.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{stamp}: not readable ({error}); run the study again") from error
    if not isinstance(run, dict) or not isinstance(run.get("config"), dict):
        raise InputError(f"{stamp}: says nothing of a config, so this is no finished study")
    config = dict(run["config"])
    inputs = config.pop("inputs", {})
    models = inputs.pop("models", {})
    return Side(
        name,
        config | ({"inputs": inputs} if inputs else {}),
        run.get("code_version"),
        models,
        yaml.safe_load(run.get("rule") or "") or {},
        {path.stem: read_csv(path) for path in sorted(folder.glob("*.csv"))},
    )


def _of_file(path: Path) -> Side:
    from interp.comparing import load_study

    study = load_study(str(path), device="cpu", cluster=None, workers=None)
    config = study.config.model_dump(mode="json")
    folder = figures_root() / study.config.name
    if (folder / STAMP).is_file():
        finished = _of_folder(str(path), folder)
        asked = {key: value for key, value in finished.config.items() if key != "inputs"}
        if asked == json.loads(json.dumps(config)):
            return finished
    return Side(str(path), config)
