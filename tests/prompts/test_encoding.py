"""Rendered text is what the model reads; padding changes nothing but the columns."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from interp.errors import InputError
from interp.prompts import PromptSet, encode, render, token_budget_batches
from interp.prompts.encoding import join
from tests.checkpoints.tiny import WORDS, word_tokenizer

TOKENIZER = word_tokenizer()
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join), min_size=1, max_size=6
)


def prompt(**changes: object) -> PromptSet:
    row = {"prompt_id": "p0", "should_abstain": True, "text": "q : w1 ?"}
    return PromptSet.from_records([row | changes])


def asking(content: str, **changes: object) -> PromptSet:
    messages = [{"role": "user", "content": content}]
    return prompt(text=None, messages=messages, **changes)


def with_beginning():
    tokenizer = word_tokenizer(extra=("<bos>",))
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    bos = ("<bos>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[bos, ("<eos>", tokenizer.eos_token_id)]
    )
    return tokenizer


def test_messages_go_through_the_chat_template_and_mode_asks_for_a_chain():
    assert render(asking("who is w1 ?"), TOKENIZER) == ["q : who is w1 ? a :"]
    assert render(asking("w1 ?", meta={"mode": "direct"}), TOKENIZER) == ["q : w1 ? a :"]
    assert render(asking("w1 ?", meta={"mode": "cot"}), TOKENIZER) == ["q : w1 ? think :"]
    assert render(prompt(), TOKENIZER) == ["q : w1 ?"]


def test_messages_without_a_template_or_against_it_are_refused():
    bare, strict = word_tokenizer(), word_tokenizer()
    bare.chat_template = None
    with pytest.raises(InputError, match=r"prompt p0.*no chat template"):
        render(asking("w1"), bare)
    assert render(prompt(), bare) == ["q : w1 ?"]
    strict.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(InputError, match=r"prompt p0.*refuses its messages: no system role"):
        render(asking("w1"), strict)


def test_there_is_one_beginning_token_whether_text_or_template_has_it():
    tokenizer = with_beginning()
    tokenizer.chat_template = "{{ bos_token }}q : {{ messages[0]['content'] }}"
    first = tokenizer.bos_token_id
    for prompts in (prompt(), prompt(text="<bos> q : w1 ?"), asking("w1 ?")):
        ids = encode(render(prompts, tokenizer), tokenizer).input_ids_BT[0].tolist()
        assert ids[0] == first
        assert ids.count(first) == 1
        assert ids[1:] == TOKENIZER("q : w1 ?").input_ids  # and no end token


@given(texts=TEXTS, side=st.sampled_from(["left", "right"]))
def test_padding_keeps_tokens_order_and_positions(texts, side):
    encoded = encode(texts, TOKENIZER, side=side)
    for row, text in enumerate(texts):
        real_T = encoded.attention_mask_BT[row].bool()
        assert encoded.input_ids_BT[row][real_T].tolist() == TOKENIZER(text).input_ids
        n = len(text.split())
        assert encoded.lengths_B[row] == n
        assert encoded.position_ids_BT[row][real_T].tolist() == list(range(n))
        edge = real_T[-n:] if side == "left" else real_T[:n]
        assert bool(edge.all())
    assert encoded.input_ids_BT.shape[1] == max(len(text.split()) for text in texts)


@given(texts=TEXTS, side=st.sampled_from(["left", "right"]), data=st.data())
def test_columns_hold_the_tokens_at_the_indices(texts, side, data):
    encoded = encode(texts, TOKENIZER, side=side)
    index_B = torch.tensor(
        [data.draw(st.integers(0, int(length) - 1)) for length in encoded.lengths_B]
    )
    column_B = encoded.columns(index_B)
    for row, text in enumerate(texts):
        expected = TOKENIZER.convert_tokens_to_ids(text.split()[index_B[row]])
        assert encoded.input_ids_BT[row, column_B[row]] == expected
        assert encoded.position_ids_BT[row, column_B[row]] == index_B[row]


SPACED = "aZ9 .:?!\n\u00e9\u0448\u05d0\u0639\u0915\u0940\u1ebf\uc11c\uc6b8\u03a9\u201d\uff21\uff12"
"""Of scripts with spaces: Latin (wide letters too), Cyrillic, Hebrew, Arabic, Devanagari, Hangul,
Greek."""


@given(st.text(SPACED), st.text(SPACED))
def test_a_space_stands_between_a_prompt_and_its_reply(text: str, reply: str) -> None:
    apart = text and not text[-1].isspace() and not reply[:1].isspace()
    assert join([text], [reply], TOKENIZER) == [f"{text} {reply}" if apart else text + reply]


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("\u7b54\uff1a", "\u6211\u4e0d\u77e5\u9053"),
        ("\u7b54\uff1a", "Paris"),
        ("\u7b54:", "\u6211"),
        ("\u7b54", "42"),
        ("\u7b54\u3002", "42"),
        ("a:", "\u308f\u304b\u3089\u306a\u3044"),
        ("a:", "\u0e44\u0e21\u0e48\u0e23\u0e39\u0e49"),
        ("\u0e23\u0e39\u0e49", "w1"),  # ends in a mark
        ("a:", "\u1781\u17d2\u1789\u17bb\u17c6"),
    ],
)
def test_no_space_stands_beside_an_unspaced_script(text: str, reply: str) -> None:
    assert join([text], [reply], TOKENIZER) == [text + reply]


def test_more_texts_than_are_tokenised_at_a_time_keep_their_order():
    texts = [f"w{i % 30}" for i in range(2500)]
    ids = encode(texts, TOKENIZER).input_ids_BT[:, 0].tolist()
    assert TOKENIZER.convert_ids_to_tokens(ids) == texts


def test_nothing_to_encode_is_an_empty_batch_and_moving_keeps_all():
    assert encode([], TOKENIZER).input_ids_BT.shape == (0, 0)
    moved = encode(["w1", "w1 w2"], TOKENIZER).to("meta")
    assert {moved.input_ids_BT.device.type, moved.lengths_B.device.type} == {"meta"}
    assert moved.attention_mask_BT.device == moved.position_ids_BT.device


@given(lengths=st.lists(st.integers(0, 40), max_size=60), budget=st.integers(1, 120))
def test_batches_hold_every_row_once_within_the_budget_longest_first(lengths, budget):
    batches = token_budget_batches(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    flat = [lengths[row] for batch in batches for row in batch]
    assert flat == sorted(lengths, reverse=True)
    for batch in batches:
        assert len(batch) * max(lengths[row] for row in batch) <= budget or len(batch) == 1
    # Only the last batch has room for another row.
    for batch in batches[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > budget


def test_a_budget_below_one_token_is_refused():
    with pytest.raises(InputError, match="token budget: 0"):
        token_budget_batches([3], 0)
