"""Writing what attention or the MLP adds is writing the stream behind it, at the marked tokens."""

from __future__ import annotations

import pytest
import torch

from interp.activations import Site
from interp.activations.backends import open_backend
from interp.checkpoints import Checkpoint
from interp.checkpoints.anatomy import tap
from interp.errors import InputError
from interp.interventions import Add, Patch, intervene
from interp.prompts import encode
from tests.checkpoints.tiny import ARCHITECTURES, D_MODEL, write_checkpoint

LAYER = 1
TEXTS = ["w1 w2 w3 w4 w5", "w6 w7", "w8 w9 w10"]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def loaded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inner")
    return Checkpoint(write_checkpoint(folder, request.param), request.param).load()


def read(loaded, encoded, site):
    taken = {}
    open_backend("hooks", loaded, [site]).run(encoded, taken.__setitem__)
    return taken[site]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["attn_out", "mlp_out"])
def test_adding_to_a_part_adds_to_the_stream_behind_it(loaded, kind, side):
    encoded = encode(TEXTS, loaded.tokenizer, side=side)
    vector_D = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(0))
    mask_BT = encoded.attention_mask_BT.bool()
    mask_BT &= torch.rand(mask_BT.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    behind = "resid_mid" if kind == "attn_out" else "resid_post"
    if tap(loaded.blocks[LAYER], behind) is None:
        behind = "resid_post"  # attention and MLP in parallel
        assert kind == "attn_out"
    site = Site(behind, LAYER)
    before_BTD = read(loaded, encoded, site)
    with intervene(loaded, [Add(Site(kind, LAYER), vector_D, 2.0)], mask_BT) as edit:
        after_BTD = read(loaded, encoded, site)
    change_BTD = after_BTD - before_BTD
    assert torch.equal(edit.hits, mask_BT)
    assert mask_BT.any()
    assert torch.equal(change_BTD[~mask_BT], torch.zeros_like(change_BTD[~mask_BT]))
    assert torch.allclose(change_BTD[mask_BT], 2.0 * vector_D, atol=1e-5)


def test_patching_a_part_by_its_own_values_changes_nothing(loaded):
    encoded = encode(TEXTS, loaded.tokenizer, side="right")
    mask_BT = encoded.attention_mask_BT.bool()
    site, behind = Site("attn_out", LAYER), Site("resid_post", 3)
    own_BTD = read(loaded, encoded, site)
    before_BTD = read(loaded, encoded, behind)
    with intervene(loaded, [Patch(site, own_BTD)], mask_BT):
        assert torch.equal(read(loaded, encoded, behind), before_BTD)
    with intervene(loaded, [Patch(site, own_BTD + 1.0)], mask_BT):
        assert not torch.allclose(read(loaded, encoded, behind), before_BTD)


def test_the_stream_between_the_parts_can_only_be_read(loaded):
    encoded = encode(TEXTS, loaded.tokenizer)
    edit = Add(Site("resid_mid", LAYER), torch.zeros(D_MODEL), 1.0)
    message = "no such place" if tap(loaded.blocks[0], "resid_mid") is None else "only be read"
    with (
        pytest.raises(InputError, match=message),
        intervene(loaded, [edit], encoded.attention_mask_BT.bool()),
    ):
        pass
