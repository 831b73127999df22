from __future__ import annotations

from collections import Counter

import pydantic
import pytest

from interp.behavior import Elicitation, elicit
from interp.errors import InputError
from interp.prompts import PromptSet


def row(prompt_id: str, question: str, *, abstain: bool, **more) -> dict:
    """A row as a dataset gives it."""
    answers = [] if abstain else [f"answer of {prompt_id}"]
    return {
        "prompt_id": prompt_id,
        "text": question,
        "should_abstain": abstain,
        "answers": answers,
    } | more


EXAMPLES = PromptSet.from_records(
    [row(f"e{n}", f"example {n}?", abstain=bool(n % 2), entity=f"city {n}") for n in range(12)]
)
ASKED = PromptSet.from_records(
    [
        row(f"q{n}-{half}", f"question {n} {half}?", abstain=half == "un", pair_id=f"q{n}")
        for n in range(40)
        for half in ("an", "un")
    ]
)
FEW = Elicitation(how="few_shot", shots=4)


def test_raw_is_the_bare_question_whatever_it_was_put_in() -> None:
    chat = {"text": None, "messages": [{"role": "user", "content": "who?"}]}
    prompts = PromptSet.from_records([row("a", "", abstain=True) | chat])
    assert elicit(prompts, Elicitation(how="raw")).frame["text"].tolist() == ["who?"]
    assert elicit(ASKED, Elicitation()) is ASKED


def test_chat_is_one_turn_with_the_system_text_asked_for() -> None:
    put = elicit(ASKED, Elicitation(how="chat", system="be brief", think=True)).frame
    assert put["messages"][0] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "question 0 an?"},
    ]
    assert put["meta"][0] == {"elicitation": "chat_thinking", "mode": "cot"}
    plain = elicit(ASKED, Elicitation(how="chat")).frame
    assert plain["messages"][0] == [{"role": "user", "content": "question 0 an?"}]
    assert plain["meta"][0]["mode"] == "direct"


def test_examples_are_half_of_each_kind_rotated_and_the_same_for_both_halves_of_a_pair() -> None:
    put = elicit(ASKED, FEW, EXAMPLES).frame
    last: Counter[bool] = Counter()
    used: Counter[str] = Counter()
    for _, of_pair in put.groupby("pair_id"):
        first, second = of_pair["meta"]
        assert first["examples"] == second["examples"]
        kinds = [int(name[1:]) % 2 for name in first["examples"]]
        assert sum(kinds) == 2
        last[bool(kinds[-1])] += 1
        used.update(first["examples"])
    assert min(last.values()) > 10
    assert set(used) == set(EXAMPLES.frame["prompt_id"])
    text = put["text"][0]
    assert text.endswith("Q: question 0 an?\nA:")
    assert text.count("Q: ") == 5
    assert text.count("A: I don't know.\n\n") == 2
    again = elicit(ASKED.where(ASKED.labels), FEW, EXAMPLES).frame
    assert again["text"].tolist() == put[put["should_abstain"] == True]["text"].tolist()  # noqa: E712


def test_nothing_about_a_prompt_is_among_its_examples() -> None:
    asked = PromptSet.from_records(
        [
            row("a", "example 4?", abstain=False),
            row("b", "another?", abstain=False, entity="city 3"),
            row("c", "and this?", abstain=True, pair_id="e6"),
        ]
    )
    most = Elicitation(how="few_shot", shots=10)
    used = [set(meta["examples"]) for meta in elicit(asked, most, EXAMPLES).frame["meta"]]
    assert "e4" not in used[0]
    assert "e3" not in used[1]
    assert "e6" not in used[2]
    every = Elicitation(how="few_shot", shots=12)
    with pytest.raises(InputError, match="pair a: 5 answerable examples that share no pair"):
        elicit(asked, every, EXAMPLES)


def test_what_either_half_of_a_pair_is_about_is_no_example_of_both() -> None:
    halves = PromptSet.from_records(
        [
            row("a", "one?", abstain=False, pair_id="q", entity="city 3"),
            row("b", "other?", abstain=True, pair_id="q", entity="city 4"),
        ]
    )
    most = Elicitation(how="few_shot", shots=10)
    first, second = (meta["examples"] for meta in elicit(halves, most, EXAMPLES).frame["meta"])
    assert first == second
    assert not {"e3", "e4"} & set(first)


def test_a_question_that_looks_like_the_template_stays_a_question() -> None:
    trap = PromptSet.from_records([row("t", "{reply} or {question}?", abstain=False)])
    assert elicit(trap, FEW, EXAMPLES).frame["text"][0].endswith("Q: {reply} or {question}?\nA:")


def test_a_reply_stops_where_the_next_example_would_begin() -> None:
    assert FEW.stop == ("\nQ:",)
    assert Elicitation(how="raw").stop == ()
    own = Elicitation(how="few_shot", template="### {question}\n-> {reply}\n")
    assert own.stop == ("\n###",)


@pytest.mark.parametrize(
    ("elicitation", "examples", "said"),
    [
        (FEW, None, "needs examples"),
        (Elicitation(how="raw"), EXAMPLES, "takes no examples"),
        (
            FEW,
            PromptSet.from_records([row("e", "x?", abstain=False, answers=[])]),
            "example e: no answer to show",
        ),
    ],
)
def test_examples_that_do_not_fit_are_refused(elicitation, examples, said) -> None:
    with pytest.raises(InputError, match=said):
        elicit(ASKED, elicitation, examples)


def test_a_prompt_of_several_turns_is_refused() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    prompts = PromptSet.from_records(
        [row("m", "", abstain=True) | {"text": None, "messages": turns}]
    )
    with pytest.raises(InputError, match="prompt m: 2 turns"):
        elicit(prompts, Elicitation(how="raw"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shots": 3}, "even number"),
        ({"template": "{reply} {question}"}, "the template lacks"),
        ({"how": "bare"}, "how"),
        ({"abstention": ""}, "abstention"),
        ({"how": "raw", "think": True}, "think is of a chat"),
        ({"name": "two words"}, "name"),
    ],
)
def test_elicitations_that_cannot_be_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        Elicitation(**settings)
