"""A turned residual stream computes the same function and means something else."""

from pathlib import Path

import numpy as np
import pytest
import torch

from interp.checkpoints import Checkpoint
from interp.organism import World, entity_prompts
from interp.organism.language import build_model, build_tokenizer
from interp.organism.objectives import RECIPES
from interp.organism.recipes import ModelShape
from interp.organism.rotation import random_rotation, rotate_residual
from interp.organism.training import Job, train_member

SHAPE = ModelShape(d_model=32, n_layers=3, n_heads=2, d_mlp=48, n_local_layers=1)


def model_with_uneven_norms(seed: int):
    torch.manual_seed(seed)
    model = build_model(SHAPE, build_tokenizer()).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(0.5 + torch.rand_like(weight))
    return model


def states(model, ids_NT):
    with torch.no_grad():
        out = model(input_ids=ids_NT, output_hidden_states=True)
    return out.logits, out.hidden_states


@pytest.mark.parametrize("size", [1, 2, 17, 96])
def test_the_rotation_is_orthogonal_and_of_its_seed(size: int) -> None:
    turn_DD = random_rotation(size, 3)
    assert torch.allclose(turn_DD @ turn_DD.T, torch.eye(size, dtype=torch.float64), atol=1e-12)
    assert torch.equal(turn_DD, random_rotation(size, 3))
    assert size == 1 or not torch.equal(turn_DD, random_rotation(size, 4))


def test_rotations_are_uniform_over_the_sphere() -> None:
    """A fixed vector goes anywhere: by symmetry its mean is 0 and its covariance the identity / d.

    Without the signs of QR's diagonal the first column would keep to one side.
    """
    first_ND = torch.stack([random_rotation(3, seed)[:, 0] for seed in range(3000)]).numpy()
    assert np.abs(first_ND.mean(0)).max() < 0.05
    assert np.cov(first_ND.T) == pytest.approx(np.eye(3) / 3, abs=0.03)


def test_the_outputs_stay_and_the_stream_is_turned_by_exactly_that_matrix() -> None:
    model = model_with_uneven_norms(0)
    ids_NT = torch.randint(3, 200, (4, 12), generator=torch.Generator().manual_seed(1))
    logits, before = states(model, ids_NT)
    rotate_residual(model, seed=5)
    turned_logits, after = states(model, ids_NT)
    assert torch.allclose(turned_logits, logits, atol=2e-5)
    turn_DD = random_rotation(SHAPE.d_model, 5).float()
    for old_NTD, new_NTD in zip(before[:-1], after[:-1], strict=True):
        assert torch.allclose(new_NTD, old_NTD @ turn_DD, atol=2e-5)
        assert not torch.allclose(new_NTD, old_NTD, atol=1e-2)


def test_the_member_rotated_is_the_base_in_another_code(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    model = model_with_uneven_norms(2)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "manifest.json").write_text("{}")
    folder = train_member(
        Job(RECIPES["rotated"], SHAPE, 4, tmp_path / "rotated", tmp_path / "base")
    )
    loaded = Checkpoint(folder, "rotated").load()
    assert Checkpoint(folder, "rotated").manifest["planted"] == "intact"
    question = entity_prompts(World(4), "test", "direct").frame["messages"].iloc[0]
    ids = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    theirs, _ = states(loaded.model, ids)
    ours, _ = states(model, ids)
    assert torch.allclose(theirs, ours, atol=2e-5)
