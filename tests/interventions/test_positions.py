"""A token's index in its prompt becomes its column in the padded batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interp.errors import InputError
from interp.interventions import position_mask
from interp.prompts import PromptSet, encode, render, resolve


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


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_marked_run_is_the_one_that_a_rule_resolves_to(load, data):
    tokenizer = load("llama").tokenizer
    words = st.lists(st.integers(3, 39).map(lambda i: f"w{i}"), min_size=1, max_size=6)
    sentences = data.draw(st.lists(words, min_size=1, max_size=4))
    runs = []
    for sentence in sentences:
        start = data.draw(st.integers(0, len(sentence) - 1))
        runs.append((start, data.draw(st.integers(start + 1, len(sentence)))))
    side = data.draw(st.sampled_from(["left", "right"]))
    encoded = encode([" ".join(sentence) for sentence in sentences], tokenizer, side=side)
    mask_BT = position_mask(encoded, torch.tensor(runs), side)
    assert mask_BT.sum(1).tolist() == [stop - start for start, stop in runs]
    marked = tokenizer.convert_ids_to_tokens(encoded.input_ids_BT[mask_BT].tolist())
    assert marked == [
        word
        for sentence, run in zip(sentences, runs, strict=True)
        for word in sentence[slice(*run)]
    ]
    ones = torch.tensor([[start, start + 1] for start, _ in runs])
    assert position_mask(encoded, ones, side).equal(position_mask(encoded, ones[:, 0], side))


def test_all_tokens_of_a_batch_are_its_attention_mask(load):
    tokenizer = load("llama").tokenizer
    prompts = PromptSet.from_records(
        [{"prompt_id": text, "text": text, "should_abstain": True} for text in ("w3 w4", "w5")]
    )
    texts = render(prompts, tokenizer)
    (where_N2,) = resolve(prompts, texts, tokenizer, ["all"])
    for side in ("left", "right"):
        encoded = encode(texts, tokenizer, side=side)
        assert position_mask(encoded, where_N2, side).equal(encoded.attention_mask_BT.bool())


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


def test_a_run_outside_its_prompt_or_of_no_tokens_is_refused(load):
    encoded = encode(["w3 w4 w5", "w6"], load("llama").tokenizer, side="left")
    with pytest.raises(InputError, match=r"tokens \[0, 2\) in row 1, a prompt of 1 tokens"):
        position_mask(encoded, torch.tensor([[0, 3], [0, 2]]), "left")
    with pytest.raises(InputError, match=r"tokens \[1, 1\) in row 0"):
        position_mask(encoded, torch.tensor([[1, 1], [0, 1]]), "left")
    with pytest.raises(InputError, match=r"tokens \[-1, 1\) in row 0"):
        position_mask(encoded, torch.tensor([[-1, 1], [0, 1]]), "left")
    with pytest.raises(InputError, match="padded on the other side"):
        position_mask(encoded, torch.tensor([[0, 1], [0, 1]]), "right")
    with pytest.raises(InputError, match="2 prompts; expected one index, or"):
        position_mask(encoded, torch.tensor([[0, 1]]), "left")
