"""Tables drawn once for all figure tests."""

from __future__ import annotations

import pandas as pd
import pytest

from tests.figures.tables import MEMBERS, study_tables


@pytest.fixture(scope="session")
def one_seed() -> dict[str, pd.DataFrame]:
    """A study of one seed with every member of the lineage."""
    return study_tables()


@pytest.fixture(scope="session")
def three_seeds() -> dict[str, pd.DataFrame]:
    """A study of three seeds with four members, to keep drawing short."""
    few = {name: MEMBERS[name] for name in ("base", "reason_sft_upper", "reason_rl", "replaced")}
    return study_tables(seeds=(3, 4, 5), members=few)


@pytest.fixture(scope="session")
def small() -> dict[str, pd.DataFrame]:
    """A study of one seed and two members over two layers."""
    few = {name: MEMBERS[name] for name in ("base", "reason_sft_upper")}
    return study_tables(members=few, n_layers=2)
