"""A graft is the child below and the parent above, or the other way round, exactly."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from torch import Tensor

from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.interventions import graft
from tests.interventions.tiny import ARCHITECTURES, N_LAYERS, Batch, logits, random_batch

PARTS = ("lower", "upper")


def composed_logits(below: LoadedModel, above: LoadedModel, n_below: int, batch: Batch) -> Tensor:
    """The embedding and first blocks of one model run under the others of another model.

    Both models run whole; the residual stream of the first is handed over at the seam.
    """
    handed: list[Tensor] = []
    with ExitStack() as stack, torch.no_grad():
        handle = below.blocks[n_below].register_forward_pre_hook(
            lambda _, args, kwargs: handed.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
        stack.callback(handle.remove)
        below.model(**batch.inputs)
        take = above.blocks[n_below].register_forward_pre_hook(
            lambda _, args, kwargs: (
                ((handed[0], *args[1:]), kwargs)
                if args
                else (args, kwargs | {"hidden_states": handed[0]})
            ),
            with_kwargs=True,
        )
        stack.callback(take.remove)
        return above.model(**batch.inputs).logits


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("part", PARTS)
def test_no_layers_is_the_parent_and_all_layers_the_child(load, architecture, part, tied):
    parent, child = (load(architecture, seed, tie_word_embeddings=tied) for seed in (0, 1))
    batch = random_batch("left")
    none = graft(parent, child, 0, child_part=part)
    every = graft(parent, child, N_LAYERS, child_part=part)
    assert torch.equal(logits(none, batch), logits(parent, batch))
    assert torch.equal(logits(every, batch), logits(child, batch))
    assert not torch.equal(logits(parent, batch), logits(child, batch))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("n_layers", range(1, N_LAYERS))
def test_a_graft_is_one_model_run_under_the_other(load, architecture, n_layers, tied):
    parent, child = (load(architecture, seed, tie_word_embeddings=tied) for seed in (0, 1))
    batch = random_batch("right")
    lower = logits(graft(parent, child, n_layers, child_part="lower"), batch)
    upper = logits(graft(parent, child, n_layers, child_part="upper"), batch)
    seam = N_LAYERS - n_layers
    assert torch.equal(lower, composed_logits(child, parent, n_layers, batch))
    assert torch.equal(upper, composed_logits(parent, child, seam, batch))


def test_grafting_leaves_parent_and_child_alone(load):
    parent, child = (load("llama", seed, tie_word_embeddings=True) for seed in (0, 1))
    before = [{k: v.clone() for k, v in m.model.state_dict().items()} for m in (parent, child)]
    grafted = graft(parent, child, 2)
    with torch.no_grad():
        for parameter in grafted.model.parameters():
            parameter.zero_()
    for model, state in zip((parent, child), before, strict=True):
        assert model.model.config.tie_word_embeddings
        assert all(torch.equal(v, state[k]) for k, v in model.model.state_dict().items())


def test_a_graft_cannot_pass_for_the_checkpoint_it_was_made_from(load):
    grafted = graft(load("llama", 0), load("llama", 1), 2)
    assert grafted.checkpoint.name == "llama-0 with lower 2 of llama-1"
    with pytest.raises(InputError, match="no such checkpoint folder"):
        _ = grafted.checkpoint.fingerprint


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_graft_of_tied_models_is_the_same_model(load, architecture, tmp_path):
    parent, child = (load(architecture, seed, tie_word_embeddings=True) for seed in (0, 1))
    grafted, batch = graft(parent, child, 2), random_batch("left")
    assert not grafted.model.config.tie_word_embeddings
    assert not grafted.model.all_tied_weights_keys
    grafted.model.save_pretrained(tmp_path)
    grafted.tokenizer.save_pretrained(tmp_path)
    assert torch.equal(logits(Checkpoint(tmp_path, "graft").load(), batch), logits(grafted, batch))


@pytest.mark.parametrize(
    ("child", "message"),
    [
        (("llama", {}), "configs differ in architectures"),
        (("qwen2_sliding", {"vocab_size": 44}), "configs differ in vocab_size"),
        (("qwen2_sliding", {"num_hidden_layers": 3, "layer_types": None}), "configs differ in"),
        (("qwen2_sliding", {"sliding_window": 3}), "configs differ in sliding_window"),
        (("qwen2_sliding", {"dtype": "bfloat16"}), "dtypes torch.bfloat16 and torch.float32"),
    ],
)
def test_models_that_do_not_fit_are_refused(load, child, message):
    architecture, options = child
    with pytest.raises(InputError, match=message):
        graft(load("qwen2_sliding"), load(architecture, **options), 2)


def test_a_token_with_two_ids_is_refused(load, tmp_path):
    parent, child = load("llama", 0), load("llama", 1)
    child.model.save_pretrained(tmp_path)
    child.tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    swapped = file.read_text().replace('"w7"', '"w?"').replace('"w8"', '"w7"')
    file.write_text(swapped.replace('"w?"', '"w8"'))
    with pytest.raises(InputError, match="token 'w7' has id 8 against 7"):
        graft(parent, Checkpoint(tmp_path, "swapped").load(), 2)


@pytest.mark.parametrize("n_layers", [-1, N_LAYERS + 1])
def test_a_number_of_layers_out_of_range_is_refused(load, n_layers):
    with pytest.raises(InputError, match="expected 0 to 4"):
        graft(load("llama", 0), load("llama", 1), n_layers)
