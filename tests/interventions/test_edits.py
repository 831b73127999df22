"""What each edit does to the residual stream, in closed form."""

from __future__ import annotations

import pytest
import torch

from interp.activations import Site
from interp.errors import InputError
from interp.interventions import Ablate, Add, Patch, intervene
from tests.interventions.tiny import (
    ARCHITECTURES,
    D_MODEL,
    N_LAYERS,
    logits,
    random_batch,
    resid,
    some_positions,
    vector,
)


@pytest.mark.parametrize("kind", ["resid_pre", "resid_post"])
def test_add_moves_the_residual_by_the_vector(loaded, kind):
    batch, site = random_batch("left"), Site(kind, 2)
    mask_BT = some_positions(batch)
    before = resid(loaded, batch, site)
    with intervene(loaded, [Add(site, vector(), -1.5)], mask_BT):
        after = resid(loaded, batch, site)
    expected = before + mask_BT[..., None] * (-1.5 * vector())
    assert torch.allclose(after, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["resid_pre", "resid_post"])
def test_ablate_leaves_no_component_and_keeps_the_rest(loaded, kind):
    batch, site = random_batch("right"), Site(kind, 2)
    mask_BT = some_positions(batch)
    before = resid(loaded, batch, site)
    with intervene(loaded, [Ablate(site, vector())], mask_BT):
        after = resid(loaded, batch, site)
    unit_D = vector() / vector().norm()
    projector_DD = torch.eye(D_MODEL) - torch.outer(unit_D, unit_D)
    assert (after[mask_BT] @ unit_D).abs().max() < 1e-5
    assert torch.allclose(after[mask_BT], before[mask_BT] @ projector_DD, atol=1e-5)
    assert torch.equal(after[~mask_BT], before[~mask_BT])


def test_edits_of_one_site_apply_in_the_order_given(load):
    loaded, batch, site = load("llama"), random_batch("left"), Site("resid_post", 1)
    mask_BT = batch.real_BT
    add, ablate = Add(site, vector(), 1.0), Ablate(site, vector())
    unit_D = vector() / vector().norm()
    with intervene(loaded, [add, ablate], mask_BT):
        ablated_last = resid(loaded, batch, site)[mask_BT] @ unit_D
    with intervene(loaded, [ablate, add], mask_BT):
        added_last = resid(loaded, batch, site)[mask_BT] @ unit_D
    assert ablated_last.abs().max() < 1e-5
    assert torch.allclose(added_last, vector().norm().expand_as(added_last), atol=1e-5)


