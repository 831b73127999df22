"""A micro pair, trained once for everything that the documentation runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.organism.micro import shared_pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of a parent and a child."""
    return shared_pair(tmp_path_factory)
