"""Every figure of the other studies can be printed in the narrowest column of two."""

from __future__ import annotations

import pytest

from tests.figures.printed import OTHER, assert_printable


@pytest.mark.parametrize("name", OTHER)
def test_a_figure_is_as_wide_as_the_style_and_can_be_read(name: str) -> None:
    assert_printable(name, "acl-column")