def test_nested_contexts_add_up_and_the_outer_edits_first(load):
    loaded, batch, site = load("gpt2"), random_batch("left"), Site("resid_post", 1)
    outer_BT, inner_BT = some_positions(batch, 1), some_positions(batch, 2)
    before = resid(loaded, batch, site)
    with (
        intervene(loaded, [Add(site, vector(1), 1.0)], outer_BT) as outer,
        intervene(loaded, [Ablate(site, vector(1))], inner_BT) as inner,
    ):
        after = resid(loaded, batch, site)
    assert torch.equal(outer.hits, outer_BT)
    assert torch.equal(inner.hits, inner_BT)
    assert (after[inner_BT] @ vector(1)).abs().max() < 1e-3
    only_outer_BT = outer_BT & ~inner_BT
    assert torch.allclose(after[only_outer_BT], before[only_outer_BT] + vector(1), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_zero_coefficient_and_a_patch_of_own_values_change_nothing(load, dtype):
    for architecture in ARCHITECTURES:
        loaded, batch = load(architecture, dtype=dtype), random_batch("right")
        plain = logits(loaded, batch)
        for layer in range(N_LAYERS):
            site = Site("resid_post", layer)
            own = resid(loaded, batch, site)
            for edit in (Add(site, vector(), 0.0), Patch(site, own)):
                with intervene(loaded, [edit], batch.real_BT) as intervention:
                    assert torch.equal(logits(loaded, batch), plain)
                assert torch.equal(intervention.hits, batch.real_BT)


def test_edits_are_written_in_the_models_dtype(load):
    loaded, batch, site = (
        load("llama", dtype="bfloat16"),
        random_batch("left"),
        Site("resid_pre", 1),
    )
    before = resid(loaded, batch, site)
    with intervene(loaded, [Add(site, vector(), 0.1)], batch.real_BT):
        after = resid(loaded, batch, site)
    assert after.dtype == torch.bfloat16
    # One rounding, of the exact sum.
    exact = (before.double() + 0.1 * vector().double()).to(torch.bfloat16)
    off = (after.double() - exact.double()).abs()[batch.real_BT]
    assert (off > 0).float().mean() < 0.01


def test_the_whole_last_residual_of_another_model_gives_its_logits(load):
    child, parent = load("qwen2_sliding", 0), load("qwen2_sliding", 1)
    child.model.model.norm.load_state_dict(parent.model.model.norm.state_dict())
    child.model.lm_head.load_state_dict(parent.model.lm_head.state_dict())
    batch, site = random_batch("left"), Site("resid_post", N_LAYERS - 1)
    values = resid(parent, batch, site)
    with intervene(child, [Patch(site, values)], batch.real_BT):
        patched = logits(child, batch)
    expected = logits(parent, batch)
    assert torch.equal(patched[batch.real_BT], expected[batch.real_BT])
    assert not torch.allclose(logits(child, batch), expected, atol=0.1)


def test_one_patch_value_per_row_is_written_at_each_of_its_positions(load):
    loaded, batch, site = load("llama"), random_batch("left"), Site("resid_pre", 2)
    values_BD = torch.stack([vector(seed) for seed in range(len(batch.ids_BT))])
    mask_BT = some_positions(batch)
    with intervene(loaded, [Patch(site, values_BD)], mask_BT):
        after = resid(loaded, batch, site)
    row_N, column_N = mask_BT.nonzero(as_tuple=True)
    assert torch.equal(after[row_N, column_N], values_BD[row_N])


def test_values_by_column_find_their_columns_in_a_forward_behind_a_cache(load):
    loaded, batch, site = load("qwen2_sliding"), random_batch("left", (6, 6)), Site("resid_post", 1)
    values_BTD = torch.randn(2, 6, D_MODEL, generator=torch.Generator().manual_seed(0))
    with intervene(loaded, [Patch(site, values_BTD)], batch.real_BT), torch.no_grad():
        whole = loaded.model(input_ids=batch.ids_BT).logits
    with intervene(loaded, [Patch(site, values_BTD)], batch.real_BT), torch.no_grad():
        first = loaded.model(input_ids=batch.ids_BT[:, :4], use_cache=True)
        rest = loaded.model(input_ids=batch.ids_BT[:, 4:], past_key_values=first.past_key_values)
    in_two = torch.cat([first.logits, rest.logits], dim=1)
    assert torch.allclose(in_two, whole, atol=1e-5)


@pytest.mark.parametrize("kind", ["resid_pre", "resid_post"])
def test_tensors_that_others_hold_are_not_written_to(load, kind):
    loaded, batch, held = load("llama"), random_batch("left"), []
    with torch.no_grad():
        handle = loaded.blocks[1].register_forward_hook(lambda _, __, out: held.append(out))
        with intervene(
            loaded, [Add(Site(kind, 1 + (kind == "resid_pre")), vector(), 1.0)], batch.real_BT
        ):
            loaded.model(**batch.inputs)
        loaded.model(**batch.inputs)
        handle.remove()
    assert torch.equal(held[0], held[1])


def test_gradients_reach_a_vector_through_the_edit(load):
    loaded, batch = load("llama"), random_batch("left")
    steering_D = vector().requires_grad_(True)
    with intervene(loaded, [Add(Site("resid_post", 1), steering_D, 1.0)], batch.real_BT):
        loaded.model(**batch.inputs).logits[:, -1].logsumexp(-1).sum().backward()
    assert steering_D.grad is not None
    assert steering_D.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Add(Site("resid_post", N_LAYERS), vector(), 1.0), "layers 0 to 3"),
        (Add(Site("resid_post", 1), torch.ones(5), 1.0), r"expected \(16,\)"),
        (Add(Site("resid_post", 1), torch.full((D_MODEL,), torch.nan), 1.0), "NaN or Inf"),
        (Ablate(Site("resid_post", 1), torch.zeros(D_MODEL)), "direction is zero"),
        (Patch(Site("resid_post", 1), torch.zeros(2, D_MODEL)), "expected .*3, 16"),
        (Patch(Site("resid_post", 1), torch.zeros(3, 6, D_MODEL)), "expected .*3, 7, 16"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(load, edit, message):
    loaded, batch = load("llama"), random_batch("left")
    with pytest.raises(InputError, match=message), intervene(loaded, [edit], batch.real_BT):
        pass


def test_patching_generated_columns_needs_one_value_per_row(load):
    loaded, batch, site = load("llama"), random_batch("left"), Site("resid_post", 1)
    per_column = Patch(site, torch.zeros(3, 7, D_MODEL))
    with (
        pytest.raises(InputError, match="one value per row"),
        intervene(loaded, [per_column], batch.real_BT, generated=True),
    ):
        pass
