"""Several checkpoints are captured on the same tokens, or it is said that they are not."""

from __future__ import annotations

import json

import pytest
import torch

from interp.activations import Site, capture, capture_together
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from tests.activations.asked import some_prompts
from tests.checkpoints.tiny import CHAT_TEMPLATE, word_tokenizer, write_checkpoint

SITE = Site("resid_post", 2)


@pytest.fixture
def saved(tmp_path):
    """saved(name, seed, template, swapped) -> a tiny llama with its own tokenizer, loaded."""

    def saved(name, seed=0, template=CHAT_TEMPLATE, swapped=()):
        folder = write_checkpoint(tmp_path / name, "llama", seed=seed)
        tokenizer = word_tokenizer()
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        if swapped:
            spelled = json.loads((folder / "tokenizer.json").read_text())
            vocab, (one, other) = spelled["model"]["vocab"], swapped
            vocab[one], vocab[other] = vocab[other], vocab[one]
            (folder / "tokenizer.json").write_text(json.dumps(spelled))
        return Checkpoint(folder, name).load()

    return saved


def test_each_model_gives_what_it_gives_alone(saved, prompts):
    parent, child = saved("parent"), saved("child", seed=1)
    both = capture_together([parent, child], prompts, ["resid_post"], ["last_prompt", "all"])
    for model, acts in zip((parent, child), both, strict=True):
        alone = capture(model, prompts, ["resid_post"], ["last_prompt", "all"])
        for position in acts.positions:
            assert torch.equal(acts.read(SITE, position), alone.read(SITE, position))
    assert not torch.allclose(both[0].read(SITE, "last_prompt"), both[1].read(SITE, "last_prompt"))


def test_another_template_is_no_reason_to_read_other_tokens(saved, prompts):
    """The first model's template is what all of them read."""
    parent, child = saved("parent"), saved("child", seed=1, template=CHAT_TEMPLATE + " w1")
    acts = capture_together([parent, child], prompts, [SITE], ["last_prompt"])
    assert acts[0].token_ids(3) == acts[1].token_ids(3)
    by_text = capture_together([parent, child], prompts, [SITE], ["last_prompt"], align="text")
    assert len(by_text[1].token_ids(3)) == len(by_text[0].token_ids(3)) + 1


def test_a_tokenizer_that_reads_otherwise_is_refused_with_prompt_and_token(saved):
    parent, child = saved("parent"), saved("child", swapped=("w1", "w2"))
    rows = [
        {"prompt_id": "same", "text": "w3 w4", "should_abstain": True},
        {"prompt_id": "other", "text": "w3 w1 w2", "should_abstain": True},
    ]
    prompts = some_prompts(0).from_records(rows)
    with pytest.raises(
        InputError,
        match=r"prompt other: child does not read it as parent does \(token 1: 'w1' \(id",
    ):
        capture_together([parent, child], prompts, [SITE], ["last_prompt"])
    assert len(capture_together([parent, child], prompts, [SITE], ["all"], align="text")) == 2


def test_stores_stand_side_by_side(saved, prompts, tmp_path):
    models = [saved("parent"), saved("child", seed=1)]
    first = capture_together(models, prompts, [SITE], ["last_prompt"], folder=tmp_path / "acts")
    assert {path.name for path in (tmp_path / "acts").iterdir() if path.is_dir()} == {
        "parent",
        "child",
    }
    again = capture_together(models, prompts, [SITE], ["last_prompt"], folder=tmp_path / "acts")
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.read(SITE, "last_prompt"), two.read(SITE, "last_prompt"))


def test_requests_that_make_no_sense_are_refused(saved, prompts, tmp_path):
    model = saved("parent")
    with pytest.raises(InputError, match="no models"):
        capture_together([], prompts, [SITE], ["last_prompt"])
    with pytest.raises(InputError, match="align 'token'; expected 'tokens' or 'text'"):
        capture_together([model], prompts, [SITE], ["last_prompt"], align="token")
    with pytest.raises(InputError, match="two models are named 'parent'"):
        capture_together([model, model], prompts, [SITE], ["last_prompt"], folder=tmp_path / "a")
