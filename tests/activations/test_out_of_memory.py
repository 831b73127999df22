"""Running out of memory makes batches smaller, and never changes what is captured."""

from __future__ import annotations

import pytest
import torch

from interp.activations import Site, capture
from interp.errors import InputError
from tests.activations.asked import ALL_SITES, some_prompts


def of_the_gpu():
    raise torch.OutOfMemoryError("the device is full")


def of_the_cpu():
    torch.empty(10**16)  # torch's own error, which has no class of its own


def limited(loaded, most_tokens, fail=of_the_gpu):
    """The model on a device that has room for so many tokens; notes down what was tried."""
    tried = []

    def refuse(_, __, kwargs):
        tried.append(tuple(kwargs["input_ids"].shape))
        if kwargs["input_ids"].numel() > most_tokens:
            fail()

    loaded.model.base_model.register_forward_pre_hook(refuse, with_kwargs=True)
    return tried


@pytest.mark.parametrize("fail", [of_the_gpu, of_the_cpu])
@pytest.mark.parametrize("position", ["last_prompt", "all"])
def test_batches_are_halved_until_they_fit_and_every_prompt_is_captured(
    load, prompts, position, fail
):
    free = capture(load("llama"), prompts, ALL_SITES, [position], token_budget=4096)
    loaded = load("llama")
    tried = limited(loaded, 70, fail)
    acts = capture(loaded, prompts, ALL_SITES, [position], token_budget=4096)
    for site in ALL_SITES:
        # Not equal to the bit: batches of other widths sum in another order.
        assert torch.allclose(acts.read(site, position), free.read(site, position), atol=1e-5)
    refused = [rows * width for rows, width in tried if rows * width > 70]
    assert 3 <= len(refused) <= 6  # 4096 to 64 tokens by halves, and the batch they first fit in
    fitting = [shape for shape in tried if shape[0] * shape[1] <= 70]
    assert sum(rows for rows, _ in fitting) == len(prompts)


def test_the_batch_with_the_longest_prompt_is_tried_first(load):
    loaded, prompts = load("llama"), some_prompts(40)
    tried = limited(loaded, 10**9)
    capture(loaded, prompts, ["resid_post"], ["last_prompt"], token_budget=100)
    widths = [width for _, width in tried]
    assert widths == sorted(widths, reverse=True)
    assert len(widths) > 5


def test_a_prompt_that_does_not_fit_alone_is_an_error(load, prompts):
    loaded = load("llama")
    limited(loaded, 8)
    with pytest.raises(InputError, match=r"a prompt of \d+ tokens does not fit into the memory"):
        capture(loaded, prompts, ["resid_post"], ["last_prompt"])


def test_another_failure_of_the_forward_is_not_taken_for_it(load, prompts):
    loaded = load("llama")

    def fail(*_):
        raise RuntimeError("shapes do not fit")

    loaded.blocks[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        capture(loaded, prompts, ["resid_post"], ["last_prompt"])


def test_a_resumed_run_batches_as_the_killed_one_did(load, prompts, tmp_path, monkeypatch):
    """Whatever memory the second machine has, so that its bytes are the same."""
    monkeypatch.setattr("interp.activations.planning.ROWS_A_SHARD", 10)
    site = Site("resid_post", 3)
    loaded = load("llama")
    limited(loaded, 70)
    whole = capture(loaded, prompts, [site], ["last_prompt"], folder=tmp_path / "whole")
    assert whole.manifest["notes"]["token_budget"] == 64

    dying = load("llama")
    limited(dying, 70)
    n_forwards = []

    def die(*_):
        n_forwards.append(1)
        if len(n_forwards) == 9:
            raise KeyboardInterrupt

    dying.blocks[0].register_forward_pre_hook(die)
    with pytest.raises(KeyboardInterrupt):
        capture(dying, prompts, [site], ["last_prompt"], folder=tmp_path / "resumed")
    resumed = load("llama")
    tried = limited(resumed, 10**9)
    capture(resumed, prompts, [site], ["last_prompt"], folder=tmp_path / "resumed")
    assert max(rows * width for rows, width in tried) <= 64
    for path in (tmp_path / "whole").rglob("*.npy"):
        other = tmp_path / "resumed" / path.relative_to(tmp_path / "whole")
        assert other.read_bytes() == path.read_bytes()
