"""Positions are found on the characters they stand on, whatever the tokens are."""

from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from interp.behavior.grading.outcomes import ANSWER_MARKER
from interp.errors import InputError
from interp.organism import World, build_tokenizer, entity_prompts
from interp.organism.documents import as_chain, chain_question
from interp.prompts import PromptSet, encode, render, resolve, show
from interp.prompts.encoding import join
from tests.checkpoints.tiny import WORDS, word_tokenizer
from tests.prompts.spelling import KINDS, UNSPACED, VOCABULARY, Characters, by_bytes, byte_tokenizer

TOKENIZER = word_tokenizer()
WORD = st.sampled_from([word for word in WORDS if word[1:].isdecimal()])
ANY_WORD = st.sampled_from(VOCABULARY)
KIND = st.sampled_from(sorted(KINDS))
TRIMMED = byte_tokenizer(trained=True, trimming=True)
MARK = "a :"


def prompts_of(*rows: dict[str, object]) -> PromptSet:
    return PromptSet.from_records(
        [{"prompt_id": f"p{i}", "should_abstain": True} | row for i, row in enumerate(rows)]
    )


def asking(content: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": content}], **more}


def found(
    prompts: PromptSet, rule: str, tokenizer: PreTrainedTokenizerFast = TOKENIZER, **more: object
) -> list[list[int]]:
    """[start, stop) of each row."""
    return resolve(prompts, render(prompts, tokenizer), tokenizer, [rule], **more)[0].tolist()


def token(
    prompts: PromptSet, rule: str, tokenizer: PreTrainedTokenizerFast = TOKENIZER, **more: object
) -> list[int]:
    """The one token of each row."""
    spans = found(prompts, rule, tokenizer, **more)
    assert all(stop == start + 1 for start, stop in spans)
    return [start for start, _ in spans]


def meant(
    row: dict[str, object],
    rule: str,
    tokenizer: PreTrainedTokenizerFast | None = None,
    reply: str | None = None,
    **more: object,
) -> str:
    """The characters that a rule means in one row, by a tokenizer of one token a byte."""
    tokenizer = tokenizer or byte_tokenizer()
    prompts = prompts_of(row)
    replies = None if reply is None else [reply]
    [(start, stop)] = found(prompts, rule, tokenizer, replies=replies, **more)
    texts = render(prompts, tokenizer)
    text = texts[0] if replies is None else join(texts, replies, tokenizer)[0]
    return tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"][start:stop])


def holding(characters: Characters, text: str, start: int, stop: int) -> list[int]:
    """The slow path: every token whose set of characters meets the span's, one by one."""
    held = [i for i, chars in enumerate(characters(text)) if chars & set(range(start, stop))]
    assert held == list(range(held[0], held[-1] + 1))
    return [held[0], held[-1] + 1]


@given(
    before=st.lists(WORD, max_size=5),
    name=st.lists(st.sampled_from(["who", "is", "in"]), min_size=1, max_size=3),
    after=st.lists(WORD, max_size=5),
)
def test_the_entity_ends_where_its_words_end(before, name, after):
    prompts = prompts_of(asking(" ".join([*before, *name, *after]), entity=" ".join(name)))
    assert token(prompts, "entity_first") == [2 + len(before)]
    assert token(prompts, "entity_last") == [2 + len(before) + len(name) - 1]
    assert token(prompts, "question_last") == [2 + len(before) + len(name) + len(after) - 1]
    assert token(prompts, "last_prompt") == [2 + len(before) + len(name) + len(after) + 1]


@given(
    kind=KIND,
    sentences=st.lists(st.lists(ANY_WORD, min_size=1, max_size=8), min_size=1, max_size=3),
    data=st.data(),
)
def test_a_span_is_every_token_that_holds_one_of_its_characters(kind, sentences, data):
    tokenizer, characters = KINDS[kind]
    rows, expected = [], []
    for words in sentences:
        first = data.draw(st.integers(0, len(words) - 1))
        name = " ".join(words[first : data.draw(st.integers(first + 1, len(words)))])
        text = " ".join(words)
        # Overlapping mentions too; ASCII neighbours as the rule for words has it.
        last = list(re.finditer(rf"(?<!\w)(?={re.escape(name)}(?!\w))", text, flags=re.ASCII))[-1]
        rows.append({"text": text, "entity": name, "meta": {"spans": {"it": name}}})
        expected.append(holding(characters, text, last.start(), last.start() + len(name)))
    prompts = prompts_of(*rows)
    assert found(prompts, "entity_mean", tokenizer) == expected
    assert found(prompts, "it_mean", tokenizer) == expected
    assert token(prompts, "entity_first", tokenizer) == [start for start, _ in expected]
    assert token(prompts, "entity_last", tokenizer) == [stop - 1 for _, stop in expected]
    n_tokens = [len(characters(row["text"])) for row in rows]
    assert found(prompts, "all", tokenizer) == [[0, n] for n in n_tokens]
    assert found(prompts, "prompt_mean", tokenizer) == [[0, n] for n in n_tokens]


@given(
    kind=KIND,
    question=st.lists(ANY_WORD, min_size=1, max_size=5),
    chain=st.lists(ANY_WORD, min_size=1, max_size=6),
    answer=st.lists(ANY_WORD, min_size=1, max_size=4),
    space=st.sampled_from(["", " ", "  "]),
)
def test_chain_and_answer_stand_on_either_side_of_the_mark(kind, question, chain, answer, space):
    tokenizer, characters = KINDS[kind]
    if MARK in " ".join(answer):
        answer = ["in"]
    if question[-1] in UNSPACED or chain[0] in UNSPACED:
        space = space or " "  # else nothing stands between the two, and they may share a token
    prompt, thought, final = " ".join(question), " ".join(chain), " ".join(answer)
    reply = f"{space}{thought} {MARK} {final}{space}"
    prompts, row = prompts_of({"text": prompt}), {"replies": [reply], "chain_end": MARK}
    text = prompt + ("" if space else " ") + reply
    start = len(prompt) + (len(space) or 1)
    ends = start + len(thought)
    begins = ends + len(f" {MARK} ")

    def spans(rule: str) -> list[int]:
        return found(prompts, rule, tokenizer, **row)[0]

    assert spans("think_mean") == holding(characters, text, start, ends)
    assert spans("answer_mean") == holding(characters, text, begins, begins + len(final))
    reply_start = len(text) - len(reply)
    assert spans("reply_mean") == holding(characters, text, reply_start, len(text))
    n_prompt = len(characters(prompt))
    assert spans("last_prompt") == [n_prompt - 1, n_prompt]
    assert spans("prompt_mean") == [0, n_prompt]
    assert spans("all") == [0, len(characters(text))]


@given(kind=KIND, words=st.lists(ANY_WORD, min_size=1, max_size=6), reply=ANY_WORD)
def test_the_prompts_own_positions_are_the_same_with_a_reply_behind_it(kind, words, reply):
    tokenizer, _ = KINDS[kind]
    name = words[len(words) // 2]
    prompts = prompts_of({"text": " ".join(words) + " ?", "entity": name})
    for rule in ("last_prompt", "prompt_50%", "entity_mean", "question_mean"):
        with_reply = found(prompts, rule, tokenizer, replies=[f" {reply} {name} ?"])
        assert found(prompts, rule, tokenizer) == with_reply


@given(n=st.integers(1, 40), percent=st.integers(0, 100))
def test_a_percentage_is_the_nearest_token_and_the_later_of_two(n, percent):
    prompts = prompts_of({"text": " ".join(["w1"] * n)})
    way = Fraction(percent, 100) * (n - 1)
    nearest = min(range(n), key=lambda i: (abs(i - way), -i))
    assert token(prompts, f"prompt_{percent}%") == [nearest]
    assert token(prompts, "prompt_0%") == token(prompts, "prompt_first") == [0]
    assert token(prompts, "prompt_100%") == token(prompts, "last_prompt") == [n - 1]


@given(data=st.data(), side=st.sampled_from(["left", "right"]))
def test_an_index_is_on_the_token_however_the_batch_is_padded(data, side):
    sentences = data.draw(st.lists(st.lists(WORD, min_size=1, max_size=8), min_size=1, max_size=5))
    names = [data.draw(st.sampled_from(words)) for words in sentences]
    prompts = prompts_of(
        *(asking(" ".join(w), entity=n) for w, n in zip(sentences, names, strict=True))
    )
    texts = render(prompts, TOKENIZER)
    encoded = encode(texts, TOKENIZER, side=side)
    where_PN2 = resolve(prompts, texts, TOKENIZER, ["entity_last", "question_last"])
    for where_N2, expected in zip(where_PN2, (names, [w[-1] for w in sentences]), strict=True):
        column_B = encoded.columns(where_N2[:, 0])
        ids = encoded.input_ids_BT.gather(1, column_B[:, None])[:, 0].tolist()
        assert TOKENIZER.convert_ids_to_tokens(ids) == expected


def test_many_rules_and_rows_are_resolved_in_order_and_with_offsets_that_are_known():
    """More rows than are tokenised at a time; the offsets come one by one."""
    rows = [{"text": "w1 " * (1 + i % 7) + "w2", "entity": "w2"} for i in range(2500)]
    prompts, replies = prompts_of(*rows), ["w3 " * (1 + i % 5) for i in range(2500)]
    rules = ["reply_mean", "last_prompt", "all", "entity_last"]
    n_prompt = torch.tensor([2 + i % 7 for i in range(2500)])
    n_all = n_prompt + torch.tensor([1 + i % 5 for i in range(2500)])
    expected = torch.stack(
        [
            torch.stack([n_prompt, n_all], 1),
            torch.stack([n_prompt - 1, n_prompt], 1),
            torch.stack([torch.zeros_like(n_all), n_all], 1),
            torch.stack([n_prompt - 1, n_prompt], 1),
        ]
    )
    texts = render(prompts, TOKENIZER)
    read = join(texts, replies, TOKENIZER)
    known = (TOKENIZER([text], return_offsets_mapping=True)["offset_mapping"][0] for text in read)
    assert resolve(prompts, texts, TOKENIZER, rules, replies=replies).equal(expected)
    assert resolve(prompts, texts, TOKENIZER, rules, replies=replies, offsets=known).equal(expected)
    assert resolve(prompts.where(prompt_id=""), [], TOKENIZER, rules[1:]).shape == (3, 0, 2)


@pytest.mark.parametrize(
    ("text", "entity", "start"),
    [
        ("Ann met Ann in Annual Ann? Anna", "Ann", 22),
        ("Ann", "Ann", 0),
        ("met Ann", " Ann ", 4),
        ("x ana ana ana x", "ana ana", 6),
        ("ana ana anab", "ana ana", 0),
        ("snake_Ann Ann_b Ann-b", "Ann", 16),
        ("東京は東京だ", "東京", 3),
        ("هل القاهرة هنا", "القاهرة", 3),
        ("I 😀 you", "😀", 2),
        ("C++ or C?", "C++", 0),
    ],
)
def test_the_last_mention_counts_and_parts_of_words_do_not(text, entity, start):
    before, name = len(text[:start].encode()), len(entity.strip().encode())
    row = prompts_of({"text": text, "entity": entity})
    assert found(row, "entity_mean", byte_tokenizer()) == [[before, before + name]]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Is it? Or is it? Yes.", "Or is it?"),
        ("It is. Is it", None),
        ("Q: who?\nA: ann\nQ: where is bob? A:", "Q: where is bob?"),
        ('He said "no." Is 3.14 pi? ok', "Is 3.14 pi?"),
        ("東京は大きい。どこですか?はい", "どこですか?"),
        ("東京は大きい。どこですか？", "どこですか？"),  # noqa: RUF001
        ("هل هو هنا؟ أين علي؟", "أين علي؟"),
        ("  Who?", "Who?"),
        ("Really? ?", "?"),
    ],
)
def test_the_question_of_a_plain_text_is_the_sentence_of_its_last_question_mark(text, question):
    if question is None:
        with pytest.raises(InputError, match=r"prompt p0: .*'question_mean' .* no '\?' stands"):
            meant({"text": text}, "question_mean")
    else:
        assert meant({"text": text}, "question_mean") == question


