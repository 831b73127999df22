"""A study by name or file, whichever kind it is of."""

from __future__ import annotations

from typing import Any

from interp import configs
from interp.comparing.run import Comparison
from interp.study import Study


def load_study(name_or_path: str, **kwargs: Any) -> Study | Comparison:
    """A packaged study, or that of a YAML file.

    A file with the key `questions` compares models of yours; one with `purpose` trains and judges
    the embedded lineage.

    Args:
        name_or_path: a packaged study's name, or a YAML file.
        kwargs: as for the classes: `device`, `cluster`, `workers`.

    Raises:
        InputError: no such study or file, a misspelt key, or as the classes.
    """
    path = configs.locate(name_or_path, "studies")
    if "questions" in (configs.read(path).content or {}):
        return Comparison.load(str(path), **kwargs)
    return Study.load(name_or_path, **kwargs)
