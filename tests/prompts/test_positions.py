"""Positions are found on the characters they stand on, whatever the tokens are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from interp.errors import InputError
from interp.prompts import PromptSet, encode, render, resolve, show
from tests.checkpoints.tiny import WORDS, word_tokenizer

TOKENIZER = word_tokenizer()
WORD = st.sampled_from([word for word in WORDS if word[1:].isdecimal()])


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, so that one character may be several tokens."""
    vocab = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    backend = Tokenizer(BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevelDecoder()
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def prompts_of(*rows: dict[str, object]) -> PromptSet:
    return PromptSet.from_records(
        [{"prompt_id": f"p{i}", "should_abstain": True} | row for i, row in enumerate(rows)]
    )


def asking(content: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}], **more}


def where(prompts: PromptSet, rule: str, tokenizer=TOKENIZER) -> list[int]:
    return resolve(prompts, render(prompts, tokenizer), tokenizer, rule).tolist()


@given(
    before=st.lists(WORD, max_size=5),
    name=st.lists(st.sampled_from(["who", "is", "in"]), min_size=1, max_size=3),
    after=st.lists(WORD, max_size=5),
)
def test_the_entity_ends_where_its_words_end(before, name, after):
    prompts = prompts_of(asking(" ".join([*before, *name, *after]), entity=" ".join(name)))
    assert where(prompts, "entity_last") == [2 + len(before) + len(name) - 1]
    assert where(prompts, "question_last") == [2 + len(before) + len(name) + len(after) - 1]
    assert where(prompts, "last_prompt") == [2 + len(before) + len(name) + len(after) + 1]


@given(data=st.data(), side=st.sampled_from(["left", "right"]))
def test_an_index_is_on_the_token_however_the_batch_is_padded(data, side):
    sentences = data.draw(st.lists(st.lists(WORD, min_size=1, max_size=8), min_size=1, max_size=5))
    names = [data.draw(st.sampled_from(words)) for words in sentences]
    prompts = prompts_of(
        *(asking(" ".join(w), entity=n) for w, n in zip(sentences, names, strict=True))
    )
    texts = render(prompts, TOKENIZER)
    encoded = encode(texts, TOKENIZER, side=side)
    for rule, expected in (("entity_last", names), ("question_last", [w[-1] for w in sentences])):
        column_B = encoded.columns(resolve(prompts, texts, TOKENIZER, rule))
        ids = encoded.input_ids_BT.gather(1, column_B[:, None])[:, 0].tolist()
        assert TOKENIZER.convert_ids_to_tokens(ids) == expected


def test_the_last_mention_counts_and_parts_of_words_do_not():
    text = "Ann met Ann in Annual Ann? Anna"
    row = {"text": text, "entity": "Ann"}
    assert where(prompts_of(row), "entity_last", byte_tokenizer()) == [text.rindex("Ann?") + 2]


def test_in_a_script_without_spaces_the_entity_is_found_and_ends_with_its_last_byte():
    text = "東京は?"
    row = {"text": text, "entity": "東京"}
    assert where(prompts_of(row), "entity_last", byte_tokenizer()) == [len("東京".encode()) - 1]
    assert where(prompts_of(row), "question_last", byte_tokenizer()) == [len(text.encode()) - 1]


def test_the_question_is_the_last_user_message_or_ends_with_the_last_question_mark():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}..."
    turns = [("user", "Who?"), ("assistant", "Ann?"), ("user", " Where \n")]
    messages = [{"role": role, "content": content} for role, content in turns]
    rows = prompts_of({"messages": messages}, {"text": "Is it? Or is it? Yes."})
    assert render(rows, tokenizer)[0] == "[Who?][Ann?][Where]..."
    assert where(rows, "question_last", tokenizer) == [
        len("[Who?][Ann?][Where") - 1,
        len("Is it? Or is it?") - 1,
    ]


def test_long_sets_are_resolved_in_order():
    """More rows than are tokenised at a time."""
    rows = prompts_of(*({"text": "w1 " * (1 + i % 7)} for i in range(2500)))
    assert where(rows, "last_prompt") == [i % 7 for i in range(2500)]


@pytest.mark.parametrize(
    ("row", "rule", "message"),
    [
        (asking("w1 ?", entity="w2"), "entity_last", "prompt p1: its entity 'w2' does not stand"),
        (asking("w1 ?"), "entity_last", "prompt p1: position 'entity_last' needs an `entity`"),
        ({"text": "w1"}, "question_last", "prompt p1: position 'question_last': no '\\?'"),
        (asking("w1 ?"), "entity_lsat", "'entity_lsat': no such rule.*'entity_last'"),
    ],
)
def test_a_prompt_without_such_a_token_is_named(row, rule, message):
    prompts = prompts_of(asking("who is w9 ?", entity="w9"), row)
    with pytest.raises(InputError, match=message):
        where(prompts, rule)


def test_a_template_that_changes_the_question_is_refused_for_its_end():
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] | replace('w1', 'w2') }}"
    with pytest.raises(InputError, match=r"prompt p0.*template changes the user's message"):
        where(prompts_of(asking("w1 ?")), "question_last", tokenizer)


def test_show_marks_the_token_that_is_meant():
    prompts = prompts_of(asking("who is w4 ?", entity="w4"), asking("w5 ?", entity="w5"))
    shown = show(prompts, render(prompts, TOKENIZER), TOKENIZER, "entity_last")
    assert shown == "p0: q : who is >>w4<< ? a :\np1: q : >>w5<< ? a :"
    assert show(prompts, render(prompts, TOKENIZER), TOKENIZER, "last_prompt", n=1).endswith(
        ">>:<<"
    )