def test_the_question_does_not_hold_the_beginning_token():
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    for text in ("Who?", "<s>Who?"):
        prompts = prompts_of({"text": text})
        assert resolve(prompts, ["<s>Who?"], tokenizer, ["question_mean"]).tolist() == [[[1, 5]]]


def test_the_question_of_a_chat_is_the_last_user_message():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}..."
    turns = [("user", "Who?"), ("assistant", "Ann?"), ("user", " Where \n")]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert meant({"messages": messages}, "question_mean", tokenizer) == "Where"


@pytest.mark.parametrize(
    ("prompt", "reply", "think", "answer"),
    [
        ("Q", "<think>\nhm.\n</think>\n\nParis.", "hm.", "Paris."),
        ("Q <think>\n", "hm</think>Paris", "hm", "Paris"),
        ("Q <think>\n", "hm, </think>? no</think> Paris", "hm, </think>? no", "Paris"),
        ("Q <think>\n</think>\n", "Paris", "Paris", "Paris"),
        ("Q <think>\n", "hm, so", "hm, so", "never comes to '</think>'"),
        ("Q", "<think> hm, so", "hm, so", "never comes to '</think>'"),
        ("Q", "Paris.\n", "Paris.", "Paris."),
        ("Q", "<think>\n\n</think>\n\nParis", "empty chain of thought", "Paris"),
        ("Q", "hm</think>\n", "hm", "ends without an answer"),
        ("Q", "", "its reply is empty", "its reply is empty"),
    ],
)
def test_a_reply_is_a_chain_and_an_answer(prompt, reply, think, answer):
    for rule, expected in (("think_mean", think), ("answer_mean", answer)):
        if expected in reply:
            assert meant({"text": prompt}, rule, reply=reply) == expected
        else:
            with pytest.raises(InputError, match=rf"prompt p0: position '{rule}'.*{expected}"):
                meant({"text": prompt}, rule, reply=reply)


