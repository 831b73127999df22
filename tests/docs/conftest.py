"""What the tests of the documentation share: a micro pair, and the reader of public names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.organism.micro import shared_pair

ROOT = Path(__file__).parents[2]


def load_make_api() -> ModuleType:
    """The script `docs/make_api.py` as a module."""
    if "make_api" not in sys.modules:
        spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules["make_api"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["make_api"])
    return sys.modules["make_api"]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a parent and a child."""
    return shared_pair(tmp_path_factory)
