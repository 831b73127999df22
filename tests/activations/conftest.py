"""Fixtures: tiny random models of every architecture, and prompts of many lengths."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interp.checkpoints import Checkpoint, LoadedModel
from interp.prompts import PromptSet
from tests.activations.asked import some_prompts
from tests.checkpoints.tiny import ARCHITECTURES, write_checkpoint


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedModel]:
    """load(architecture) -> a freshly loaded tiny model."""
    root = tmp_path_factory.mktemp("checkpoints")
    for architecture in ARCHITECTURES:
        write_checkpoint(root / architecture, architecture)
    return lambda architecture: Checkpoint(root / architecture, architecture).load()


@pytest.fixture(params=ARCHITECTURES)
def loaded(request: pytest.FixtureRequest, load: Callable[[str], LoadedModel]) -> LoadedModel:
    """One tiny model of each architecture."""
    return load(request.param)


@pytest.fixture
def prompts() -> PromptSet:
    """25 prompts, from short to long and back."""
    return some_prompts(25)