def test_a_chain_that_was_asked_for_and_does_not_end_has_no_answer():
    row = asking("who is w1 ?", meta={"mode": "cot"})
    for chain_end in (MARK, "</think>"):
        more = {"replies": ["w2 w3"], "chain_end": chain_end}
        assert found(prompts_of(row), "think_mean", **more) == [[8, 10]]
        with pytest.raises(InputError, match=f"prompt p0: .*never comes to '{chain_end}'"):
            found(prompts_of(row), "answer_first", **more)


def test_a_mark_inside_of_a_word_is_none():
    reply = "China : big, so a : 3 of Asia : x"
    assert meant({"text": "Q"}, "answer_mean", reply=reply, chain_end=MARK) == "3 of Asia : x"


def test_the_chains_of_the_lineage_are_taken_apart_as_they_were_written():
    world, tokenizer = World(0), build_tokenizer()
    people = {person.name: person for group in world.split("dev") for person in group}
    prompts = entity_prompts(world, "dev", "cot")
    steps, answers, replies = [], [], []
    for name, relation in zip(
        prompts.frame["entity"], (meta["relation"] for meta in prompts.frame["meta"]), strict=True
    ):
        question, chain, answer = chain_question(people[name], relation, years=2)
        steps.append(" ".join(chain).split())
        answers.append(f"{answer} .".split())
        replies.append(as_chain(question, chain, answer)[1])
    texts = render(prompts, tokenizer)
    rules = ["think_mean", "answer_first", "answer_mean", "last_prompt", "reply_mean"]
    think_N2, first_N2, answer_N2, last_N2, reply_N2 = resolve(
        prompts, texts, tokenizer, rules, replies=replies, chain_end=ANSWER_MARKER
    ).tolist()
    for row, (text, reply) in enumerate(zip(texts, replies, strict=True)):
        words = f"{text} {reply}".split()
        assert words[slice(*think_N2[row])] == steps[row]
        assert words[slice(*answer_N2[row])] == answers[row]
        assert words[slice(*first_N2[row])] == answers[row][:1]
        assert words[slice(*last_N2[row])] == [":"]
        assert words[slice(*reply_N2[row])] == reply.split()
        assert last_N2[row][1] == reply_N2[row][0]


