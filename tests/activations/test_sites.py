"""A site and its name are one thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.activations import Site
from interp.errors import InputError


@given(kind=st.sampled_from(["resid_pre", "resid_post"]), layer=st.integers(0, 200))
def test_a_name_is_parsed_back_to_its_site(kind, layer):
    assert Site.parse(str(Site(kind, layer))) == Site(kind, layer)


def test_depth_is_the_order_of_a_forward():
    order = [
        Site("resid_pre", 0),
        Site("resid_post", 0),
        Site("resid_pre", 1),
        Site("resid_pre", 9),
    ]
    assert sorted(reversed(order), key=lambda site: site.depth) == order


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resid_pots.3", "unknown kind 'resid_pots'.*'resid_post'"),
        ("resid_post", "expected a kind and a layer"),
        ("resid_post.x", "expected a kind and a layer"),
        ("resid_post.-1", "expected a kind and a layer"),
        ("3", "expected a kind and a layer"),
    ],
)
def test_a_text_that_names_no_site_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Site.parse(text)


def test_a_layer_below_zero_is_refused():
    with pytest.raises(InputError, match="count from 0"):
        Site("resid_post", -1)
