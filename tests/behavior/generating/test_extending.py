"""Chains that are made longer: the model's own end is replaced, and it goes on from there."""

from __future__ import annotations

import pydantic
import pytest
import torch

from interp.behavior import generate
from interp.behavior.generating.collecting import reply_frame
from interp.behavior.generating.decoding import Decoding, Draft, Reply, Thinking
from interp.behavior.generating.vllm_engine import vllm_replies
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.generating.test_replies import all_replies, questions, words
from tests.checkpoints.tiny import word_tokenizer, write_checkpoint

N_NEW = 14


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    loaded = Checkpoint(write_checkpoint(tmp_path_factory.mktemp("llama")), "llama").load()
    with torch.no_grad():
        loaded.model.lm_head.weight[:3] = 0
    return loaded


def spoken(said: str, thinking: Thinking, n_new: int = 60) -> Reply:
    """What becomes of a model that would say these words whatever is put in, and then end."""
    tokenizer = word_tokenizer(("</think>",))
    decoding = Decoding(max_new_tokens=n_new, thinking=thinking)
    draft = Draft("p", 0, decoding, tokenizer, frozenset({2}))
    for token in [*tokenizer(said).input_ids, 2]:
        while draft.ending is None and draft.forces:
            draft.take(5)
        if draft.ending is None:
            draft.take(token)
    return draft.done()


def test_an_end_is_replaced_as_often_as_asked_for_and_then_let_stand() -> None:
    said = "w1 </think> w2 </think> w3 </think> w4"
    thinking = Thinking(extend=2, more="is in")
    reply = spoken(said, thinking)
    assert reply.extended == 2
    assert reply.text == "w1 is in w2 is in w3 </think> w4"
    assert (reply.answer, reply.thought, reply.forced) == ("w4", 7, False)
    once = spoken(said, thinking.model_copy(update={"extend": 1}))
    assert (once.extended, once.answer) == (1, "w3 </think> w4")
    assert spoken(said, Thinking()).answer == "w2 </think> w3 </think> w4"
    assert spoken(said, Thinking()).extended == 0


@pytest.mark.parametrize(
    ("least", "extended", "thought"), [(1, 0, 1), (2, 1, 3), (3, 1, 3), (4, 2, 5)]
)
def test_only_chains_that_are_too_short_are_extended(least, extended, thought) -> None:
    said = "w1 </think> w2 </think> w3 </think> w4"
    reply = spoken(said, Thinking(extend=9, least=least, more="is"))
    assert (reply.extended, reply.thought) == (extended, thought)


def test_of_an_end_of_several_tokens_the_last_is_replaced() -> None:
    reply = spoken("w1 a : w2 a : w3", Thinking(end="a :", extend=1, more="is"))
    assert reply.text == "w1 a is w2 a : w3"
    assert (reply.answer, reply.thought) == ("w3", 4)
    short = spoken("w1 a : w2", Thinking(end="a :", extend=1, least=2, more="is"))
    assert (short.extended, short.thought) == (1, 4)  # cut off: it has no other end
    assert spoken("w1 a : w2", Thinking(end="a :", extend=1, least=1, more="is")).extended == 0


@pytest.mark.parametrize(
    ("budget", "text", "forced"),
    [
        (2, "w1 </think> w2 </think> w3", False),
        (3, "w1 is in </think> w2 </think> w3", True),
        (4, "w1 is in w2 </think> </think> w3", True),
        (5, "w1 is in w2 </think> w3", False),
    ],
)
def test_the_budget_holds_with_extensions(budget: int, text: str, forced: bool) -> None:
    """One that does not fit is not begun, and one that fits may end at the budget."""
    thinking = Thinking(extend=9, more="is in", budget=budget, force="</think>")
    reply = spoken("w1 </think> w2 </think> w3", thinking)
    assert (reply.text, reply.forced) == (text, forced)
    assert reply.thought <= budget


def test_the_model_goes_on_from_what_was_put_in(one: LoadedModel) -> None:
    """Behind an extension stands what the model says to chain and extension as its prompt."""
    prompts = questions(8, seed=4)
    free = all_replies(one, prompts, Decoding(max_new_tokens=N_NEW))
    end = words(one, free[0])[3]
    decoding = Decoding(max_new_tokens=N_NEW, thinking=Thinking(end=end, extend=1, more="w3 w4"))
    extended = all_replies(one, prompts, decoding)
    assert extended[0].extended == 1
    for row, (reply, chain) in enumerate(zip(extended, free, strict=True)):
        said = words(one, chain)
        if end not in said:
            assert (reply.extended, reply.tokens) == (0, chain.tokens)
            continue
        before = said[: said.index(end)]
        shown = " ".join([prompts.frame["text"][row], *before, "w3 w4"])
        record = {"prompt_id": "again", "text": shown, "should_abstain": False}
        (rest,) = generate(
            one, PromptSet.from_records([record]), max_new_tokens=N_NEW - len(before) - 2
        )
        assert reply.text.split() == [*before, "w3", "w4", *rest.split()]
    assert reply_frame(extended)["extended"].sum() == sum(r.extended for r in extended) > 0


def test_a_batch_of_1_and_of_16_are_extended_alike(one: LoadedModel) -> None:
    prompts = questions(16)
    thinking = Thinking(end="w1", extend=2, least=6, more="w3 w4", budget=9, force="w1")
    decoding = Decoding(max_new_tokens=N_NEW, thinking=thinking, temperature=1.4, samples=2)
    apart = all_replies(one, prompts, decoding, token_budget=1)
    assert all_replies(one, prompts, decoding, token_budget=10**6) == apart
    assert len({reply.extended for reply in apart}) > 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"extend": 1, "more": "no </think>"}, "holds the end"),
        ({"extend": 1, "more": ""}, "more"),
        ({"extend": -1}, "extend"),
        ({"least": 5}, "extend is 0"),
        ({"extend": 1, "least": 5, "budget": 4}, "above the budget of 4"),
    ],
)
def test_extensions_that_cannot_be_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        Thinking(**settings)


def test_an_extension_of_no_tokens_is_refused(one: LoadedModel) -> None:
    decoding = Decoding(max_new_tokens=4, thinking=Thinking(extend=1, more=" "))
    with pytest.raises(InputError, match="' ', which has no tokens"):
        all_replies(one, questions(1), decoding)


def test_an_engine_that_runs_ahead_refuses_to_extend(one: LoadedModel, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vllm", object())
    decoding = Decoding(max_new_tokens=4, thinking=Thinking(extend=1))
    with pytest.raises(InputError, match="extends no chain"):
        vllm_replies(one, questions(1), decoding)