@given(
    kind=st.sampled_from([*KINDS, "trimmed"]),
    word=ANY_WORD,
    end=st.sampled_from(["", ":", " ", "  ", "\n", "\n\n"]),
    beginning=st.sampled_from(["", " ", "\n", "."]),
    reply=ANY_WORD,
)
def test_a_reply_that_changes_the_prompts_tokens_is_refused(kind, word, end, beginning, reply):
    tokenizer, characters = (TRIMMED, by_bytes(TRIMMED)) if kind == "trimmed" else KINDS[kind]
    texts, replies = [word + end], [beginning + reply]
    alone, together = characters(texts[0]), characters(join(texts, replies, tokenizer)[0])
    prompts = prompts_of({"text": texts[0]})
    if together[: len(alone)] == alone:
        assert token(prompts, "last_prompt", tokenizer, replies=replies) == [len(alone) - 1]
    else:
        with pytest.raises(InputError, match="prompt p0: its last tokens change"):
            found(prompts, "last_prompt", tokenizer, replies=replies)


@pytest.mark.parametrize("trimming", [False, True])
def test_a_space_that_becomes_part_of_the_reply_is_one_such_change(trimming):
    tokenizer = byte_tokenizer(trained=True, trimming=trimming)
    with pytest.raises(InputError, match="end the prompt, or begin the reply, at a word"):
        found(prompts_of({"text": "a: "}), "last_prompt", tokenizer, replies=["Paris"])


