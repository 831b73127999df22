"""The figure of published recall draws its tables."""

from __future__ import annotations

import pandas as pd
import pytest

from interp.figures.published import published_figure

MEANS = pd.DataFrame(
    {"model": ["base", "instruct"], "estimate": [0.4, 0.7], "lo": [0.3, 0.6], "hi": [0.5, 0.8]}
)
CHANGES = pd.DataFrame(
    {
        "parent": ["p", "p", "q"],
        "child": ["c", "c", "d"],
        "dataset": ["first", "second", "first"],
        "change": [-0.1, -0.5, 0.2],
    }
)


@pytest.fixture(scope="module")
def drawn() -> dict[str, object]:
    figure = published_figure(MEANS, CHANGES)
    return {artist.get_gid(): artist for artist in figure.findobj() if artist.get_gid()}


def test_means_stand_where_the_table_has_them(drawn: dict) -> None:
    for y, row in enumerate(MEANS.itertuples()):
        assert drawn[f"{row.model}|mean|all"].get_xdata() == [row.estimate]
        (segment,) = drawn[f"{row.model}|interval|all"].get_segments()
        assert segment.tolist() == [[row.lo, y], [row.hi, y]]


def test_changes_stand_in_their_datasets_row(drawn: dict) -> None:
    # By mean change: second -.5, first +.05.
    assert drawn["c|change|all"].get_xdata().tolist() == [-0.5, -0.1]
    assert drawn["d|change|all"].get_xdata().tolist()[1] == 0.2
    assert pd.isna(drawn["d|change|all"].get_xdata()[0])
