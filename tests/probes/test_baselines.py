"""Surface features, and models with random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.activations import Site, capture
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.probes.baselines import random_init, surface_features
from interp.prompts import Encoded, PromptSet
from tests.checkpoints.tiny import ARCHITECTURES, write_checkpoint


def test_surface_features_are_lengths_and_counts_whatever_the_padding():
    ids_BT = torch.tensor([[0, 0, 5, 6], [5, 5, 5, 7], [0, 0, 0, 7]])
    mask_BT = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1]])
    encoded = Encoded(ids_BT, mask_BT, (mask_BT.cumsum(-1) - 1).clamp(min=0), mask_BT.sum(-1))
    features = surface_features(encoded)
    np.testing.assert_allclose(features["length"], np.array([[2, 4, 1], np.log([2, 4, 1])]).T)
    assert features["bag_of_tokens"].tolist() == [[1, 1, 0], [3, 0, 1], [0, 0, 1]]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_the_random_model_is_the_same_machine_with_nothing_learnt(tmp_path, architecture):
    assert architecture in ARCHITECTURES
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "trained", architecture), "trained")
    trained = checkpoint.load()
    random = random_init(checkpoint, 3).load()
    assert type(random.model) is type(trained.model)
    assert random.model.config.to_dict() == trained.model.config.to_dict()
    assert random.tokenizer.get_vocab() == trained.tokenizer.get_vocab()
    assert not random.model.training
    assert random.model.config._attn_implementation == trained.model.config._attn_implementation
    for (name, theirs), (other, ours) in zip(
        trained.model.named_parameters(), random.model.named_parameters(), strict=True
    ):
        assert (name, theirs.shape, theirs.dtype) == (other, ours.shape, ours.dtype)
        ours, theirs = ours.detach(), theirs.detach()
        if ours.ndim > 1:
            # Independent draws correlate by about 1 / sqrt(their number).
            correlation = torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1]
            assert abs(correlation) < 5 / ours.numel() ** 0.5
            scale = float(ours.std()) / trained.model.config.initializer_range
            assert 0.3 < scale < 1.3  # GPT-2 draws what is added to the stream smaller, by depth


def test_a_seed_gives_its_weights_again_and_leaves_the_generator_alone(tmp_path):
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "trained"), "trained")
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, again, other = (random_init(checkpoint, seed).load().model for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    weights = [
        torch.cat([w.flatten() for w in model.parameters() if w.ndim > 1])
        for model in (one, again, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    half = random_init(checkpoint, 1).load(dtype="bfloat16").model
    rounded = torch.cat([w.flatten() for w in half.parameters() if w.ndim > 1])
    assert torch.equal(rounded, weights[0].to(torch.bfloat16))


def test_a_random_model_is_captured_like_any_and_never_taken_for_the_trained_one(tmp_path):
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "trained"), "trained")
    models = [checkpoint, random_init(checkpoint, 0), random_init(checkpoint, 1)]
    assert len({model.fingerprint for model in models}) == 3
    assert len({model.name for model in models}) == 3
    assert models[1].fingerprint == random_init(checkpoint, 0).fingerprint
    assert len({model.tokenizer_fingerprint for model in models}) == 1
    prompts = PromptSet.from_records(
        [
            {"prompt_id": str(n), "text": f"who is w{n} ?", "should_abstain": n % 2 == 0}
            for n in range(4)
        ]
    )
    site = Site("resid_post", 1)
    captured = capture(models[1].load(), prompts, [site], ["last_prompt"])
    acts_ND = captured.read(site, "last_prompt")
    assert acts_ND.shape == (4, 16)
    assert acts_ND.std(0).min() > 0


def test_what_is_no_checkpoint_has_no_random_counterpart(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint folder"):
        random_init(Checkpoint(tmp_path / "nothing", "nothing"), 0).load()
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "trained"), "trained")
    with pytest.raises(
        InputError, match="trained-random0: random weights are drawn for one device"
    ):
        random_init(checkpoint, 0).load(device_map="auto")