def test_offsets_without_spaces_give_the_same_words():
    """Llama 3's offsets leave the space before a word out; the word's tokens stay the same."""
    prompts = prompts_of({"text": "where is  Zoë Paris 東京 ", "entity": "Zoë Paris"})
    whole, trimmed = (KINDS["bytes"][0], TRIMMED)
    for rule in ("entity_mean", "last_prompt", "all", "prompt_50%"):
        assert found(prompts, rule, whole) == found(prompts, rule, trimmed)


@pytest.mark.parametrize(
    ("row", "rule", "message"),
    [
        (asking("w1 ?", entity="w2"), "entity_last", "prompt p1: its entity 'w2' does not stand"),
        (asking("w1 ?"), "entity_mean", "prompt p1: position 'entity_mean' needs an `entity`"),
        ({"text": "w1"}, "question_last", r"prompt p1: position 'question_last' .*no '\?'"),
        (asking("w1 ?"), "entity_lsat", "'entity_lsat': no such rule.*'entity_last'"),
        (asking("w1 ?"), "question_101%", "'question_101%': no such rule.*SPAN_0% to SPAN_100%"),
        (asking("w1 ?"), "question_05%", "'question_05%': no such rule"),
        (asking("w1 ?"), "prompt_last", "'prompt_last': write last_prompt"),
        (asking("w1 ?"), "think_25%", "'think_25%' needs `replies`"),
        (asking("w1 ?"), "entty_last", "p0: .* needs a span 'entty' .*'entity'.* names none"),
        (
            asking("w1 ?", meta={"spans": {"verb": "w1"}}),
            "verbs_last",
            "p0: .* needs a span 'verbs' in its `meta",
        ),
        (
            asking("w1 ?", meta={"spans": {"verb": "w1", "object": "w2"}}),
            "noun_last",
            "p0: .*'noun'",
        ),
    ],
)
def test_a_prompt_without_such_a_token_is_named(row, rule, message):
    prompts = prompts_of(asking("who is w9 ?", entity="w9"), row)
    with pytest.raises(InputError, match=message):
        found(prompts, rule)


