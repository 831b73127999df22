"""A token's index in its prompt becomes its column in the padded batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.errors import InputError
from interp.interventions import position_mask
from interp.prompts import encode


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_marked_token_is_the_one_at_the_index(load, data):
    tokenizer = load("llama").tokenizer
    words = st.lists(st.integers(3, 39).map(lambda i: f"w{i}"), min_size=1, max_size=6)
    prompts = data.draw(st.lists(words, min_size=1, max_size=4))
    index = [data.draw(st.integers(0, len(prompt) - 1)) for prompt in prompts]
    side = data.draw(st.sampled_from(["left", "right"]))
    encoded = encode([" ".join(prompt) for prompt in prompts], tokenizer, side=side)
    mask_BT = position_mask(encoded, torch.tensor(index), side)
    marked = tokenizer.convert_ids_to_tokens(encoded.input_ids_BT[mask_BT].tolist())
    assert mask_BT.sum(1).tolist() == [1] * len(prompts)
    assert marked == [prompt[i] for prompt, i in zip(prompts, index, strict=True)]


def test_an_index_outside_its_prompt_or_the_wrong_side_is_refused(load):
    encoded = encode(["w3 w4 w5", "w6"], load("llama").tokenizer, side="left")
    with pytest.raises(InputError, match="index 1 in row 1, a prompt of 1 tokens"):
        position_mask(encoded, torch.tensor([2, 1]), "left")
    with pytest.raises(InputError, match="index -1 in row 0"):
        position_mask(encoded, torch.tensor([-1, 0]), "left")
    with pytest.raises(InputError, match="padded on the other side"):
        position_mask(encoded, torch.tensor([0, 0]), "right")
    with pytest.raises(InputError, match="2 prompts"):
        position_mask(encoded, torch.tensor([0]), "left")
