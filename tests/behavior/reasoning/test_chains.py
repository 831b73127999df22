from __future__ import annotations

import re

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.reasoning.chains import Chain, prefix, read_chains, spaced
from interp.behavior.reasoning.segments import segments
from interp.behavior.reasoning.trials import trials
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.reasoning.traced import TOKENIZER, record


def sentences(text: str) -> list[str]:
    return [one for one in re.split(r"(?<=[.!])\s+", text) if one.strip()]


def by_segments(text: str) -> list[str]:
    return [segment.text for segment in segments(text)]


def replies(*texts, answers=None) -> pd.DataFrame:
    ids = [f"p{n}" for n in range(len(texts))]
    answer = texts if answers is None else answers
    return pd.DataFrame({"prompt_id": ids, "sample": 0, "text": texts, "answer": answer})


@pytest.mark.parametrize("split", [sentences, by_segments])
def test_steps_put_together_are_the_chain_to_the_letter(split):
    text = "<think>\nFirst 2.5 apples.  Then\n\n$x = 1.$ So 7! Done.\n</think>\n\nIt is 7.  "
    (chain,), left_out = read_chains(replies(text), split)
    assert chain.opening == "<think>\n"
    assert prefix(chain, len(chain.steps)) + "</think>\n\nIt is 7.  " == text
    assert all(step == step.lstrip() for step in chain.steps)
    assert chain.answer == "It is 7."
    assert len(chain.steps) >= 3
    assert left_out.empty


@given(st.lists(st.sampled_from(["a b.", "So 7!", "x = 1", "\n\n", " "]), min_size=1, max_size=6))
def test_any_chain_comes_back_whole(parts):
    said = " ".join(parts)
    chains, left_out = read_chains(replies(f"{said}</think>7"), by_segments)
    assert len(chains) + len(left_out) == 1
    if chains:
        assert prefix(chains[0], len(chains[0].steps)) == said
    else:
        assert not said.strip()
        assert left_out["why"].tolist() == ["empty chain"]


def test_replies_without_a_chain_are_counted_with_the_reason():
    chains, left_out = read_chains(
        replies("never ends.", "</think>7", "<think> </think>7", "a.</think> \n", "a.</think>7"),
        sentences,
    )
    assert [chain.prompt_id for chain in chains] == ["p4"]
    assert dict(zip(left_out["prompt_id"], left_out["why"], strict=True)) == {
        "p0": "no end of thinking",
        "p1": "empty chain",
        "p2": "empty chain",
        "p3": "no answer",
    }
    _, none = read_chains(replies("a.</think>7"), lambda text: [])
    assert none["why"].tolist() == ["no steps"]


def test_an_end_that_is_a_special_token_is_known_by_the_answer():
    table = replies("So 7. Yes.\n\n7", "cut off", answers=["\n\n7", ""])
    chains, left_out = read_chains(table, sentences)
    assert chains == [Chain("p0", ("So 7. ", "Yes."), "7")]
    assert left_out["why"].tolist() == ["no end of thinking"]


def test_the_last_end_that_is_no_part_of_a_word_counts():
    text = "mary was born . wa : so a : i think a : paris"
    (chain,), _ = read_chains(replies(text), lambda said: [said], end="a :")
    assert chain.answer == "paris"
    assert chain.steps == ("mary was born . wa : so a : i think ",)


def test_a_marker_of_letters_may_touch_a_script_without_spaces():
    (chain,), _ = read_chains(replies("想一想a : 巴黎"), lambda said: [said], end="a :")
    assert (chain.steps, chain.answer) == (("想一想",), "巴黎")


def test_splitters_that_change_the_text_are_refused():
    for split in (str.upper, lambda text: text.split()[::-1], lambda text: ["", "a."]):
        with pytest.raises(InputError, match="does not stand in it, or not in order"):
            read_chains(replies("a. b.</think>7"), split)


def test_a_trial_is_the_prompt_the_text_and_the_suffix():
    prompts = PromptSet.from_records(
        [record("a", "q ?", "7"), {**record("b", "", "8"), "text": None,
         "messages": [{"role": "user", "content": "who ?"}]}]
    )  # fmt: skip
    chains = [Chain.of("a", ["one."], "7"), Chain.of("b", ["one."], "8", sample=2)]
    asked = trials(prompts, TOKENIZER, [(c, "one. \n", {"arm": "x"}) for c in chains], suffix="a :")
    assert asked.prompts.frame["text"].tolist() == ["q ? one. a :", "q : who ? a : one. a :"]
    assert asked.prompts.frame["prompt_id"].tolist() == ["a/0/0", "b/2/1"]
    assert asked.questions.frame["messages"][1] == [{"role": "user", "content": "who ?"}]
    assert asked.frame[["prompt_id", "sample", "arm", "pair_id"]].to_numpy().tolist() == [
        ["a", 0, "x", "a"], ["b", 2, "x", "b"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "message"), [((), "no steps"), (("a", " \n"), "prompt p: an empty step")]
)
def test_chains_have_steps(steps, message):
    with pytest.raises(InputError, match=message):
        Chain("p", steps, "7")


def test_any_step_may_follow_a_spaced_one():
    assert spaced(["a.", "b.\n", "c"]) == ("a. ", "b.\n", "c ")


def test_bad_tables_are_refused():
    with pytest.raises(InputError, match="no rows"):
        read_chains(replies("a").iloc[:0], sentences)
    with pytest.raises(InputError, match="their end is ' '"):
        read_chains(replies("a"), sentences, end=" ")
    with pytest.raises(InputError, match="lack the column answer"):
        read_chains(replies("a").drop(columns="answer"), sentences)
