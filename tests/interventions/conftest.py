"""Fixtures: tiny random models, loaded as any checkpoint is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interp.checkpoints import Checkpoint, LoadedModel
from tests.interventions.tiny import ARCHITECTURES, write_checkpoint

Load = Callable[..., LoadedModel]


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """load(architecture, seed=0, **config) -> a freshly loaded tiny model."""
    root = tmp_path_factory.mktemp("checkpoints")

    def make(architecture: str, seed: int = 0, dtype: str = "float32", **config: object):
        name = "-".join([architecture, str(seed), *(f"{k}_{v}" for k, v in config.items())])
        if not (root / name).exists():
            write_checkpoint(root / name, architecture, seed, config)
        return Checkpoint(root / name, name).load(dtype=dtype)

    return make


@pytest.fixture(params=ARCHITECTURES)
def loaded(request: pytest.FixtureRequest, load: Load) -> LoadedModel:
    """One tiny model of each architecture."""
    return load(request.param)
