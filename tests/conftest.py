"""For all tests: offline, few threads, caches in a temporary folder, annotations checked."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before anything imports them: libraries read these once.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest
from jaxtyping import install_import_hook

# Before the first import of a room: from here on shapes and types are checked at every call.
# As mypy reads it, an int is welcome where a float is asked for (the numeric tower).
install_import_hook("interp", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

# The same examples on every machine; no deadline, as machines are shared.
hypothesis.settings.register_profile("theorems", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("theorems")


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from, or written to, the folders of the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("INTERP_FIGURES", str(tmp_path_factory.mktemp("figures")))
        patch.setenv("INTERP_SAES", str(tmp_path_factory.mktemp("saes")))
        yield