@pytest.mark.parametrize(
    ("spans", "rule", "message"),
    [
        ({"verb": "w2"}, "verb_last", "its span 'verb', 'w2', does not stand in the prompt"),
        ({"verb": " "}, "verb_last", "a text that is not empty as its span 'verb', not ' '"),
        ({"verb": 3}, "verb_last", "a text that is not empty as its span 'verb', not 3"),
        ({"verb": "w1"}, "noun_last", "needs a span 'noun' in .*, which names verb"),
        (["w1"], "verb_last", "to be a dict of texts, not .'w1'."),
    ],
)
def test_a_rows_own_spans_are_checked(spans, rule, message):
    with pytest.raises(InputError, match=f"prompt p0: position '{rule}' .*{message}"):
        found(prompts_of(asking("w1 ?", entity="w1", meta={"spans": spans})), rule)


@pytest.mark.parametrize("name", ["entity", "prompt"])
def test_a_rows_own_span_cannot_take_a_name_that_has_a_meaning(name):
    prompts = prompts_of(asking("w1 ?"), asking("w1 ?", meta={"spans": {name: "w1"}}))
    with pytest.raises(InputError, match=f"prompt p1: .* names '{name}', .*; rename it"):
        found(prompts, "last_prompt")


def test_a_text_or_a_span_without_tokens_is_refused():
    tokenizer, _ = KINDS["pieces"]
    with pytest.raises(InputError, match="prompt p1: its text has no tokens"):
        resolve(prompts_of({"text": "a"}, {"text": "b"}), ["a", " "], tokenizer, ["all"])
    with pytest.raises(
        InputError, match=r"'reply_mean' has no place: no token holds any of ' \\n'"
    ):
        found(prompts_of({"text": "a"}), "reply_mean", tokenizer, replies=[" \n"])


def test_requests_that_do_not_fit_are_refused():
    prompts = prompts_of({"text": "w1"}, {"text": "w2"})
    texts = render(prompts, TOKENIZER)
    with pytest.raises(InputError, match=r"expected a list of rules; write \['all'\]"):
        resolve(prompts, texts, TOKENIZER, "all")
    with pytest.raises(InputError, match="1 texts for 2 prompts"):
        resolve(prompts, texts[:1], TOKENIZER, ["all"])
    with pytest.raises(InputError, match="1 replies for 2 prompts"):
        resolve(prompts, texts, TOKENIZER, ["all"], replies=["w3"])
    with pytest.raises(InputError, match="chain_end is empty"):
        resolve(prompts, texts, TOKENIZER, ["all"], chain_end=" ")
    with pytest.raises(InputError, match="SimpleNamespace does not know the characters"):
        resolve(prompts, texts, SimpleNamespace(is_fast=False, bos_token=None), ["all"])


def test_a_template_that_changes_the_question_is_refused_for_its_end():
    tokenizer = word_tokenizer()
    tokenizer.chat_template = "{{ messages[0]['content'] | replace('w1', 'w2') }}"
    with pytest.raises(InputError, match=r"prompt p0.*template changes the user's message"):
        found(prompts_of(asking("w1 ?")), "question_last", tokenizer)


def test_show_marks_the_tokens_that_are_meant():
    prompts = prompts_of(asking("who is w4 ?", entity="w4"), asking("w5 ?", entity="w5"))
    texts = render(prompts, TOKENIZER)
    shown = show(prompts, texts, TOKENIZER, "entity_last")
    assert shown == "p0: q : who is >>w4<< ? a :\np1: q : >>w5<< ? a :"
    shown = show(prompts, texts, TOKENIZER, "question_mean", n=1, replies=["w6", "w7"])
    assert shown == "p0: q : >>who is w4 ?<< a : w6"
    shown = show(
        prompts, texts, TOKENIZER, "answer_mean", replies=["w1 a : w2", "w3"], chain_end=MARK
    )
    assert shown.splitlines()[0].endswith("a : w1 a : >>w2<<")


def test_show_spells_what_a_person_can_read():
    tokenizer = byte_tokenizer(trained=True)
    text, meta = "of the 東\n😀 Paris", {"spans": {"it": "😀"}}
    shown = show(prompts_of({"text": text, "meta": meta}), [text], tokenizer, "it_mean")
    assert shown.count("\n") == 0
    assert shown.startswith("p0: of ·the ")
    assert re.search(r"\\n >>ð\S*( \S+)+<< ·Pa", shown)
